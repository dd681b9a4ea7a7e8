"""Batch norm by moments that were taken before: of several processes, of what a mask leaves, or to choose γ by them.

Letters: x the input, r the residual, γ and β scale and shift, y the output; a d before a name for the gradient of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._torch import Function, plain
from ..functional import Moments
from .autograd import Gradients, gradients, keep, needed
from .operators import ACTIVATION_NUMBERS, operators

__all__ = ["batch_norm_by_moments"]


def batch_norm_by_moments(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    moments: Moments,
    eps: float,
    activation: str | None,
    *,
    mask: Tensor | None = None,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return y by moments of this batch that were taken elsewhere, over a mask's part of it or over more.

    Gradients of x flow through the moments, though these have no graph.

    Args:
        mask: where False, x and r are 0 and are no part of the moments, y is of no meaning, and dy must be 0.
        reduce: called once in backward with (2, C), the sums that make dγ and dβ over this x, and returns them over all
            that the moments are of, such as by ``torch.distributed.all_reduce``. dγ and dβ themselves stay sums over
            this x. With it there are no second derivatives.
    """
    number = ACTIVATION_NUMBERS[activation]
    return _ByMoments.apply(x, residual, weight, bias, moments, mask, reduce, eps, number)


class _ByMoments(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, moments: Any, mask: Any, reduce: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y: Tensor
        y, statistics = operators.normalize.default(x, residual, weight, bias, *moments[1:], eps, activation)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation, mask)
        ctx.count, ctx.reduce, ctx.of_the_whole = float(moments.count), reduce, mask is None and reduce is None
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        if ctx.of_the_whole or torch.is_grad_enabled() or not plain():
            if ctx.reduce is not None:
                raise RuntimeError("batch norm over several processes has no second derivatives and no transforms")
            return (*gradients(ctx, dy, constant=False), *(None,) * 5)
        x, saved, weight, bias, statistics, _ = ctx.saved_tensors
        wants_x, wants_residual, *_ = ctx.needs_input_grad
        what = dy, x, saved, weight, bias, statistics, ctx.activation
        wants_dz = wants_residual and ctx.activation != 0
        _, dz, dgamma, dbeta = operators.backward.default(*what, False, False, wants_dz)
        totals = torch.stack([dgamma, dbeta])
        if ctx.reduce is not None:  # every process takes part, whether its own x needs a gradient or not
            totals = ctx.reduce(totals)
        dx = operators.backward_apply.default(*what, *totals, ctx.count) if wants_x else None
        return (*needed(ctx, dy, dx, dz, dgamma, dbeta), *(None,) * 5)
