"""Batch norm that writes y over x and computes x again from y: what is kept for backward is what follows keeps anyway.

Letters: x the input, γ and β scale and shift, y the output.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from .._torch import Function
from ..functional import RunningStatistics
from .autograd import NOTHING, Gradients, needed
from .operators import ACTIVATION_NUMBERS, operators

__all__ = ["batch_norm_in_place"]

# Where γ is this small, or this small beside β, y does not hold x well enough: recovering it would lose four bits.
_LEAST_GAMMA, _BETA_TO_GAMMA = 1e-6, 16


def batch_norm_in_place(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    momentum: float | None,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return the same in the place of x, which backward computes again from y; for gradients only.

    x must be dense, of float32 or float64, no leaf and no view; the activation one of
    :data:`~steadynorm.kernels.operators.INVERTIBLE`. Features whose γ is too small to recover their x are kept.

    Reference: Rota Bulò et al. 2018, *In-Place Activated BatchNorm*, Sec 3.1 (its variant that recovers x̂ from y).
    """
    return _InPlace.apply(x, None, weight, bias, running, momentum, eps, ACTIVATION_NUMBERS[activation])


class _InPlace(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: None, weight: Any, bias: Any, running: Any, momentum: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        lost = _not_recoverable(weight, bias)
        kept = x.index_select(1, lost)
        moving = running or NOTHING
        statistics = operators.forward_.default(x, residual, weight, bias, *moving, momentum, eps, activation)
        if running is not None:
            increment_version(running)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, weight, bias, statistics, lost, kept)
        ctx.activation = activation
        ctx.weight_dtype, ctx.bias_dtype = (None if v is None else v.dtype for v in (weight, bias))
        return x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a layer with inplace=True has no second derivatives, since its input is gone: set inplace=False, or "
                "call backward without create_graph"
            )
        y, weight, bias, statistics, lost, kept = ctx.saved_tensors
        x = operators.recover.default(y, weight, bias, statistics, ctx.activation)
        x.index_copy_(1, lost, kept)
        dx, dz, dgamma, dbeta = operators.backward.default(
            dy, x, None, weight, bias, statistics, ctx.activation, False, True, False
        )
        return (*needed(ctx, dy, dx, dz, dgamma, dbeta), None, None, None, None)


def _not_recoverable(weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return the numbers of the features that cannot be recovered from y."""
    if weight is None:
        return torch.empty(0, dtype=torch.int64)
    least = torch.full_like(weight, _LEAST_GAMMA) if bias is None else (bias.abs() / _BETA_TO_GAMMA).clamp(_LEAST_GAMMA)
    return (~(weight.abs() >= least)).nonzero()[:, 0]
