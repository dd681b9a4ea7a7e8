"""Whitening, the road not taken: when it is singular, what it costs, and what it does to the Jacobian."""

from . import cost, singular, spectrum

CLAIMS = (singular.CLAIM, cost.CLAIM, spectrum.CLAIM)
