"""Other ways to normalize, each as a function of the batch: what comes in, what comes out, nothing stored.

Each returns the statistics that a layer averages, beside y.
"""

from .ghost import ghost_batch_norm
from .lp import lp_batch_norm
from .noisy import Noise, draw_noise, noisy_batch_norm
from .renorm import batch_renorm
from .weighing import example_weighed_norm
from .whitening import Covariance, batch_covariance, iter_norm, whiten, whitening_matrix, whitening_norm

__all__ = [
    "Covariance",
    "Noise",
    "batch_covariance",
    "batch_renorm",
    "draw_noise",
    "example_weighed_norm",
    "ghost_batch_norm",
    "iter_norm",
    "lp_batch_norm",
    "noisy_batch_norm",
    "whiten",
    "whitening_matrix",
    "whitening_norm",
]
