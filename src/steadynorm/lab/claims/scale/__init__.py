"""Invariance to the weights' scale: Eq 7, its limits, and what follows for training."""

from . import growth, invariance, limits, orthogonality, trajectory

CLAIMS = (invariance.CLAIM, limits.CLAIM, orthogonality.CLAIM, growth.CLAIM, trajectory.CLAIM)
