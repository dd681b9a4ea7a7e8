"""Batch norm's two halves, each under autograd by itself: moments, and normalization by any that gradients flow to.

For methods that do something to the moments in between. Letters: x the input, r the residual, γ and β scale and shift,
μ and σ² mean and variance, φ the activation, y the output; a d before a name for the gradient of it.
"""

from typing import Any

import torch
from torch import Tensor

from .._torch import Function, plain
from ..functional import Moments, batch_moments
from ..functional import normalize as formula
from ..functional._tensors import widen
from .autograd import Gradients, needed
from .differentiable import before_activation, by_formula
from .operators import ACTIVATION_NUMBERS, keeps_output, operators

__all__ = ["measure", "normalize_by"]


def measure(x: Tensor) -> Moments:
    """Return what :func:`steadynorm.functional.batch_moments` does, of float64; gradients flow through both moments."""
    mean, var = _Measure.apply(x)
    return Moments(torch.tensor(x.numel() // x.shape[1], dtype=torch.float64), mean, var)


def normalize_by(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return φ(γ (x − μ)/√(σ² + ε) + β + r); gradients flow to all of them."""
    return _NormalizeBy.apply(x, residual, weight, bias, mean, var, eps, ACTIVATION_NUMBERS[activation])


class _Measure(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = operators.moments.default(x).unbind()
        ctx.save_for_backward(x, mean)
        return mean, var

    @staticmethod
    def backward(ctx: Any, dmean: Tensor, dvar: Tensor) -> Tensor | None:
        x, mean = ctx.saved_tensors
        if torch.is_grad_enabled() or not plain():

            def moments(x: Tensor) -> tuple[Tensor, Tensor]:
                _, mean, var = batch_moments(x)
                return mean.double(), var.double()

            return by_formula(moments, (x,), (dmean, dvar))[0]
        n = x.numel() / x.shape[1]
        # (2 dσ² (x − μ) + dμ) / n, which is a normalization as well
        what = x, None, 2 * dvar / n, dmean / n, mean, torch.ones_like(mean), 0.0, 0
        dx: Tensor = operators.normalize.default(*what)[0]
        return dx


class _NormalizeBy(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y: Tensor
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, var, eps, activation)
        saved = y if keeps_output(activation, residual) else residual if activation else None
        ctx.save_for_backward(x, saved, weight, bias, mean, var, statistics)
        ctx.eps, ctx.activation = eps, activation
        ctx.weight_dtype, ctx.bias_dtype = (None if v is None else v.dtype for v in (weight, bias))
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        x, saved, weight, bias, mean, _, statistics = ctx.saved_tensors
        wants_x, wants_residual, _, _, wants_mean, wants_var, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or not plain():
            return _differentiable(ctx, dy)
        wants_dz = wants_residual and ctx.activation != 0
        what = dy, x, saved, weight, bias, statistics, ctx.activation
        dx, dz, dgamma, dbeta = operators.backward.default(*what, True, wants_x, wants_dz)
        inv_std = statistics[2].to(mean.dtype)
        scale = inv_std if weight is None else inv_std * weight
        dmean = -scale * dbeta if wants_mean else None
        dvar = -0.5 * scale * inv_std * dgamma if wants_var else None
        return (*needed(ctx, dy, dx, dz, dgamma, dbeta), dmean, dvar, None, None)


def _differentiable(ctx: Any, dy: Tensor) -> Gradients:
    """Return the same in torch's own operators."""
    x, saved, weight, bias, mean, var, _ = ctx.saved_tensors

    def normed(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor) -> Tensor:
        return formula(x, mean, var, *(None if v is None else widen(v) for v in (weight, bias)), eps=ctx.eps)

    inputs = x, weight, bias, mean, var
    dz = before_activation(dy, ctx.activation, saved, normed, inputs)
    dx, *others = by_formula(normed, inputs, (dz,))
    return dx, dz if ctx.needs_input_grad[1] else None, *others, None, None
