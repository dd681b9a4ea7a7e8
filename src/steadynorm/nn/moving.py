"""Running statistics moved, in place, towards those of a batch; and not when it is counted already."""

import torch
from torch import Tensor

from .. import kernels
from .._torch import autograd_runs
from ..functional import RunningStatistics

__all__ = ["is_recomputation", "move"]


def is_recomputation() -> bool:
    """Tell whether autograd is running a backward pass in this thread, so that a forward now repeats an earlier one.

    Both kinds of ``torch.utils.checkpoint`` recompute there, and so do functions that recompute in their own backward.
    While ``torch.compile`` traces, the answer is no: what it traces around a checkpoint it runs once. A checkpoint
    around a module that is already compiled cannot be seen: put the compilation outside.
    """
    return not torch.compiler.is_compiling() and autograd_runs()


def move(
    running: RunningStatistics,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    momentum: float | None,
    *,
    count: Tensor | None = None,
    bessel: bool = False,
) -> None:
    """Move running statistics, in place, towards those of the batch x; the rest as :func:`steadynorm.kernels.move`."""
    if x.numel() == 0:  # nothing to average; torch counts the batch, and with equal weights that would be wrong
        if momentum is not None:
            running.num_batches_tracked.add_(1)
        return
    kernels.move(running, mean, var, momentum, count=count, bessel=bessel)
