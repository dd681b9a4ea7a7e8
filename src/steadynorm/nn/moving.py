"""Running statistics moved, in place, towards those of a batch; and not when it is counted already."""

import torch
from torch import Tensor

from .. import functional
from .._torch import autograd_runs
from ..functional import RunningStatistics

__all__ = ["is_recomputation", "move", "move_towards"]


def is_recomputation() -> bool:
    """Tell whether autograd is running a backward pass in this thread, so that a forward now repeats an earlier one.

    Both kinds of ``torch.utils.checkpoint`` recompute there, and so do functions that recompute in their own backward.
    While ``torch.compile`` traces, the answer is no: what it traces around a checkpoint it runs once. A checkpoint
    around a module that is already compiled cannot be seen: put the compilation outside.
    """
    return not torch.compiler.is_compiling() and autograd_runs()


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
