"""Gradients and rates: the identity behind a smoother landscape, and the rates that descent can take."""

from . import gradient_norm, jagged, quadratic

CLAIMS = (gradient_norm.CLAIM, quadratic.CLAIM, jagged.CLAIM)
