"""The ladder's presets, and the runs that they stand for."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ..errors import ArgumentError
from .network import Initialization
from .recipes import ARMS, BASELINE, Recipe
from .training import Job

__all__ = [
    "FIRST_SEED",
    "INITIALIZATIONS",
    "PROTOCOLS",
    "RATES",
    "WIDTH",
    "Protocol",
    "arm_jobs",
    "beyond",
    "choose",
    "grid_cells",
    "grid_jobs",
    "protocol_for",
]

WIDTH = Fraction(1, 8)
INITIALIZATIONS: tuple[Initialization, ...] = ("glorot", "he")
FIRST_SEED = 3  # seeds 0 to 2 served to settle steps and rates of the presets and are not used again
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Protocol:
    """What a preset stands for; the numbers of images are upper limits, None takes all."""

    seeds: int
    steps: int
    evaluate_every: int
    rates: tuple[float, ...]  # of the baseline's grid, neighbours in RATES
    grid_seeds: int = 1
    extensions: int = 0  # how often a grid whose optimum lies at its edge may grow by a rate
    train: int | None = None
    validation: int | None = None
    test: int | None = None


#: By data (the digits, or a folder) and preset, sized by cost: a step takes 30–45 ms on 8×8 images, 70–100 ms on 32×32.
PROTOCOLS = {
    "digits": {
        "smoke": Protocol(seeds=2, steps=10, evaluate_every=5, rates=(0.03,)),
        "quick": Protocol(seeds=3, steps=500, evaluate_every=10, rates=(0.003, 0.01, 0.03)),
        "full": Protocol(
            seeds=5, steps=2000, evaluate_every=10, rates=(0.001, 0.003, 0.01, 0.03, 0.1), grid_seeds=2, extensions=2
        ),
    },
    "folder": {
        "smoke": Protocol(seeds=2, steps=10, evaluate_every=5, rates=(0.03,), train=1000, validation=100, test=100),
        "quick": Protocol(
            seeds=3, steps=1500, evaluate_every=50, rates=(0.003, 0.01, 0.03), train=10_000, validation=1000
        ),
        "full": Protocol(
            seeds=5,
            steps=10_000,
            evaluate_every=200,
            rates=(0.001, 0.003, 0.01, 0.03, 0.1),
            extensions=2,
            validation=2000,
        ),
    },
}


def protocol_for(preset: str, data: str, seeds: int | None = None) -> Protocol:
    """Return the protocol of a preset for ``"digits"`` or a folder, with ``seeds`` paired seeds if given.

    Raises: ArgumentError when there is no such preset or less than one seed.
    """
    presets = PROTOCOLS["digits" if data == "digits" else "folder"]
    if preset not in presets:
        raise ArgumentError(f"preset must be one of {', '.join(presets)}, received {preset!r}; choose one of them")
    if seeds is not None and seeds < 1:
        raise ArgumentError(f"seeds must be at least 1, received {seeds}; leave it out for the preset's number")
    protocol = presets[preset]
    seeds = protocol.seeds if seeds is None else seeds
    return replace(protocol, seeds=seeds, grid_seeds=min(protocol.grid_seeds, seeds))


def _job(
    protocol: Protocol,
    data: str,
    recipe: Recipe,
    rate: float,
    initialization: Initialization,
    seed: int,
    *,
    tested: bool,
) -> Job:
    return Job(
        recipe=recipe,
        learning_rate=rate * recipe.rate,
        initialization=initialization,
        seed=seed,
        data=data,
        width=WIDTH,
        steps=protocol.steps,
        evaluate_every=protocol.evaluate_every,
        train=protocol.train,
        validation=protocol.validation,
        test=protocol.test,
        tested=tested,
    )


def grid_jobs(protocol: Protocol, data: str, rates: Sequence[float]) -> list[Job]:
    """Return the baseline's runs over initializations × rates × grid seeds; they never see the test part."""
    return [
        _job(protocol, data, BASELINE, rate, initialization, seed, tested=False)
        for initialization in INITIALIZATIONS
        for rate in sorted(rates)
        for seed in range(FIRST_SEED, FIRST_SEED + protocol.grid_seeds)
    ]


def arm_jobs(protocol: Protocol, data: str, rate: float, initialization: Initialization) -> list[Job]:
    """Return the runs of all arms, seed by seed, where ``rate`` is the baseline's."""
    return [
        _job(protocol, data, recipe, rate, initialization, seed, tested=True)
        for seed in range(FIRST_SEED, FIRST_SEED + protocol.seeds)
        for recipe in ARMS.values()
    ]


def grid_cells(jobs: Sequence[Job], results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each initialization and rate: the mean over its seeds of the best validation accuracy, and the
    outcome.

    A run that diverged before its first evaluation counts as accuracy 0.
    """
    seeds: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        seeds.setdefault((job.initialization, job.learning_rate), []).append(result)
    cells = []
    for (initialization, rate), of_cell in seeds.items():
        diverged = [result["diverged_at"] for result in of_cell if result["diverged_at"] is not None]
        cells.append(
            {
                "initialization": initialization,
                "learning_rate": rate,
                "best_validation_accuracy": statistics.fmean(r["best_validation_accuracy"] or 0.0 for r in of_cell),
                "outcome": f"diverged at step {min(diverged)}" if diverged else "finished",
            }
        )
    return cells


def choose(cells: Sequence[Mapping[str, Any]]) -> tuple[float, Initialization]:
    """Return rate and initialization of the best cell that did not diverge (of all, if all did); of equal ones the
    lowest rate."""
    best = max(
        cells, key=lambda c: (c["outcome"] == "finished", c["best_validation_accuracy"], -float(c["learning_rate"]))
    )
    return best["learning_rate"], best["initialization"]


def beyond(rate: float, rates: Sequence[float]) -> float | None:
    """Return the next rate outside of ``rates`` on the side of ``rate``, which is one of its ends; None at the end of
    all."""
    position = RATES.index(rate) + (1 if rate == max(rates) else -1)
    return RATES[position] if 0 <= position < len(RATES) else None
