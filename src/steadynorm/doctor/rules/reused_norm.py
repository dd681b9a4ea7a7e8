"""One batch norm used several times on inputs of different distributions: its running statistics fit none of them.

Compared are the uses within a batch, each over all batches: a mean that differs by 0.5 σ (root mean square over the
features), or variances by a factor of two in the median feature.
"""

from collections.abc import Iterator
from functools import reduce

from ...functional import Moments, merge_moments
from ..distance import MATTERS
from ..evidence import Seen
from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Compare every use with the first."""
    for layer in case.moving:
        seen = case.seen(layer)
        uses = _uses(seen) if seen is not None else []
        if len(uses) < 2:
            continue
        shifts = [float(((u.mean - uses[0].mean).square() / uses[0].var.clamp(min=1e-30)).mean().sqrt()) for u in uses]
        ratios = [float((u.var / uses[0].var.clamp(min=1e-30)).median()) for u in uses]
        ratio = max(max(r, 1 / max(r, 1e-30)) for r in ratios)
        if max(shifts) > MATTERS or ratio > 2:
            numbers = {"uses a batch": len(uses), "mean shift in σ": max(shifts), "variance ratio": ratio}
            cause = "it is used several times, on inputs of different distributions, and averages over them"
            yield Finding(layer.name, "warning", numbers, cause, "a batch norm for each use")


def _uses(seen: Seen) -> list[Moments]:
    """Return the moments of the first use in a batch, of the second, and so on; nothing if there is one."""
    by_batch: dict[int, list[Moments]] = {}
    for row in seen.rows:
        by_batch.setdefault(row.batch, []).append(row.moments)
    return [reduce(merge_moments, use) for use in zip(*by_batch.values(), strict=False)] if seen.rows else []
