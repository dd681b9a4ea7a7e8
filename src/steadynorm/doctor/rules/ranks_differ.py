"""Running statistics that differ between the ranks of a process group: each has averaged its own share of the data.

DistributedDataParallel with `broadcast_buffers=True` copies rank 0's before each forward, so that the others' shares
are lost. What is compared is every running statistic, bit for bit; the number is the largest difference in σ of rank 0.
"""

from collections.abc import Iterator

import torch

from ...surgery.ranks import exchange
from ..finding import Finding
from ..rule import Case

NEEDS = ("process_group",)


def check(case: Case) -> Iterator[Finding]:
    """Exchange all statistics; every rank finds the same."""
    mine = {v.name: tuple(t.detach().double().cpu() for t in v.statistics) for v in case.layers if v.statistics}
    first, *others = exchange(mine, case.process_group)
    for name, (mean, var) in first.items():
        theirs = [ranks[name] for ranks in others if name in ranks]
        if all(torch.equal(mean, m) and torch.equal(var, v) for m, v in theirs):
            continue
        apart = max(float(((m - mean).abs() / var.clamp(min=1e-30).sqrt()).max()) for m, _ in theirs)
        yield Finding(
            name,
            "error",
            {"ranks": 1 + len(others), "largest difference of means in σ": apart},
            "every rank has averaged its own share of the data",
            "sn.merge_statistics_(model, process_group=group) now, sn.synchronize_(model, group) before training",
        )
