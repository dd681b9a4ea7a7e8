"""Grids of rates: which rate an arm takes, and whether its neighbours leave it standing.

A grid is a row for each arm and rate: ``arm``, ``rate``, ``scores`` of the seeds (lower is better, None if it
diverged), and ``chosen``; where the weights are tuned too, ``initialization``, and where a score outlives a divergence,
``outcome``. Rows of an arm and initialization stand in the order of their rates.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

__all__ = ["RATES", "best", "beyond", "by_arm", "chosen", "marked", "unsettled"]

Row = Mapping[str, Any]

RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # what a grid may grow to


def by_arm(grid: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each arm and initialization."""
    for _, rows in groupby(grid, key=lambda row: (row["arm"], row.get("initialization"))):
        yield list(rows)


def chosen(grid: Sequence[Row]) -> dict[str, float]:
    """Return each arm's rate."""
    return {row["arm"]: row["rate"] for row in grid if row["chosen"]}


def best(rows: Sequence[Row]) -> Row:
    """Return the row of the best mean score among those that did not diverge (of all, if all did); of equal ones that
    of the lowest rate."""
    return min(rows, key=lambda row: (_diverged(row), _mean_score(row), row["rate"]))


def marked(rows: Sequence[Row], rates: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Return the rows with ``chosen``: each arm's given rate, or else its best."""
    taken = [best([row for row in rows if row["arm"] == arm]) for arm in dict.fromkeys(row["arm"] for row in rows)]
    return [{**row, "chosen": row in taken if rates is None else row["rate"] == rates[row["arm"]]} for row in rows]


def unsettled(grid: Sequence[Row]) -> str | None:
    """Say which arms' rates are not their best: a neighbour is better, or there is none on one side; None if all are.

    An arm of a single rate is meant to have it.
    """
    flaws = []
    for rows in by_arm(grid):
        at = next((i for i, row in enumerate(rows) if row["chosen"]), None)
        if at is None or len(rows) == 1:
            continue
        name = f"{rows[at]['arm']} at {rows[at]['rate']:g}"
        if at in (0, len(rows) - 1):
            flaws.append(f"{name} has no neighbour on one side")
        better = [row for row in rows[max(0, at - 1) : at + 2] if _rank(row) < _rank(rows[at])]
        flaws += [f"{name} is beaten by its neighbour {row['rate']:g}" for row in better]
    return "; ".join(flaws) or None


def beyond(rate: float, rates: Sequence[float]) -> float | None:
    """Return the next of :data:`RATES` outside of ``rates`` on the side of ``rate``, which is one of its ends; None at
    the end of all."""
    position = RATES.index(rate) + (1 if rate == max(rates) else -1)
    return RATES[position] if 0 <= position < len(RATES) else None


def _diverged(row: Row) -> bool:
    return None in row["scores"] or row.get("outcome", "").startswith("diverged")


def _mean_score(row: Row) -> float:
    return math.inf if None in row["scores"] else fmean(row["scores"])


def _rank(row: Row) -> float:
    """The mean over the seeds; infinity if one diverged, so that such a rate comes last."""
    return math.inf if _diverged(row) else _mean_score(row)
