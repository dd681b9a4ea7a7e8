"""Steps to a target accuracy, compared between arms over paired seeds.

Fixed before any run:

* Each seed is one replication of the paper's comparison: its target is the best validation accuracy of *its* baseline,
  on its split, and an arm's steps are those of its first evaluation that reaches the target. The baseline's are those
  of its best. (A target common to all seeds would be out of reach of some baselines, whose splits are harder.)
* A seed that never reaches the target took more steps than were run. Such censored values have no mean, but they have a
  median: the arm *reached* the target when more than half of its seeds did, and its steps are the median. Of an even
  number of seeds the worse of the two middle ones counts.
* The ratio is the median of the paired ratios, baseline's steps over arm's steps, 0 where the arm did not reach the
  target.
* Intervals are 95 % percentile bootstrap intervals over the seeds. With n seeds a bootstrap cannot leave the range of
  what was seen, and the range itself covers the true median with probability 1 - 2^(1-n) at most: 75 % for 3 seeds, 94
  % for 5.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["compare", "interval", "steps_to_target"]


def steps_to_target(curve: Sequence[Sequence[float]], target: float) -> int | None:
    """Return the step of the first point (step, accuracy) whose accuracy is at least ``target``, or None."""
    return next((int(step) for step, accuracy in curve if accuracy >= target), None)


def _upper_median(values: Any, axis: int = -1) -> Any:
    """The median; of an even number of values, the greater of the two middle ones (never between a number and
    infinity)."""
    return np.take(np.sort(values, axis), np.shape(values)[axis] // 2, axis)


def _lower_median(values: Any, axis: int = -1) -> Any:
    return np.take(np.sort(values, axis), (np.shape(values)[axis] - 1) // 2, axis)


def interval(
    values: Sequence[float], statistic: Callable[..., Any] = _lower_median, *, resamples: int = 9999
) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of ``statistic(values, axis)``; None for fewer than two values."""
    if len(values) < 2:
        return None
    resampled = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        statistic,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).bootstrap_distribution
    # an actual resample, not a mixture of two, since one of them may be infinite
    low, high = np.quantile(resampled, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def compare(baseline: Sequence[int | None], arm: Sequence[int | None]) -> dict[str, Any]:
    """Compare an arm's steps to the target with the baseline's, seed by seed.

    Args:
        baseline: the baseline's steps, a seed each; None where the baseline itself has no target: the seed is left out.
        arm: the arm's, in the same order; None where the target was not reached.

    Returns: ``steps_to_target``, ``steps_to_target_interval``, ``ratio``, ``ratio_interval`` as in the record. All are
        None when the median seed did not reach the target. An interval is None when there is one seed only, or, of the
        steps, when its upper end was not reached. An interval of the ratio that begins at 0 says that a resample did
        not reach the target.
    """
    pairs = [(b, math.inf if a is None else float(a)) for b, a in zip(baseline, arm, strict=True) if b is not None]
    steps, ratios = [a for _, a in pairs], [b / a for b, a in pairs]  # ratio 0 where not reached
    reached = bool(pairs) and math.isfinite(_upper_median(steps))
    of_steps = interval(steps, _upper_median) if reached else None
    of_ratio = interval(ratios, _lower_median) if reached else None
    return {
        "steps_to_target": float(_upper_median(steps)) if reached else None,
        "steps_to_target_interval": list(of_steps) if of_steps and math.isfinite(of_steps[1]) else None,
        "ratio": float(_lower_median(ratios)) if reached else None,
        "ratio_interval": list(of_ratio) if of_ratio else None,
    }
