"""What ranks tell each other for one layer: its moments forward, two sums a feature backward.

Letters: C features, R ranks.
"""

from functools import reduce

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from ...functional import Moments, merge_moments
from .absence import absence

__all__ = ["join", "total"]


def join(moments: Moments, group: ProcessGroup, place: str) -> Moments:
    """Return the moments of all ranks together, the same bits on each.

    One collective of 2C + 1 numbers a rank: count, means, mean centred squares; in float64, where a count is exact up
    to 2⁵³ and merging loses nothing (MPS has float32 only). Merged in the order of the ranks by Chan's rule.

    Args:
        place: what to call this exchange in an error.

    Raises: SynchronizationError if a rank does not take part.
    """
    mean = moments.mean
    wide = torch.float32 if mean.device.type == "mps" else torch.float64
    mine = torch.cat([v.to(mean.device, wide).reshape(-1) for v in moments])
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    try:
        dist.all_gather(every, mine, group=group)
    except RuntimeError as error:
        raise absence(group, place, error) from error
    features = mean.numel()
    parts = [Moments(v[0], v[1 : 1 + features], v[1 + features :]) for v in every]
    joined = reduce(merge_moments, parts)
    return Moments(joined.count.to(moments.count.device), joined.mean.to(mean.dtype), joined.var.to(mean.dtype))


def total(sums: Tensor, group: ProcessGroup, place: str) -> Tensor:
    """Return the sum over all ranks of (2, C) sums: one collective of 2C numbers.

    Raises: SynchronizationError if a rank does not take part.
    """
    sums = sums.clone(memory_format=torch.contiguous_format)  # which stay this rank's own
    try:
        dist.all_reduce(sums, group=group)
    except RuntimeError as error:
        raise absence(group, place, error) from error
    return sums
