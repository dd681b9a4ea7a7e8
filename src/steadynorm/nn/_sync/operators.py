"""Batch norm by joined moments in torch's own operators, for what the kernels do not take.

Letters: x the input (N, C, *S); μ, σ² and n the joined moments, over all ranks; x̂ the normalized input; γ, β scale and
shift; a d before a name stands for the gradient of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..._torch import Function
from ...functional import Moments
from ...functional._tensors import along_features, pooled_axes, widen

__all__ = ["batch_norm_by_joined_moments"]


def batch_norm_by_joined_moments(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    moments: Moments,
    eps: float,
    reduce: Callable[[Tensor], Tensor],
) -> Tensor:
    r"""Return y by moments over all ranks, of which x is one rank's part.

    .. math:: \frac{\partial\ell}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \Bigl(
        \frac{\partial\ell}{\partial y} - \frac1n \sum \frac{\partial\ell}{\partial y}
        - \hat x \, \frac1n \sum \frac{\partial\ell}{\partial y} \hat x \Bigr)

    with sums over all ranks; dγ and dβ are the same sums over this rank. It is what the six formulas of
    :func:`steadynorm.functional.batch_norm_backward` come to, arranged so that each rank needs two sums of the others.

    Args:
        reduce: called once in backward with (2, C), this rank's dγ and dβ, and returns them over all.
    """
    return _ByJoinedMoments.apply(x, gamma, beta, *moments, eps, reduce)


class _ByJoinedMoments(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, gamma: Any, beta: Any, count: Any, mean: Any, var: Any, eps: Any, reduce: Any) -> Tensor:  # noqa: E501  # fmt: skip
        ctx.save_for_backward(x, gamma, count, mean, (var + eps).rsqrt())
        ctx.reduce = reduce
        return F.batch_norm(x, mean, var, gamma, beta, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, count, mean, inv_std = ctx.saved_tensors
        axes = pooled_axes(x)
        wide = widen(dy)
        x_hat = (widen(x) - along_features(mean, x)) * along_features(inv_std, x)
        dgamma, dbeta = (wide * x_hat).sum(axes), wide.sum(axes)
        wants_x, wants_gamma, wants_beta, *_ = ctx.needs_input_grad
        # every rank takes part, whether its own x needs a gradient or not; n = 0: no value anywhere, and x̂ is hidden
        means = ctx.reduce(torch.stack([dgamma, dbeta])) / count.clamp(min=1).to(dgamma.device, dgamma.dtype)
        dx = None
        if wants_x:
            scale = inv_std if gamma is None else inv_std * gamma
            dx = wide - along_features(means[1], x) - x_hat * along_features(means[0], x)
            dx = (dx * along_features(scale, x)).to(x.dtype)
        return dx, dgamma if wants_gamma else None, dbeta if wants_beta else None, None, None, None, None, None
