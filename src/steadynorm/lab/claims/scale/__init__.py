"""Invariance to the weights' scale: Eq 7, its limits, and what follows for training."""
