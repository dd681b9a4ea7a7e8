"""Steps to a target accuracy, compared between arms over paired seeds.

* An arm's curve is the mean over its seeds of the validation accuracy at each evaluation; a run counts as chance from
  its divergence on. One seed's curve is too noisy to compare: of the digits' 359 validation images one is 0.3 %.
* The target is the best of the baseline's curve: one number, as in the paper. Taking the mean first keeps the target
  from being the luckiest of many noisy evaluations.
* An arm's steps to the target are those of the first evaluation at which its curve is there, so that the table says
  what the chart shows. The ratio is the baseline's steps over the arm's.
* Intervals are 95 % percentile bootstrap intervals: seeds are resampled, the same for both arms, the target stands.
  Where a resampled arm never gets there its ratio is 0; where a resampled baseline never does, its steps are those of
  the whole run, so that the ratio is too small rather than too large. From 3 seeds such an interval is the range over
  all 10 resamples, single seeds among them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["compare", "complete", "mean_curve", "steps_to_target"]

Array = npt.NDArray[np.float64]

_ROUNDING = 1e-9  # far below one image: means of the same accuracies in another order differ by less


def complete(curve: Sequence[Sequence[float]], steps: Sequence[int], chance: float) -> list[float]:
    """Return the accuracies of a curve [(step, accuracy), …] at all ``steps``, chance where it has ended."""
    accuracies = [float(accuracy) for _, accuracy in curve]
    return accuracies + [chance] * (len(steps) - len(accuracies))


def mean_curve(curves: npt.ArrayLike, steps: Sequence[int]) -> list[list[float]]:
    """Return [[step, accuracy], …], the mean of accuracies (seeds, points): the one curve that all who show it read."""
    means = np.asarray(curves, dtype=float).mean(0).tolist()
    return [[step, mean] for step, mean in zip(steps, means, strict=True)]


def steps_to_target(curves: npt.ArrayLike, steps: npt.ArrayLike, target: float) -> Array:
    """Return the first of ``steps`` (points,) at which accuracies (..., points) are at the target; infinity if none
    is."""
    there = np.asarray(curves) >= target - _ROUNDING
    return np.where(there.any(-1), np.asarray(steps, dtype=float)[there.argmax(-1)], np.inf)


def compare(baseline: npt.ArrayLike, arm: npt.ArrayLike, steps: Sequence[int], target: float) -> dict[str, Any]:
    """Compare an arm's steps to the target with the baseline's.

    Args:
        baseline, arm: accuracies (seeds, points) of paired seeds, in the same order.
        steps: of the points.
        target: accuracy to reach.

    Returns: ``steps_to_target``, ``steps_to_target_interval``, ``ratio``, ``ratio_interval`` as in the record: all None
        when the arm's curve does not reach the target; an interval None when there is one seed, or, of the steps, when
        its upper end was not reached. An interval of the ratio that begins at 0 says so, too.
    """
    of_baseline, of_arm = np.asarray(baseline, dtype=float), np.asarray(arm, dtype=float)

    def speed(seeds: Any, axis: int = -1) -> Array:
        """1 / steps of the mean over the seeds, 0 when the target is not reached: finite, as scipy wants it."""
        return np.asarray(1 / steps_to_target(of_arm[seeds].mean(-2), steps, target))

    def ratio(seeds: Any, axis: int = -1) -> Array:
        spent = np.minimum(steps_to_target(of_baseline[seeds].mean(-2), steps, target), steps[-1])
        return np.asarray(spent * speed(seeds))

    everyone = np.arange(len(of_arm))
    if not speed(everyone):
        return dict.fromkeys(("steps_to_target", "steps_to_target_interval", "ratio", "ratio_interval"))
    slow_fast, low_high = _interval(speed, len(of_arm)), _interval(ratio, len(of_arm))
    return {
        "steps_to_target": round(1 / float(speed(everyone))),
        "steps_to_target_interval": [round(1 / v) for v in reversed(slow_fast)] if slow_fast and slow_fast[0] else None,
        "ratio": float(ratio(everyone)),
        "ratio_interval": low_high,
    }


def _interval(statistic: Any, seeds: int) -> list[float] | None:
    if seeds == 1:
        return None
    from scipy import stats  # which takes half a second that a reader of records need not wait

    interval = stats.bootstrap(
        (np.arange(seeds),),
        lambda drawn, axis=-1: statistic(drawn.astype(int), axis),
        n_resamples=9999,
        batch=500,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return [float(interval.low), float(interval.high)]
