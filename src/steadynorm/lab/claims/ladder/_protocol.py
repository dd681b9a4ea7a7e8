"""The ladder's presets, and the runs that they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ...network import Initialization
from ...runs.grids import marked
from ...runs.job import Job
from ...runs.options import Options, Preset
from ...runs.recipe import Recipe
from ._arms import ARMS, BASELINE

__all__ = [
    "FIRST_SEED",
    "INITIALIZATIONS",
    "PROTOCOLS",
    "WIDTH",
    "Protocol",
    "arm_jobs",
    "grid_jobs",
    "grid_rows",
    "protocol_for",
]

WIDTH = Fraction(1, 8)
INITIALIZATIONS: tuple[Initialization, ...] = ("glorot", "he")
FIRST_SEED = 3  # seeds 0 to 2 served to settle steps and rates of the presets and are not used again


@dataclass(frozen=True)
class Protocol:
    """What a preset stands for; the numbers of images are upper limits, None takes all."""

    seeds: int
    steps: int
    evaluate_every: int
    rates: tuple[float, ...]  # of the baseline's grid, neighbours in runs.grids.RATES
    grid_seeds: int = 1
    extensions: int = 0  # how often a grid whose optimum lies at its edge may grow by a rate
    train: int | None = None
    validation: int | None = None
    test: int | None = None


#: By data (the digits, or a folder) and preset, sized by cost: a step takes 30–45 ms on 8×8 images, 70–100 ms on 32×32.
PROTOCOLS: dict[str, dict[Preset, Protocol]] = {
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


def protocol_for(options: Options) -> Protocol:
    """Return the protocol of the preset for the digits or a folder, with as many paired seeds as the options say."""
    protocol = PROTOCOLS["digits" if options.data == "digits" else "folder"][options.preset]
    seeds = protocol.seeds if options.seeds is None else options.seeds
    return replace(protocol, seeds=seeds, grid_seeds=min(protocol.grid_seeds, seeds))


def _job(protocol: Protocol, data: str, recipe: Recipe, rate: float, **others: Any) -> Job:
    return Job(
        claim="ladder",
        recipe=recipe,
        learning_rate=rate * recipe.rate_multiplier,
        data=data,
        width=WIDTH,
        steps=protocol.steps,
        evaluate_every=protocol.evaluate_every,
        train=protocol.train,
        validation=protocol.validation,
        test=protocol.test,
        **others,
    )


def grid_jobs(protocol: Protocol, data: str, rates: Sequence[float]) -> list[Job]:
    """Return the baseline's runs over initializations × rates × grid seeds; they never see the test part."""
    return [
        _job(protocol, data, BASELINE, rate, initialization=initialization, seed=seed, tested=False)
        for initialization in INITIALIZATIONS
        for rate in sorted(rates)
        for seed in range(FIRST_SEED, FIRST_SEED + protocol.grid_seeds)
    ]


def arm_jobs(protocol: Protocol, data: str, rate: float, initialization: Initialization) -> list[Job]:
    """Return the runs of all arms, seed by seed, where ``rate`` is the baseline's."""
    return [
        _job(protocol, data, recipe, rate, initialization=initialization, seed=seed)
        for seed in range(FIRST_SEED, FIRST_SEED + protocol.seeds)
        for recipe in ARMS.values()
    ]


def grid_rows(jobs: Sequence[Job], results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the grid (see :mod:`steadynorm.lab.runs.grids`); a score is the least validation error of a seed's run.

    A run that diverged before its first evaluation counts as accuracy 0.
    """
    cells: dict[tuple[Initialization, float], list[Mapping[str, Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        cells.setdefault((job.initialization, job.learning_rate), []).append(result)
    rows = []
    for (initialization, rate), of_cell in cells.items():
        diverged = [result["diverged_at"] for result in of_cell if result["diverged_at"] is not None]
        rows.append(
            {
                "arm": BASELINE.name,
                "initialization": initialization,
                "rate": rate,
                "scores": [1 - (result["best_validation_accuracy"] or 0.0) for result in of_cell],
                "outcome": f"diverged at step {min(diverged)}" if diverged else "finished",
            }
        )
    return marked(rows)
