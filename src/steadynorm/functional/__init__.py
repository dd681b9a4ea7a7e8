"""The equations of batch normalization: tensors in, tensors out, nothing stored.

Every function takes an input of shape (N, C, *S): N examples, C features (channels), and any number of further axes S
(positions), over which statistics are pooled as well. Statistics have shape (C,) and are float32 or wider whatever the
input. The letters are those of Ioffe & Szegedy 2015 (arXiv:1502.03167); the running statistics that a layer keeps are
states that go in and come out. All of it is plain differentiable torch: it runs on any device, under autograd,
``torch.compile`` and ``torch.func``.

=============================  ==============================================================
Eq 2, the transform            :func:`batch_norm`, of :func:`batch_moments` and :func:`normalize`
Eq 3, the identity             :func:`identity_affine`
Eq 4, the backward             :func:`batch_norm_backward`
Eq 5, population statistics    :func:`population_statistics` with one of three estimators
Eq 6, folding                  :func:`fold_affine`, :func:`fold_weights_after`, :func:`fold_weights_before`
=============================  ==============================================================

The ways to normalize beside batch norm's are in :mod:`steadynorm.functional.variants`.
"""

from .folding import fold_affine, fold_weights_after, fold_weights_before
from .moments import Moments, batch_moments, merge_moments
from .population import Estimator, MovingAverage, PaperEstimator, PooledEstimator, population_statistics
from .running import RunningStatistics, update_running_statistics
from .transform import batch_norm, batch_norm_backward, identity_affine, normalize
from .variants import (
    Covariance,
    Noise,
    batch_covariance,
    batch_renorm,
    draw_noise,
    example_weighed_norm,
    ghost_batch_norm,
    iter_norm,
    lp_batch_norm,
    noisy_batch_norm,
    whiten,
    whitening_matrix,
    whitening_norm,
)

__all__ = [
    "Covariance",
    "Estimator",
    "Moments",
    "MovingAverage",
    "Noise",
    "PaperEstimator",
    "PooledEstimator",
    "RunningStatistics",
    "batch_covariance",
    "batch_moments",
    "batch_norm",
    "batch_norm_backward",
    "batch_renorm",
    "draw_noise",
    "example_weighed_norm",
    "fold_affine",
    "fold_weights_after",
    "fold_weights_before",
    "ghost_batch_norm",
    "identity_affine",
    "iter_norm",
    "lp_batch_norm",
    "merge_moments",
    "noisy_batch_norm",
    "normalize",
    "population_statistics",
    "update_running_statistics",
    "whiten",
    "whitening_matrix",
    "whitening_norm",
]
