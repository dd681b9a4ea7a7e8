"""Records of ladders made up from made-up runs, for tests of what reads them: none of their numbers was measured."""

from typing import Any

from steadynorm.lab.claims.ladder._arms import ARMS
from steadynorm.lab.claims.ladder._protocol import FIRST_SEED, Protocol, arm_jobs
from steadynorm.lab.claims.ladder._summary import summarize
from steadynorm.lab.claims.ladder.ladder import CLAIM

STEPS = 100

#: Final accuracy, and the step that it is reached at by a straight line from chance, a seed each.
CONFIRMING = {
    "Inception": [(0.95, 80), (0.94, 90), (0.96, 100)],
    "BN-Baseline": [(0.97, 40), (0.97, 50), (0.97, 40)],
    "BN-x5": [(0.98, 20), (0.98, 20), (0.97, 30)],
    "BN-x30": [(0.98, 20), (0.98, 30), (0.97, 20)],
    "BN-x5-Sigmoid": [(0.97, 30), (0.96, 50), (0.97, 30)],
    "Inception-Sigmoid": [(0.10, 10), (0.11, 10), (0.12, 10)],
}


def run_of(seed: int, accuracy: float, at: int, diverged_at: int | None = None) -> dict[str, Any]:
    """Return a run's result: chance at step 0, ``accuracy`` from step ``at`` on, nothing from ``diverged_at`` on."""
    last = STEPS if diverged_at is None else diverged_at - 1
    curve = [[step, 0.1 + (accuracy - 0.1) * min(1, step / at)] for step in range(10, last + 1, 10)]
    return {
        "seed": seed,
        "diverged_at": diverged_at,
        "best_validation_accuracy": max((a for _, a in curve), default=None),
        "test_accuracy": accuracy - 0.01 if curve else None,
        "seconds": 1.0,
        "curve": curve,
    }


def record_of(optimum: str = "interior", **arms: list[Any]) -> dict[str, Any]:
    """Return the record of :data:`CONFIRMING` with some arms (underscores for hyphens) replaced."""
    runs = CONFIRMING | {name.replace("_", "-"): of_arm for name, of_arm in arms.items()}
    seeds = len(runs["Inception"])
    jobs = arm_jobs(Protocol(seeds, STEPS, 10, (0.03,)), "digits", 0.03, "he")
    results = [run_of(FIRST_SEED + seed, *runs[name][seed]) for seed in range(seeds) for name in ARMS]
    found = {
        "settings": {"steps": STEPS, "width": "1/8", "initialization": "he", "learning_rate": 0.03, "optimum": optimum},
        "data": {
            "name": "digits",
            "note": "made up",
            "train": 60,
            "validation": 20,
            "test": 20,
            "classes": 10,
            "shape": [1, 8, 8],
        },
        "grid": [
            {
                "arm": "Inception",
                "initialization": "he",
                "rate": 0.03,
                "scores": [0.05],
                "outcome": "finished",
                "chosen": True,
            }
        ],
        **summarize(jobs, results, classes=10),
        "seconds": 18.0,
    }
    return CLAIM.record(found, preset="smoke", created="2001-02-03T04:05:06+00:00", environment={})
