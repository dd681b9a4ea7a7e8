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
        "schema": "steadynorm.record/2",
        "kind": "curves",
        "claim": "ladder",
        "statement": "Batch normalization reaches the baseline's accuracy in fewer steps (made up)",
        "source": "Ioffe & Szegedy 2015, Section 4.2",
        "literature": "14 times",
        "covers": ["S14"],
        "protocol": "Nothing was done.",
        "instead": None,
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
            _cell("he", 0.03, 0.05, "finished", chosen=True),
            _cell("glorot", 1.0, 0.9, "diverged at step 3", chosen=False),
        ],
        "arms": [_arm(*arm) for arm in ARMS],
        "seconds": 18.0,
        "verdict": "confirmed",
        "reading": "A made-up reading with <b>markup</b> & an ampersand.",
    }  # fmt: skip


def _cell(initialization: str, rate: float, score: float, outcome: str, *, chosen: bool) -> dict[str, Any]:
    cell = {"arm": "Inception", "initialization": initialization, "rate": rate, "scores": [score]}
    return cell | {"outcome": outcome, "chosen": chosen}


def _arm(name: str, rate: float, final: float, rise: float, steps: Any, interval: Any, ratio: Any, outcome: str) -> Any:
    seeds = [_seed(seed, final, rise, outcome) for seed in range(3)]
    return {
        "name": name,
        "learning_rate": rate,
        "curve": _mean([dict(map(tuple, seed["curve"])) for seed in seeds]),
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


def _mean(seeds: list[dict[int, float]]) -> list[list[float]]:
    """The mean at every step, a seed counting as chance, 0.1 of ten classes, from its divergence on."""
    return [[step, sum(seed.get(step, 0.1) for seed in seeds) / len(seeds)] for step in STEPS]


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
