"""Batch norm of every few examples in a row, as one call: what the pieces share is read once, and nothing is copied.

Letters: x the input, r the residual, γ and β scale and shift, y the output; a d before a name for the gradient of it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from .._torch import Function, plain
from ..functional import RunningStatistics
from .autograd import NOTHING, Gradients, keep, needed
from .differentiable import differentiable_backward
from .operators import ACTIVATION_NUMBERS, operators

__all__ = ["ghost_batch_norm"]


def ghost_batch_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    momentum: float | None,
    eps: float,
    activation: str | None,
    *,
    examples: int,
) -> Tensor:
    """Return y, every ``examples`` in a row by their own statistics; move the running ones towards the whole batch's.

    The formula is :func:`steadynorm.functional.ghost_batch_norm`.
    """
    return _Ghost.apply(x, residual, weight, bias, running, momentum, eps, ACTIVATION_NUMBERS[activation], examples)


class _Ghost(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, running: Any, momentum: Any, eps: Any, activation: Any, examples: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y: Tensor
        moving = running or NOTHING
        y, statistics = operators.ghost.default(x, residual, weight, bias, *moving, momentum, eps, activation, examples)
        if running is not None:
            increment_version(running)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation)
        ctx.examples = examples
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        x, saved, weight, bias, statistics, _ = ctx.saved_tensors
        wants_x, wants_residual, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or not plain():
            results = _differentiable(ctx, dy, x, saved, weight, bias)
        else:
            wants_dz = wants_residual and ctx.activation != 0
            what = dy, x, saved, weight, bias, statistics, ctx.activation, ctx.examples
            results = operators.ghost_backward.default(*what, wants_x, wants_dz)
        return (*needed(ctx, dy, *results), *(None,) * 5)


def _differentiable(
    ctx: Any, dy: Tensor, x: Tensor, saved: Tensor | None, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return dx, dz, dγ, dβ, piece by piece."""
    dys, xs = (torch.split(v, ctx.examples) for v in (dy, x))
    kept = [None] * len(xs) if saved is None else torch.split(saved, ctx.examples)
    parts = [
        differentiable_backward(*part, weight, bias, None, ctx.eps, ctx.activation)
        for part in zip(dys, xs, kept, strict=True)
    ]
    dx, dz, dgamma, dbeta = zip(*parts, strict=True)
    return torch.cat(dx), torch.cat(dz), torch.stack(dgamma).sum(0), torch.stack(dbeta).sum(0)
