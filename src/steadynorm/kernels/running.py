"""Running statistics moved by one operator call, on any device; the C++ of this folder does it for the CPU."""

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from .._torch import operators_are_seen
from ..functional import Moments, RunningStatistics, update_running_statistics
from .operators import LIBRARY, operators

__all__ = ["move"]

_PLAIN = (Tensor, Parameter)
_DTYPES = (torch.float32, torch.float64)


@torch.no_grad()
def move(
    running: RunningStatistics,
    mean: Tensor,
    var: Tensor,
    momentum: float | None,
    *,
    count: Tensor | None = None,
    bessel: bool = False,
) -> None:
    """Move running statistics, in place, towards those of a batch, without waiting for the device.

    The formula is :func:`steadynorm.functional.update_running_statistics`. Its dozen of small operations are one here,
    since on a device that is driven by launches they would cost more than the normalization.

    Args:
        count: how many values they are of, 0-d; None where they are known to be of some.
        bessel: the variances are biased, and are to be multiplied by n/(n−1).
    """
    if _suits(running) and type(mean) in _PLAIN and not operators_are_seen():
        operators.move.default(*running, mean, var, count, bessel, momentum)
        increment_version(running)
    else:
        _move(*running, mean, var, count, bessel, momentum)


def _suits(running: RunningStatistics) -> bool:
    """Tell whether they are as the layers make them; a model may have been cast, cut or wrapped since."""
    dtypes = [v.dtype for v in running]
    usual = dtypes[0] in _DTYPES and dtypes[1] is dtypes[0] and dtypes[2] is dtypes[3] is torch.int64
    return usual and all(type(v) in _PLAIN and v.is_contiguous() for v in running)


def _move(
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    skipped_updates: Tensor,
    mean: Tensor,
    var: Tensor,
    count: Tensor | None,
    bessel: bool,
    momentum: float | None,
) -> None:
    """The same in torch's own operators."""
    running = RunningStatistics(running_mean, running_var, num_batches_tracked, skipped_updates)
    present = None
    if count is not None:
        var = Moments(count, mean, var).unbiased_var if bessel else var
        present = count.to(mean.device) > 0
    moved = update_running_statistics(running, mean, var, momentum=momentum, present=present)
    for buffer, value in zip(running, moved, strict=True):
        buffer.copy_(value)


LIBRARY.impl("move", _move, "CompositeExplicitAutograd")
