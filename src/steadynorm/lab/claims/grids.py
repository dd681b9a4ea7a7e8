"""Grids of rates: which rate an arm takes, and whether its neighbours leave it standing.

A grid is a row for each arm and rate: ``arm``, ``rate``, ``scores`` of the seeds (lower is better, None if it
diverged), and ``chosen``. Rows of an arm stand in the order of their rates.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

__all__ = ["by_arm", "chosen", "mean_score", "unsettled"]

Row = Mapping[str, Any]


def by_arm(grid: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield each arm's rows."""
    for _, rows in groupby(grid, key=lambda row: row["arm"]):
        yield list(rows)


def chosen(grid: Sequence[Row]) -> dict[str, float]:
    """Return each arm's rate."""
    return {row["arm"]: row["rate"] for row in grid if row["chosen"]}


def mean_score(row: Row) -> float:
    """Return the mean over the seeds; infinity if one diverged, so that such a rate comes last."""
    scores = row["scores"]
    return math.inf if None in scores else math.fsum(scores) / len(scores)


def unsettled(grid: Sequence[Row]) -> str | None:
    """Say which arms' rates are not their best: a neighbour is better, or there is none on one side; None if all are.

    An arm of a single rate is meant to have it.
    """
    flaws = []
    for rows in by_arm(grid):
        if len(rows) == 1:
            continue
        at = next(i for i, row in enumerate(rows) if row["chosen"])
        name = f"{rows[at]['arm']} at {rows[at]['rate']:g}"
        if at in (0, len(rows) - 1):
            flaws.append(f"{name} has no neighbour on one side")
        better = [row for row in rows[max(0, at - 1) : at + 2] if mean_score(row) < mean_score(rows[at])]
        flaws += [f"{name} is beaten by its neighbour {row['rate']:g}" for row in better]
    return "; ".join(flaws) or None
