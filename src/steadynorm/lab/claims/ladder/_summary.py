"""From finished runs to the record's account of each arm."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...curves import compare, complete, mean_curve, steps_to_target
from ...runs.job import Job
from ._arms import ARMS, BASELINE, PAPER

__all__ = ["summarize"]

Result = Mapping[str, Any]


def summarize(jobs: Sequence[Job], results: Sequence[Result], classes: int) -> dict[str, Any]:
    """Return ``target_accuracy`` and ``arms`` of the record, from the runs of all arms over the same seeds in one
    order."""
    runs: dict[str, list[tuple[Job, Result]]] = {}
    for job, result in zip(jobs, results, strict=True):
        runs.setdefault(job.recipe.name, []).append((job, result))
    steps = list(range(jobs[0].evaluate_every, jobs[0].steps + 1, jobs[0].evaluate_every))
    accuracies = {
        name: [complete(result["curve"], steps, 1 / classes) for _, result in of_arm] for name, of_arm in runs.items()
    }
    curves = {name: mean_curve(of_seeds, steps) for name, of_seeds in accuracies.items()}
    target = _best(curves[BASELINE.name])
    arms = []
    for name, of_arm in runs.items():
        compared = compare(accuracies[BASELINE.name], accuracies[name], steps, target)
        seeds = [
            _seed(result, steps, of_seed, target) for (_, result), of_seed in zip(of_arm, accuracies[name], strict=True)
        ]
        arms.append(_arm(of_arm[0][0], curves[name], compared, seeds))
    return {"target_accuracy": target, "arms": arms}


def _best(curve: Sequence[Sequence[float]]) -> float:
    return max(accuracy for _, accuracy in curve)


def _seed(result: Result, steps: Sequence[int], accuracies: Sequence[float], target: float) -> dict[str, Any]:
    spent = float(steps_to_target(accuracies, steps, target))
    diverged = result["diverged_at"]
    missed = "not reached" if diverged is None else f"diverged at step {diverged}"
    return {
        "seed": result["seed"],
        "steps_to_target": int(spent) if math.isfinite(spent) else None,
        "best_validation_accuracy": result["best_validation_accuracy"],
        "test_accuracy": result["test_accuracy"],
        "outcome": "reached" if math.isfinite(spent) else missed,
        "diverged_at": diverged,
        "seconds": result["seconds"],
        "curve": result["curve"],
    }


def _arm(
    job: Job, curve: list[list[float]], compared: Mapping[str, Any], seeds: list[dict[str, Any]]
) -> dict[str, Any]:
    recipe = asdict(ARMS[job.recipe.name])
    name = recipe.pop("name")
    return {
        "name": name,
        "learning_rate": job.learning_rate,
        "curve": curve,
        **compared,
        "best_validation_accuracy": _best(curve),
        "test_accuracy": _mean(seed["test_accuracy"] for seed in seeds),
        "outcome": _outcome(seeds, reached=compared["steps_to_target"] is not None),
        "paper": asdict(PAPER[name]),
        "recipe": recipe,
        "seeds": seeds,
    }


def _outcome(seeds: Sequence[Mapping[str, Any]], *, reached: bool) -> str:
    """Return what became of the arm; it diverged when most seeds did, at the median of their steps."""
    diverged = [seed["diverged_at"] for seed in seeds if seed["diverged_at"] is not None]
    if reached:
        return "reached"
    return f"diverged at step {statistics.median_low(diverged)}" if 2 * len(diverged) > len(seeds) else "not reached"


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of what was measured: a run that diverged before its first evaluation has no accuracy."""
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None
