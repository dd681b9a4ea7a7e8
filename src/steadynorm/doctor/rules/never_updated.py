"""Running statistics that no batch has moved: mean 0, variance 1, and a counter that stands at 0.

Evaluation then normalizes by nothing. Without data it is a note, for every fresh model is like that; with data it is an
error where 0 and 1 are far from them (:mod:`steadynorm.doctor.distance`).
"""

from collections.abc import Iterator

import torch

from ..finding import Finding
from ..rule import Case

SUPERSEDES = ("far-from-data", "stale-statistics", "momentum")


def check(case: Case) -> Iterator[Finding]:
    """Look at the values, and at the counter where there is one."""
    for layer in case.moving:
        mean, var = layer.statistics or (torch.ones(1), torch.ones(1))
        counter = layer.module.num_batches_tracked
        if bool(mean.any()) or not bool((var == 1).all()) or (counter is not None and int(counter)):
            continue
        far = case.distance(layer)
        wrong = far is not None and far.is_far
        yield Finding(
            layer.name,
            "error" if wrong else "note",
            far.numbers if far is not None and wrong else {"batches tracked": 0},
            "its running statistics are still those of the constructor: it was never run in training, or a checkpoint "
            "without them was loaded",
            "sn.recalibrate_(model, batches)",
        )
