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
        mean, var = operators.moments.default(x)
        centre = mean if centred else torch.zeros_like(mean)
        if p == 2:
            norms, square = None, var if centred else var + mean.square()
        else:
            norms = operators.norms.default(x, centre, p == inf)
            square = norms[0].square() + 0 * mean  # NaN where x is
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, square, eps, activation)
        saved = y if keeps_output(activation, residual) else residual if activation else None
        ctx.save_for_backward(x, saved, weight, bias, statistics, centre, norms)
        ctx.eps, ctx.activation, ctx.p, ctx.centred = eps, activation, p, centred
        ctx.weight_dtype, ctx.bias_dtype = (None if v is None else v.dtype for v in (weight, bias))
        ctx.mark_non_differentiable(mean, square)
        return y, mean, square

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> Gradients:
        x, saved, weight, bias, statistics, *_ = ctx.saved_tensors
        wants_x, wants_residual, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or not plain():
            return _differentiable(ctx, dy)
        what = dy, x, saved, weight, bias, statistics, ctx.activation
        wants_dz = wants_residual and ctx.activation != 0
        if ctx.p == 2 and not ctx.centred:
            _, dz, dgamma, dbeta = operators.backward.default(*what, True, False, wants_dz)
            # s² = σ² + μ² moves with the mean as well
            totals = dgamma, dbeta + (statistics[0] + statistics[1]) * statistics[2] * dgamma
            dx = operators.backward_apply.default(*what, *totals, x.numel() / x.shape[1]) if wants_x else None
        else:
            dx, dz, dgamma, dbeta = operators.backward.default(*what, ctx.p != 2, wants_x, wants_dz)
            if wants_x and ctx.p != 2:
                dx = _with_norm(ctx, dx, dgamma, dbeta)
        return (*needed(ctx, dy, dx, dz, dgamma, dbeta), *(None,) * 4)


def _with_norm(ctx: Any, dx: Tensor, dgamma: Tensor, dbeta: Tensor) -> Tensor:
    r"""Return dx, which is γ dz/√(s² + ε) so far, with what goes through μ and s.

    .. math:: \frac{\partial\ell}{\partial s^2} = -\frac{\gamma\,d\gamma}{2 (s^2 + \epsilon)}, \qquad
              \frac{\partial s}{\partial x_i} = \frac1w \Bigl(f(v_i) - \frac1n \sum_k f(v_k)\Bigr), \ v = x - \mu

    without the sum if v = x. For p = 1 f is the sign and w = n; for p = ∞ it is that of the w largest ones, else 0.
    """
    x, _, weight, _, statistics, centre, (size, signs, counted) = ctx.saved_tensors
    n, inv_std = x.numel() / x.shape[1], statistics[2].double()
    scale = inv_std if weight is None else inv_std * weight
    slope = -scale * inv_std * dgamma * size / counted
    offset = -scale * dbeta / n
    if ctx.centred:
        offset = offset - slope * signs / n
    whole: Tensor = operators.norms_backward.default(dx, x, centre, offset, slope, size if ctx.p == inf else None)
    return whole


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
