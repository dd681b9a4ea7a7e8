"""The transform and its gradients: Eq 2, 3 and 4, and the affine map of inference.

Letters: x the input (N, C, *S); μ, σ² mean and biased variance, x̂ the normalized input; γ, β scale and shift; m the
number of values of a feature; a d before a name stands for ∂ℓ/∂ of it.
"""

import torch
from torch import Tensor

from ._tensors import along_features, check_eps, check_features, pooled_axes, shown, wide_dtype
from .moments import Moments, batch_moments

__all__ = ["batch_norm", "batch_norm_backward", "identity_affine", "normalize"]


def normalize(
    x: Tensor, mean: Tensor, var: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, eps: float
) -> Tensor:
    r"""Normalize with given statistics, then scale and shift.

    .. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad y = \gamma \hat x + \beta

    Reference: Ioffe & Szegedy 2015, Eq 2, last two lines; with population statistics it is inference (Algorithm 2, line
    11).

    Differs: nothing; ε is inside the root, as in the paper and in torch.

    Shape: x and y (N, C, *S); mean, var, gamma, beta (C,). The result has x's dtype.

    Args:
        gamma: None for 1.
        beta: None for 0.
        eps: 0 or more.

    Numerics: in the widest dtype of x, the statistics and float32. The mean is subtracted before anything is scaled.

    Raises: ShapeError, DtypeError, ArgumentError.
    """
    check_features(x)
    check_eps(eps)
    x_hat = (_widen_to(x, mean) - along_features(mean, x)) * along_features((var + eps).rsqrt(), x)
    y = x_hat if gamma is None else along_features(gamma, x) * x_hat
    y = y if beta is None else y + along_features(beta, x)
    return y.to(x.dtype)


def batch_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, eps: float, mask: Tensor | None = None
) -> tuple[Tensor, Moments]:
    r"""The Batch Normalizing Transform: normalize with the mini-batch's own statistics, and return these.

    .. math:: \mu_B = \frac1m \sum_i x_i, \quad \sigma^2_B = \frac1m \sum_i (x_i - \mu_B)^2, \quad
              \hat x_i = \frac{x_i - \mu_B}{\sqrt{\sigma^2_B + \epsilon}}, \quad y_i = \gamma \hat x_i + \beta

    Reference: Ioffe & Szegedy 2015, Algorithm 1 (Eq 2).

    Differs: the paper's m counts the values of one feature over batch and positions (its Sec 3.2); so does this.
    Statistics are returned, not stored. One value a feature is allowed, and gives y = β; torch raises.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S), True where a position counts: the
    others enter neither statistics nor gradients, and come out as 0.

    Returns: y in x's dtype, and the batch's :class:`Moments`, through which gradients flow as well.

    Raises: ShapeError, DtypeError, ArgumentError.

    >>> y, moments = batch_norm(torch.tensor([[0.0], [2.0]]), eps=0.0)
    >>> y.flatten(), moments.mean
    (tensor([-1.,  1.]), tensor([1.]))
    """
    x = shown(x, mask)
    moments = batch_moments(x, mask=mask)
    y = normalize(x, moments.mean, moments.var, gamma, beta, eps=eps)
    return shown(y, mask), moments


def batch_norm_backward(
    dy: Tensor, x: Tensor, gamma: Tensor | None, moments: Moments, *, eps: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`batch_norm` by the paper's six formulas.

    .. math::
        \frac{\partial\ell}{\partial\hat x_i} &= \frac{\partial\ell}{\partial y_i}\,\gamma \\
        \frac{\partial\ell}{\partial\sigma^2} &= \sum_i \frac{\partial\ell}{\partial\hat x_i}\,(x_i-\mu)\cdot
            \tfrac{-1}{2}(\sigma^2+\epsilon)^{-3/2} \\
        \frac{\partial\ell}{\partial\mu} &= \sum_i \frac{\partial\ell}{\partial\hat x_i}\cdot
            \frac{-1}{\sqrt{\sigma^2+\epsilon}}
            + \frac{\partial\ell}{\partial\sigma^2}\cdot\frac{\sum_i -2(x_i-\mu)}{m} \\
        \frac{\partial\ell}{\partial x_i} &= \frac{\partial\ell}{\partial\hat x_i}\cdot
            \frac{1}{\sqrt{\sigma^2+\epsilon}}
            + \frac{\partial\ell}{\partial\sigma^2}\cdot\frac{2(x_i-\mu)}{m}
            + \frac{\partial\ell}{\partial\mu}\cdot\frac1m \\
        \frac{\partial\ell}{\partial\gamma} &= \sum_i \frac{\partial\ell}{\partial y_i}\,\hat x_i, \qquad
        \frac{\partial\ell}{\partial\beta} = \sum_i \frac{\partial\ell}{\partial y_i}

    Reference: Ioffe & Szegedy 2015, Sec 3, the six formulas after Algorithm 1 (Eq 4 of the article).

    Differs: nothing in value. :math:`(\sigma^2+\epsilon)^{-3/2}` is applied in two factors, since alone it overflows
    float32 below a variance of 1e-26.

    Shape: dy, x, dx (N, C, *S); gamma (C,) or None for 1; dgamma, dbeta (C,); moments as :func:`batch_norm` returned
    them, for the same mask.

    Returns: dx in x's dtype, dgamma and dbeta in the dtype of the statistics. Differentiable in its turn.

    Raises: ShapeError, DtypeError, ArgumentError.
    """
    check_eps(eps)
    dy = shown(dy, mask)
    axes = pooled_axes(x)
    m, mean, var = moments.count.to(moments.mean.dtype), moments.mean, moments.var
    dy = _widen_to(dy, mean)
    inv_std = along_features((var + eps).rsqrt(), x)
    centred = shown(_widen_to(x, mean) - along_features(mean, x), mask)
    x_hat = centred * inv_std

    dx_hat = dy if gamma is None else dy * along_features(gamma, x)
    dvar = (dx_hat * x_hat).sum(axes, keepdim=True) * -0.5 * inv_std.square()
    dmean = -(dx_hat * inv_std).sum(axes, keepdim=True) + dvar * (-2 * centred).sum(axes, keepdim=True) / m
    dx = dx_hat * inv_std + dvar * 2 * centred / m + dmean / m
    dgamma = (dy * x_hat).sum(axes)
    dbeta = dy.sum(axes)
    return shown(dx, mask).to(x.dtype), dgamma, dbeta


def identity_affine(moments: Moments, *, eps: float) -> tuple[Tensor, Tensor]:
    r"""The γ and β with which batch normalization gives this batch back unchanged.

    .. math:: \gamma = \sqrt{\sigma^2 + \epsilon}, \qquad \beta = \mu

    Reference: Ioffe & Szegedy 2015, Sec 3 (Eq 3 of the article), which has :math:`\sqrt{\mathrm{Var}[x]}`.

    Differs: ε is in the root here too, which makes the identity exact; without it y − μ is short by the factor
    :math:`\sqrt{\sigma^2/(\sigma^2+\epsilon)}`. It holds for the batch of these moments only.

    Shape: (C,) each.
    """
    check_eps(eps)
    return (moments.var + eps).sqrt(), moments.mean


def _widen_to(x: Tensor, statistic: Tensor) -> Tensor:
    """Return x in the dtype of its statistics: float32 or wider, and at least as wide as the given one."""
    return x.to(torch.promote_types(wide_dtype(x.dtype), statistic.dtype))
