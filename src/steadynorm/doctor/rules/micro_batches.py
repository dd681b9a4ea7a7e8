"""Small micro-batches, normalized one by one: under gradient accumulation, or on each rank alone.

Accumulating gradients over k micro-batches, or over ranks by DistributedDataParallel, gives the gradient of the large
batch, but plain batch norm still takes its statistics over each small one. A finding where that one is too small by the
measure of small-batch, whose place it takes.
"""

from collections.abc import Iterator

from torch.nn.parallel import DataParallel, DistributedDataParallel

from ..finding import Finding
from ..rule import Case
from .small_batch import too_small

NEEDS = ("evidence",)
SUPERSEDES = ("small-batch",)


def check(case: Case) -> Iterator[Finding]:
    """Ask whether a larger batch is meant, then whether the small one is too small."""
    apart = isinstance(case.root, DataParallel | DistributedDataParallel)
    for layer, n in too_small(case) if apart or case.micro_batches > 1 else ():
        yield Finding(
            layer.name,
            "warning",
            {"effective batch": n, "micro-batches": case.micro_batches},
            "it normalizes every micro-batch by itself" if not apart else "it normalizes each rank's share by itself",
            "sn.synchronize_(model, group)"
            if apart
            else "sn.accumulated_statistics(model), or sn.convert_(model, 'group')",
        )
