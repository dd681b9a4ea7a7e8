"""Which code computes a call: the fused kernels, or torch's own operators. Both give the same results.

Letters: x the input (N, C, *S), r the residual, γ and β scale and shift, y = activation(γ x̂ + β + r) the result. What
changes the running statistics changes them in place.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from .. import functional, kernels
from ..functional import Moments, RunningStatistics
from ..functional.tensors import widen
from .activations import ACTIVATIONS

__all__ = ["by_batch", "by_statistics", "finish", "moments", "move", "move_towards", "route", "wide_affine"]

# By the input's dtype: what the running statistics, γ and β may be.
_STATISTICS = {torch.float32: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
_WEIGHTS = {
    torch.float32: (torch.float32, torch.bfloat16),
    torch.bfloat16: (torch.float32, torch.bfloat16),
    torch.float64: (torch.float64,),
}
_PLAIN = (Tensor, Parameter)


def by_batch(
    x: Tensor,
    residual: Tensor | None,
    mask: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    *,
    moves: bool,
    momentum: float | None,
    eps: float,
    activation: str | None,
    inplace: bool,
) -> Tensor:
    """Return y by the batch's own statistics.

    Where the mask is False x and r are 0, and y is of no meaning.

    Args:
        running: what the layer has of running statistics.
        moves: move them towards the batch's. What is saved for backward does not depend on it, so that a recomputation,
            which moves nothing, saves the same.
        inplace: y may take the place of x.
    """
    way = route(x, residual, weight, bias, None if running is None else running.mean)
    if way == "kernel" and mask is None:
        moving = running if moves else None
        if inplace and residual is None and _may_be_overwritten(x):
            return kernels.batch_norm_in_place(x, weight, bias, moving, momentum, eps, activation)
        return kernels.batch_norm(x, residual, weight, bias, moving, momentum, eps, activation)
    mean = var = present = None
    if way == "kernel":
        given = moments(x, mask)
        mean, var, present = given.mean, given.unbiased_var, given.count > 0
        y = kernels.batch_norm_by_moments(x, residual, weight, bias, given, eps, activation, mask=mask)
    elif way == "traced kernel" and mask is None:
        y, mean, var = kernels.batch_norm_traced(x, residual, weight, bias, eps, activation)
        n = x.numel() // x.shape[1]
        var = var * (n / (n - 1))
    else:
        gamma, beta = wide_affine(weight, bias)
        if mask is None:
            # torch's operator writes the batch's own mean and unbiased variance into these, and they are averaged in
            # below: a running buffer that backward saved is never repaired in place
            mean, var = (None, None) if running is None else (torch.zeros_like(v) for v in running[:2])
            y = F.batch_norm(x, mean, var, gamma, beta, True, 1.0, eps)
        else:
            y, given = functional.batch_norm(x, gamma, beta, eps=eps, mask=mask)
            mean, var, present = given.mean, given.unbiased_var, given.count > 0
        y = finish(y, residual, activation)
    if running is not None and moves:
        move(running, x, mean, var, momentum, present)  # type: ignore[arg-type]  # not None: running is not
    return y


def by_statistics(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return y by given statistics, which are constant."""
    way = route(x, residual, weight, bias, mean)
    if way != "torch":
        inference = kernels.inference if way == "kernel" else kernels.inference_traced
        return inference(x, residual, weight, bias, mean, var, eps, activation)
    gamma, beta = wide_affine(weight, bias)
    return finish(F.batch_norm(x, mean, var, gamma, beta, False, 0.0, eps), residual, activation)


@torch.no_grad()
def moments(x: Tensor, mask: Tensor | None = None) -> Moments:
    """Return the moments of a batch, as :func:`steadynorm.functional.batch_moments` does, without a graph."""
    if mask is not None or route(x, None, None, None, None) != "kernel":
        return functional.batch_moments(x, mask=mask)
    count = torch.tensor(x.numel() // x.shape[1], dtype=torch.float64)
    return Moments(count, *kernels.moments(x))


def route(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None
) -> Literal["kernel", "traced kernel", "torch"]:
    """Choose for one call; the first eager one that a kernel could take loads the kernels, or builds them.

    A kernel takes tensors on the CPU, of float32, bfloat16 or float64, not empty, of no subclass, outside of
    transforms, forward-mode AD and dispatch modes. Under ``torch.compile`` it is an operator that stays whole, if the
    kernels are there already; ``torch.export`` sees torch's own operators, so that its programs run anywhere.
    """
    if not (kernels.plain() and _suits(x, residual, weight, bias, mean)):
        return "torch"
    if torch.compiler.is_compiling():
        return "traced kernel" if kernels.loaded() and not torch.compiler.is_exporting() else "torch"
    return "kernel" if kernels.ready() else "torch"


def _suits(x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None) -> bool:
    dtype = x.dtype
    if not (type(x) in _PLAIN and x.is_cpu and dtype in _STATISTICS and x.layout is torch.strided and x.numel()):
        return False
    if residual is not None and not (type(residual) in _PLAIN and residual.dtype is dtype and residual.is_cpu):
        return False
    if mean is not None and not (mean.dtype is _STATISTICS[dtype] and type(mean) in _PLAIN and mean.is_cpu):
        return False
    allowed = _WEIGHTS[dtype]
    for v in (weight, bias):  # a generator would cost as much as all the rest
        if v is not None and not (v.dtype in allowed and type(v) in _PLAIN and v.is_cpu):
            return False
    return True


def _may_be_overwritten(x: Tensor) -> bool:
    """Tell whether autograd made x, and would notice whoever else needs it; without gradients nothing is kept at all.

    In 16 bits y would not hold x well enough.
    """
    recorded = torch.is_grad_enabled() and x.requires_grad and not x.is_leaf and x._base is None
    return recorded and x.dtype is not torch.bfloat16 and (x.is_contiguous() or x.movedim(1, -1).is_contiguous())


def wide_affine(weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return γ and β in float32 or wider: torch's operators refuse 16-bit ones beside wide statistics."""
    return tuple(None if v is None else widen(v) for v in (weight, bias))  # type: ignore[return-value]


def finish(y: Tensor, residual: Tensor | None, activation: str | None) -> Tensor:
    """Add the residual and apply the activation."""
    if residual is not None:
        y = y + residual
    return y if activation is None else ACTIVATIONS[activation](y)


@torch.no_grad()
def move(
    running: RunningStatistics, x: Tensor, mean: Tensor, var: Tensor, momentum: float | None, present: Tensor | None
) -> None:
    """Move running statistics, in place, towards those of the batch x."""
    if x.numel() == 0:  # nothing to average; torch counts the batch, and with equal weights that would be wrong
        if momentum is not None:
            running.num_batches_tracked.add_(1)
        return
    move_towards(running, mean, var, momentum, present)


@torch.no_grad()
def move_towards(
    running: RunningStatistics, mean: Tensor, var: Tensor, momentum: float | None, present: Tensor | None
) -> None:
    """Move running statistics, in place, towards given ones."""
    moved = functional.update_running_statistics(running, mean, var, momentum=momentum, present=present)
    for buffer, value in zip(running, moved, strict=True):
        buffer.copy_(value)
