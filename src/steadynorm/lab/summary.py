"""From finished runs to the record's account of each arm."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .recipes import ARMS, BASELINE
from .statistics import compare, steps_to_target
from .training import Job

__all__ = ["summarize"]

Result = Mapping[str, Any]


def summarize(jobs: Sequence[Job], results: Sequence[Result]) -> dict[str, Any]:
    """Return ``target_accuracy`` and ``arms`` of the record.

    ``target_accuracy`` is the mean over the seeds of their targets, 0 if no baseline lived to its first evaluation.
    """
    runs: dict[str, dict[int, tuple[Job, Result]]] = {}
    for job, result in zip(jobs, results, strict=True):
        runs.setdefault(job.recipe.name, {})[job.seed] = job, result
    targets = {seed: result["best_validation_accuracy"] for seed, (_, result) in runs[BASELINE.name].items()}
    seeds = {
        name: [_seed(result, targets[seed]) for seed, (_, result) in of_arm.items()] for name, of_arm in runs.items()
    }
    baseline = [seed["steps_to_target"] for seed in seeds[BASELINE.name]]
    return {
        "target_accuracy": _mean(targets.values()) or 0.0,
        "arms": [_arm(next(iter(of_arm.values()))[0], seeds[name], baseline) for name, of_arm in runs.items()],
    }


def _seed(result: Result, target: float | None) -> dict[str, Any]:
    steps = None if target is None else steps_to_target(result["curve"], target)
    diverged = result["diverged_at"]
    outcome = "reached" if steps is not None else "not reached" if diverged is None else f"diverged at step {diverged}"
    return {
        "seed": result["seed"],
        "target_accuracy": target,
        "steps_to_target": steps,
        "best_validation_accuracy": result["best_validation_accuracy"],
        "test_accuracy": result["test_accuracy"],
        "outcome": outcome,
        "diverged_at": diverged,
        "seconds": result["seconds"],
        "curve": result["curve"],
    }


def _arm(job: Job, seeds: list[dict[str, Any]], baseline: Sequence[int | None]) -> dict[str, Any]:
    recipe = asdict(ARMS[job.recipe.name])
    compared = compare(baseline, [seed["steps_to_target"] for seed in seeds])
    return {
        "name": recipe.pop("name"),
        "learning_rate": job.learning_rate,
        **compared,
        "best_validation_accuracy": _mean(seed["best_validation_accuracy"] for seed in seeds),
        "test_accuracy": _mean(seed["test_accuracy"] for seed in seeds),
        "outcome": _outcome(seeds, reached=compared["steps_to_target"] is not None),
        "paper": recipe.pop("paper"),
        "recipe": recipe,
        "seeds": seeds,
    }


def _outcome(seeds: Sequence[Mapping[str, Any]], *, reached: bool) -> str:
    """Return the outcome of most seeds; a divergence is dated by the median of those that diverged without reaching."""
    if reached:
        return "reached"
    diverged = [s["diverged_at"] for s in seeds if s["outcome"].startswith("diverged")]
    return f"diverged at step {statistics.median_low(diverged)}" if 2 * len(diverged) > len(seeds) else "not reached"


def _mean(values: Any) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None
