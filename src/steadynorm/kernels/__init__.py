"""The transform, fused in C++ for the CPU: batch norm, residual and activation in as few passes over memory as can be.

Built at first use by the machine's own compiler and kept; whoever calls asks :func:`ready` first. Without a compiler,
and with ``STEADYNORM_KERNELS=off``, the answer is no, and torch's own operators serve.
"""

from .autograd import batch_norm, batch_norm_traced, normalize
from .by_moments import batch_norm_by_moments
from .ghost import ghost_batch_norm
from .in_parts import measure, normalize_by
from .in_place import batch_norm_in_place
from .library import failure, load, loaded, ready, status
from .lp import lp_batch_norm
from .operators import INVERTIBLE, moments
from .running import move
from .whitening import covariance, mix

__all__ = [
    "INVERTIBLE",
    "batch_norm",
    "batch_norm_by_moments",
    "batch_norm_in_place",
    "batch_norm_traced",
    "covariance",
    "failure",
    "ghost_batch_norm",
    "load",
    "loaded",
    "lp_batch_norm",
    "measure",
    "mix",
    "moments",
    "move",
    "normalize",
    "normalize_by",
    "ready",
    "status",
]
