"""Batches that have one value a feature: a variance of it is 0, and training raises.

A last batch of one example, or 1×1 maps of a single image. Torch and our layers refuse it in training,
unless these are told otherwise by :func:`steadynorm.single_values`.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)
SUPERSEDES = ("small-batch", "micro-batches")


def check(case: Case) -> Iterator[Finding]:
    """Count the calls."""
    for layer in case.moving:
        seen = case.seen(layer)
        allowed = layer.is_synchronized or layer.takes_single_values
        single = 0 if seen is None or allowed else sum(float(row.moments.count) == 1 for row in seen.rows)
        if single:
            yield Finding(
                layer.name,
                "error",
                {"batches of one value a feature": single},
                "a batch of one example, or a map of 1×1, leaves nothing to normalize by",
                "drop_last=True in the loader, larger batches, or sn.single_values(model)",
            )
