"""Running statistics with NaN, infinity or a negative variance; and batches that would make them so.

One batch that is not finite poisons a moving average for good: every later value is a part of the earlier. Layers of
ours skip such a batch and count it. Sums of squares in 16 or 32 bits, E[x²]−E[x]², give negative variances.
"""

from collections.abc import Iterator

import torch

from ..finding import Finding
from ..rule import Case

SUPERSEDES = ("far-from-data", "stale-statistics", "momentum")


def check(case: Case) -> Iterator[Finding]:
    """Count features, and batches."""
    for layer in case.layers:
        if layer.statistics is not None:
            mean, var = layer.statistics
            bad = ~torch.isfinite(mean) | ~torch.isfinite(var)
            negative = var < 0
            if bool((bad | negative).any()):
                yield Finding(
                    layer.name,
                    "error",
                    {"features not finite": int(bad.sum()), "negative variances": int(negative.sum())},
                    "a batch that was not finite has entered the moving average, or sums of squares lost their digits",
                    "sn.recalibrate_(model, batches), after looking for the batch that is not finite",
                )
        seen = case.seen(layer)
        if seen is not None and seen.broken:
            yield Finding(
                layer.name,
                "error",
                {"batches": len(seen.broken), "first": min(seen.broken)},
                "the layer is given values that are not finite",
                "look for NaN or infinity in the data, or in a layer before it",
            )
