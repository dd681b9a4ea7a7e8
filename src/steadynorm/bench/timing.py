"""Timing by turns: on a shared machine the speed drifts, so what is compared is measured side by side.

Every contestant runs once in each round, in an order that changes, and is compared with the first contestant of the
same round.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles

__all__ = ["Timing", "interleave"]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, and how many times faster it is than the first contestant: medians, quartiles."""

    seconds: float
    seconds_quartiles: tuple[float, float]
    speedup: float
    speedup_quartiles: tuple[float, float]
    rounds: int
    calls: int
    """Calls a round."""


def interleave(
    contestants: Mapping[str, Callable[[], object]], *, rounds: int = 15, least_seconds: float = 0.02, seed: int = 0
) -> dict[str, Timing]:
    """Time functions of no arguments against the first of them.

    Args:
        contestants: by name; the first is the reference. Each is called twice beforehand, which is not counted.
        rounds: at least 2.
        least_seconds: a contestant is called as often in a round as takes the reference so long, the same number for
            all.
        seed: of the order within the rounds.
    """
    for call in contestants.values():
        call()
        call()
    reference = next(iter(contestants))
    calls = max(1, round(least_seconds / max(_seconds(contestants[reference], 1), 1e-7)))
    order = list(contestants)
    shuffle = random.Random(seed).shuffle
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            measured[name].append(_seconds(contestants[name], calls))
    return {name: _summary(seconds, measured[reference], calls) for name, seconds in measured.items()}


def _seconds(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _summary(seconds: list[float], reference: list[float], calls: int) -> Timing:
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    slow, ratio, fast = quantiles([r / s for r, s in zip(reference, seconds, strict=True)], n=4, method="inclusive")
    return Timing(middle, (low, high), ratio, (slow, fast), len(seconds), calls)
