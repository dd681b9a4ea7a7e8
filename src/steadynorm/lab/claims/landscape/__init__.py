"""Gradients and rates: the identity behind a smoother landscape, the rates that descent can take, depth."""
