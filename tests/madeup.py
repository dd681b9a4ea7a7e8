"""A record of the ladder made up for tests of what reads records: none of its numbers was measured."""

import math
from typing import Any

STEPS = range(25, 601, 25)
# name, rate, final accuracy, steps of rise, steps to the target, interval, ratio, outcome
ARMS = (
    ("Inception", 0.03, 0.95, 120, 475, [450, 500], 1.0, "reached"),
    ("BN-Baseline", 0.03, 0.985, 60, 225, [200, 250], 2.1, "reached"),
    ("BN-x5", 0.15, 0.99, 35, 125, [100, 150], 3.8, "reached"),
    ("BN-x30", 0.9, 0.97, 45, 175, [125, 250], 2.7, "reached"),
    ("BN-x5-Sigmoid", 0.15, 0.93, 130, None, None, None, "not reached"),
    ("Inception-Sigmoid", 0.15, 0.1, 10, None, None, None, "diverged at step 150"),
)


def record() -> dict[str, Any]:
    """Return a fresh made-up record, with arms that reach the target, one that does not and one that diverges."""
    return {
        "schema": "steadynorm.record/1",
        "claim": "ladder",
        "statement": "Batch normalization reaches the baseline's accuracy in fewer steps (made up)",
        "source": "Ioffe & Szegedy 2015, Section 4.2",
        "created": "2001-02-03T04:05:06Z",
        "preset": "smoke",
        "settings": {
            "steps": 600,
            "width": "1/8",
            "initialization": "he",
            "optimum": "interior",
            "rates": [0.01, 0.03, 0.1],
            "network": {"modules": 10},
        },
        "environment": {"steadynorm": "0", "torch": "0", "processor": "made-up <processor> & co", "threads": 2},
        "data": {
            "name": "digits",
            "note": "Made-up data, 8×8 pixels.",
            "train": 1000,
            "validation": 400,
            "test": 397,
            "classes": 10,
            "shape": [1, 8, 8],
        },
        "target_accuracy": 0.947,
        "grid": [
            {"initialization": "he", "learning_rate": 0.03, "best_validation_accuracy": 0.95, "outcome": "completed"},
            {"initialization": "glorot", "learning_rate": 1.0, "best_validation_accuracy": 0.1, "outcome": "diverged"},
        ],
        "arms": [_arm(*arm) for arm in ARMS],
        "verdict": "confirmed",
        "reading": "A made-up reading with <b>markup</b> & an ampersand.",
    }  # fmt: skip


def _arm(name: str, rate: float, final: float, rise: float, steps: Any, interval: Any, ratio: Any, outcome: str) -> Any:
    seeds = [_seed(seed, final, rise, outcome) for seed in range(3)]
    return {
        "name": name,
        "learning_rate": rate,
        "steps_to_target": steps,
        "steps_to_target_interval": interval,
        "ratio": ratio,
        "ratio_interval": None if ratio is None else [ratio * 0.9, ratio * 1.1],
        "best_validation_accuracy": final,
        "test_accuracy": final - 0.01,
        "outcome": outcome,
        "recipe": {"batch_norm": name.startswith("BN"), "activation": "sigmoid" if "Sigmoid" in name else "relu"},
        "paper": {"learning_rate": 0.0015, "steps_to_target": 31.0e6, "best_accuracy": 0.722},
        "seeds": seeds,
    }  # fmt: skip


def _seed(seed: int, final: float, rise: float, outcome: str) -> dict[str, Any]:
    steps = [step for step in STEPS if not outcome.startswith("diverged") or step <= 100 + 25 * seed]
    curve = [[step, 0.1 + (final - 0.1) * (1 - math.exp(-step / (rise * (1 + 0.1 * seed))))] for step in steps]
    return {
        "seed": seed,
        "target_accuracy": 0.947,
        "steps_to_target": next((step for step, accuracy in curve if accuracy >= 0.947), None),
        "best_validation_accuracy": curve[-1][1],
        "test_accuracy": curve[-1][1],
        "outcome": outcome,
        "diverged_at": None,
        "seconds": 1.0,
        "curve": curve,
    }
