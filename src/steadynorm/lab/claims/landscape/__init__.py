"""Gradients and rates: the identity behind a smoother landscape, the rates that descent can take, depth."""

from . import depth, gradient_norm, jagged, quadratic

CLAIMS = (gradient_norm.CLAIM, quadratic.CLAIM, jagged.CLAIM, depth.CLAIM)
