"""Activations and residual additions taken into the batch norms before them."""
