r"""Batch norm by an ℓp norm: a pass for the norm, then the passes of batch norm with s² in the place of σ².

Letters: x the input, r the residual, γ and β scale and shift, μ the mean, s the norm, y the output; a d before a name
for the gradient of it.
"""

from math import inf
from typing import Any

import torch
from torch import Tensor

from .._torch import Function, plain
from ..functional import Moments
from ..functional._tensors import widen
from ..functional.lp import lp_batch_norm as formula
from .autograd import Gradients, needed
from .differentiable import before_activation, by_formula
from .operators import ACTIVATION_NUMBERS, keeps_output, operators

__all__ = ["lp_batch_norm"]


def lp_batch_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str | None,
    *,
    p: float,
    centred: bool,
) -> tuple[Tensor, Moments]:
    """Return y, and what :func:`steadynorm.functional.lp_batch_norm` returns beside it; x is of float32 or float64."""
    number = ACTIVATION_NUMBERS[activation]
    y, mean, square = _Lp.apply(x, residual, weight, bias, eps, number, p, centred)
    return y, Moments(torch.tensor(x.numel() // x.shape[1], dtype=torch.float64), mean, square)


class _Lp(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, eps: Any, activation: Any, p: Any, centred: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: E501  # fmt: skip
        if p == 2:
            norms = None
            mean, var = operators.moments.default(x)
            square = var if centred else var + mean.square()
        else:
            norms = operators.norms.default(x, p == inf, centred)
            mean, total, largest, *_ = norms
            size = largest if p == inf else total / (x.numel() / x.shape[1])
            square = size.square() + 0 * mean  # NaN where x is
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, square, eps, activation)
        saved = y if keeps_output(activation, residual) else residual if activation else None
        ctx.save_for_backward(x, saved, weight, bias, statistics, norms)
        ctx.eps, ctx.activation, ctx.p, ctx.centred = eps, activation, p, centred
        ctx.weight_dtype, ctx.bias_dtype = (None if v is None else v.dtype for v in (weight, bias))
        ctx.mark_non_differentiable(mean, square)
        return y, mean, square

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> Gradients:
        x, saved, weight, bias, statistics, norms = ctx.saved_tensors
        wants_x, wants_residual, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or not plain():
            return _differentiable(ctx, dy)
        what = dy, x, saved, weight, bias, statistics, ctx.activation
        wants_dz = wants_residual and ctx.activation != 0
        if norms is not None:
            of = norms, ctx.p == inf, ctx.centred
            dx, dz, dgamma, dbeta = operators.norms_backward.default(*what, *of, wants_x, wants_dz)
        elif ctx.centred:
            dx, dz, dgamma, dbeta = operators.backward.default(*what, False, wants_x, wants_dz)
        else:  # s² = σ² + μ² moves with the mean as well
            _, dz, dgamma, dbeta = operators.backward.default(*what, True, False, wants_dz)
            totals = dgamma, dbeta + (statistics[0] + statistics[1]) * statistics[2] * dgamma
            dx = operators.backward_apply.default(*what, *totals, x.numel() / x.shape[1]) if wants_x else None
        return (*needed(ctx, dy, dx, dz, dgamma, dbeta), *(None,) * 4)


def _differentiable(ctx: Any, dy: Tensor) -> Gradients:
    """Return the same in torch's own operators."""
    x, saved, weight, bias, *_ = ctx.saved_tensors

    def normed(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        affine = (None if v is None else widen(v) for v in (weight, bias))
        return formula(x, *affine, p=ctx.p, centred=ctx.centred, eps=ctx.eps)[0]

    inputs = x, weight, bias
    dz = before_activation(dy, ctx.activation, saved, normed, inputs)
    dx, dgamma, dbeta = by_formula(normed, inputs, (dz,))
    wants_residual = ctx.needs_input_grad[1]
    return dx, dz if wants_residual else None, dgamma, dbeta, *(None,) * 4
