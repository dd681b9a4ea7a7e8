"""Whitening under autograd: a batch's covariances, and the product with a matrix for each group of features.

Letters: x the input (N, C, *S), μ its mean, Σ its covariances, M the matrices, (groups, d, d), y = M (x − μ) + β; a d
before a name for the gradient of it.
"""

from typing import Any

import torch
from torch import Tensor

from .._torch import Function, plain
from ..functional import Covariance, batch_covariance
from ..functional._tensors import along_features, pooled_axes, widen
from ..functional.whitening import products, whiten
from .differentiable import by_formula
from .operators import ACTIVATION_NUMBERS, operators

__all__ = ["covariance", "mix"]


def covariance(x: Tensor, *, groups: int) -> Covariance:
    """Return what :func:`steadynorm.functional.batch_covariance` does; gradients flow through mean and covariances."""
    mean, cov = _Covariance.apply(x, groups)
    return Covariance(torch.tensor(x.numel() // x.shape[1], dtype=torch.float64), mean, cov)


def mix(
    x: Tensor,
    residual: Tensor | None,
    matrix: Tensor,
    mean: Tensor,
    shift: Tensor | None,
    activation: str | None,
) -> Tensor:
    """Return φ(M (x − μ) + β + r); without residual and activation gradients flow to all the others.

    The formula is :func:`steadynorm.functional.whitening.whiten`.
    """
    if residual is None and activation is None and torch.is_grad_enabled():
        return _Mix.apply(x, matrix, mean, shift)
    y: Tensor = operators.mix.default(x, residual, matrix, mean, shift, ACTIVATION_NUMBERS[activation])
    return y


class _Covariance(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        mean = operators.moments.default(x)[0]
        centred = _centred(x, mean)
        mean, n = mean.to(centred.dtype), x.numel() // x.shape[1]
        ctx.save_for_backward(x, mean)
        ctx.groups, ctx.n = groups, n
        return mean, products(centred, centred, groups) / n

    @staticmethod
    def backward(ctx: Any, dmean: Tensor, dcov: Tensor) -> tuple[Tensor | None, None]:
        x, mean = ctx.saved_tensors
        if torch.is_grad_enabled() or not plain():
            (dx,) = by_formula(lambda x: batch_covariance(x, groups=ctx.groups)[1:], (x,), (dmean, dcov))
            return dx, None
        return operators.mix.default(x, None, (dcov + dcov.mT) / ctx.n, mean, dmean / ctx.n, 0), None


class _Mix(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, mean: Tensor, shift: Tensor | None) -> Tensor:
        y: Tensor = operators.mix.default(x, None, matrix, mean, shift, 0)
        ctx.save_for_backward(x, matrix, mean, shift)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix, mean, shift = ctx.saved_tensors
        if torch.is_grad_enabled() or not plain():
            return by_formula(
                lambda x, matrix, mean, shift: whiten(x, mean, matrix, None, shift), ctx.saved_tensors, (dy,)
            )
        wants_x, wants_matrix, wants_mean, wants_shift = ctx.needs_input_grad
        dx = dmatrix = dmean = dshift = None
        if wants_x:
            dx = operators.mix.default(dy, None, matrix.mT, torch.zeros_like(mean), None, 0)
        if wants_matrix:
            dmatrix = products(widen(dy), _centred(x, mean), len(matrix)).to(matrix.dtype)
        if wants_mean or wants_shift:
            total = widen(dy).sum(pooled_axes(dy))
            dmean = -(matrix.mT @ total.reshape(*matrix.shape[:2], 1).to(matrix.dtype)).reshape(-1).to(mean.dtype)
            dshift = None if shift is None else total.to(shift.dtype)
        return dx, dmatrix, dmean, dshift


def _centred(x: Tensor, mean: Tensor) -> Tensor:
    return widen(x) - along_features(mean.to(widen(x).dtype), x)
