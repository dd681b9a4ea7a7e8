"""Whitening, the road not taken: when it is singular, what it costs, and what it does to the Jacobian."""
