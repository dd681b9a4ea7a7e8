"""The running statistics of a layer: one step of the moving average, guarded against non-finite batches."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["RunningStatistics", "update_running_statistics"]


class RunningStatistics(NamedTuple):
    """What a batch-norm layer keeps from batch to batch."""

    mean: Tensor
    """(C,), float32 or wider."""
    var: Tensor
    """(C,), unbiased by torch's convention."""
    num_batches_tracked: Tensor
    """(), int64: how many batches were offered; with ``momentum=None``, how many were averaged."""
    skipped_updates: Tensor
    """(C,), int64: how many of them a feature refused because their statistics were not finite."""

    @classmethod
    def initial(cls, like: Tensor) -> "RunningStatistics":
        """Mean 0, variance 1, no batch, for the features and dtype of the (C,) tensor ``like``."""
        none = torch.zeros_like(like, dtype=torch.int64)
        return cls(torch.zeros_like(like), torch.ones_like(like), none.new_zeros(()), none)


def update_running_statistics(
    running: RunningStatistics,
    mean: Tensor,
    unbiased_var: Tensor,
    *,
    momentum: float | None,
    present: Tensor | None = None,
) -> RunningStatistics:
    r"""Move the running statistics towards one batch's.

    .. math:: r \leftarrow r + a\,(s_B - r), \qquad s_B = \mu_B \text{ or } \tfrac{m}{m-1}\sigma^2_B

    Reference: torch's ``BatchNorm`` (its ``momentum`` is a); Ioffe & Szegedy 2015, Sec 3.1, mention moving averages.

    Differs: a feature whose mean or variance is NaN or infinite keeps its statistics, and ``skipped_updates`` counts
    it; torch would carry the NaN for ever. With ``momentum=None`` all batches weigh the same, a = 1/(number of
    batches), so such a batch is left out for every feature, and not counted in the number.

    Shape: all (C,), but for ``num_batches_tracked`` and ``present``; in place of variances there may be rows of a
    covariance matrix, (C, d), which are finite or refused as a whole. No branch depends on values, so the device is not
    waited for.

    Args:
        momentum: a, between 0 and 1, or None.
        present: (), boolean: False if the batch held no value at all; then nothing changes. None for True.
    """
    both = mean + (unbiased_var if unbiased_var.dim() == 1 else unbiased_var.sum(1))
    usable = both - both == 0  # finite; torch.isfinite says the same in four times as many operations
    refused = ~usable
    if present is not None:
        usable, refused = usable & present, refused & present
    counted: Tensor | int = 1 if present is None else present
    a: Tensor | float
    if momentum is None:
        usable = counted = usable.all()
        a = (running.num_batches_tracked + 1).to(running.mean.dtype).reciprocal()
    else:
        a = momentum

    def step(r: Tensor, s: Tensor) -> Tensor:
        chosen = usable if r.dim() == 1 else usable.reshape(*usable.shape, 1)
        return torch.where(chosen, torch.lerp(r, s.to(r.dtype), a), r)

    return RunningStatistics(
        step(running.mean, mean),
        step(running.var, unbiased_var),
        running.num_batches_tracked + counted,
        running.skipped_updates + refused,
    )
