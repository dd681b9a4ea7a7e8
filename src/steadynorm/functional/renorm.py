"""Batch renormalization: the batch's statistics, corrected towards the running ones by constants.

Letters: μ_B, σ_B the batch's mean and standard deviation, μ, σ the running ones; r and d the corrections.
"""

from typing import Any

import torch
from torch import Tensor

from ._tensors import shown
from .moments import Moments, batch_moments
from .transform import normalize

__all__ = ["batch_renorm"]


def batch_renorm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    running_mean: Tensor,
    running_var: Tensor,
    r_max: float | Tensor,
    d_max: float | Tensor,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Normalize with the batch's statistics, then move and scale the result as if by the running ones, within limits.

    .. math:: y_i = \gamma\Bigl(\frac{x_i - \mu_B}{\sigma_B}\,r + d\Bigr) + \beta, \qquad
              r = \mathrm{clip}_{[1/r_{max},\,r_{max}]}\frac{\sigma_B}{\sigma}, \quad
              d = \mathrm{clip}_{[-d_{max},\,d_{max}]}\frac{\mu_B - \mu}{\sigma}

    with :math:`\sigma_B = \sqrt{\sigma_B^2 + \epsilon}` of the biased variance, :math:`\sigma = \sqrt{\mathrm{Var} +
    \epsilon}`. No gradient flows through r and d. Without limits y is what inference gives; with r_max = 1 and d_max =
    0 it is batch normalization.

    Reference: Ioffe 2017 (arXiv:1702.03275), Algorithm 1.

    Differs: the paper keeps a moving average of deviations, this takes the running variance that batch norm keeps.

    Shape: x and y (N, C, *S); gamma, beta, running_mean, running_var (C,); mask broadcastable to (N, 1, *S).

    Args:
        running_mean, running_var: as they are before this batch.
        r_max: 1 or more, a number or a 0-d tensor.
        d_max: 0 or more, likewise.

    Returns: y in x's dtype, and the batch's :class:`Moments`.

    Raises: ShapeError, DtypeError, ArgumentError.
    """
    x = shown(x, mask)
    moments = batch_moments(x, mask=mask)
    limits: Any = {"r_max": r_max, "d_max": d_max, "eps": eps}
    scale, shift = corrected_affine(moments, gamma, beta, running_mean=running_mean, running_var=running_var, **limits)
    y = normalize(x, moments.mean, moments.var, scale, shift, eps=eps)
    return shown(y, mask), moments


def corrected_affine(
    moments: Moments,
    gamma: Tensor | None,
    beta: Tensor | None,
    *,
    running_mean: Tensor,
    running_var: Tensor,
    r_max: float | Tensor,
    d_max: float | Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    r"""The scale and shift with which batch normalization by these moments is batch renormalization.

    .. math:: \gamma' = \gamma r, \qquad \beta' = \gamma d + \beta

    Gradients flow through γ and β, and not through r and d.

    Shape: (C,) each; arguments and errors as of :func:`batch_renorm`.
    """
    with torch.no_grad():
        inv_std = (running_var + eps).rsqrt()
        ratio: Any = (moments.var + eps).sqrt() * inv_std
        distance: Any = (moments.mean - running_mean) * inv_std
        r, d = ratio.clamp(1 / r_max, r_max), distance.clamp(-d_max, d_max)
    scale, shift = (r, d) if gamma is None else (gamma * r, gamma * d)
    return scale, shift if beta is None else shift + beta
