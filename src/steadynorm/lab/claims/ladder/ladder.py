"""The ladder: the paper's comparison of six ways to train one network, on a reader's own machine.

What is scaled down, and therefore not the paper's: data, width (1/8, about 0.16 million parameters), number of steps,
one process in place of asynchronous workers.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ... import data as datasets
from ...claim import Claim, Plan, Planned
from ...records import Record
from ...runs.grids import beyond
from ...runs.job import Job, JobTraining
from ...runs.options import Options
from ...runs.stages import Stage, Work
from . import _reading
from ._arms import ARMS
from ._protocol import INITIALIZATIONS, WIDTH, Protocol, arm_jobs, grid_jobs, grid_rows, protocol_for
from ._summary import summarize

__all__ = ["CLAIM"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladder(Claim):
    """A claim about the accuracy curves of arms whose rates are multiples of the first one's."""

    kind: ClassVar[str] = "curves"

    def settings(self, options: Options) -> dict[str, Any]:
        """The protocol of preset and data."""
        protocol = protocol_for(options)
        return {
            "data": _data(options, protocol).name,
            "width": str(WIDTH),
            "initializations": list(INITIALIZATIONS),
            **asdict(protocol),
            "rates": list(protocol.rates),
        }

    def plan(self, options: Options, committed: Record | None) -> Plan:
        """A few steps with and without batch norm are timed."""
        protocol = protocol_for(options)
        grid, arms = grid_jobs(protocol, options.data, protocol.rates), arm_jobs(protocol, options.data, 1e-3, "he")
        normalized = next(job for job in arms if job.recipe.batch_norm)
        seconds = {False: _seconds_a_step(arms[0]), True: _seconds_a_step(normalized)}

        def planned(what: str, jobs: list[Job]) -> Planned:
            spent = sum(seconds[job.recipe.batch_norm] * job.steps for job in jobs)
            return Planned(what, len(jobs), sum(job.steps for job in jobs), spent)

        notes = [
            f"A step takes {1000 * seconds[False]:.0f} ms without batch norm, {1000 * seconds[True]:.0f} ms with it.",
            f"Rates {', '.join(f'{rate:g}' for rate in protocol.rates)}, from Glorot and He weights; "
            f"{protocol.seeds} paired seeds; an evaluation every {protocol.evaluate_every} steps.",
        ]
        if protocol.extensions:
            notes.append(f"The grid grows up to {protocol.extensions} times while its best rate lies at an edge.")
        return Plan([planned("the baseline's grid", grid), planned("six arms", arms)], notes)

    def work(self, options: Options, committed: Record | None) -> Work:
        """The baseline's grid, extended while its optimum lies at an edge and the protocol allows it; then the arms."""
        protocol, rates = protocol_for(options), list(protocol_for(options).rates)
        while True:
            jobs = grid_jobs(protocol, options.data, rates)
            results = yield Stage("grid", jobs, further=len(ARMS) * protocol.seeds * protocol.steps)
            grid = grid_rows(jobs, results)
            taken = next(row for row in grid if row["chosen"])
            rate, initialization = taken["rate"], taken["initialization"]
            inside = rate not in (min(rates), max(rates))
            further = None if inside else beyond(rate, rates)
            if further is None or len(rates) == len(protocol.rates) + protocol.extensions:
                break
            rates.append(further)
        jobs = arm_jobs(protocol, options.data, rate, initialization)
        finished = yield Stage("arms", jobs)
        data = _data(options, protocol)
        return {
            "settings": {
                **self.settings(options),
                "initialization": initialization,
                "learning_rate": rate,
                "optimum": "interior" if inside else "at the edge",
            },
            "data": data.describe(),
            "grid": grid,
            **summarize(jobs, finished, data.classes),
            "seconds": round(sum(result["seconds"] for result in (*results, *finished)), 3),
        }

    # What follows from a record: see the module of these functions.
    judgements = staticmethod(_reading.judgements)
    reading = staticmethod(_reading.reading)
    measured = staticmethod(_reading.measured)
    table = staticmethod(_reading.table)


def _data(options: Options, protocol: Protocol) -> datasets.Data:
    return datasets.load(options.data, 0, train=protocol.train, validation=protocol.validation, test=protocol.test)


def _seconds_a_step(job: Job) -> float:
    """Return the median seconds of a step with its share of an evaluation."""
    training = JobTraining(job)

    def seconds(deed: Callable[[], object], repeats: int) -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            deed()
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])  # the first warms up

    return seconds(training.advance, 8) + seconds(training.evaluate, 3) / job.evaluate_every


CLAIM = Ladder(
    id="ladder",
    order=1000,
    statement="With batch normalization the same network reaches the un-normalized network's best accuracy in fewer "
    "steps, in fewer still with the changes that batch normalization allows, and it trains even with sigmoids.",
    source="Ioffe & Szegedy 2015 (arXiv:1502.03167), Sec. 4.2.1–4.2.2, Figures 2 and 3",
    literature="31.0 million steps without, 13.3 with, 2.1 at five times the rate (ratios 2.3 and 14.8); sigmoids: "
    "69.8 % and 0.1 %",
    covers=("S12", "S13", "S14"),
    protocol="Fixed before any run. The baseline, Inception without batch norm, gets a grid of its own: Glorot's and "
    "He's weights by learning rates, chosen by the best validation accuracy among the settings that did not diverge. "
    "Every arm is trained with paired seeds (one split, one order of batches where the recipes shuffle alike, one draw "
    "of the weights), from the chosen weights, at its multiple of the chosen rate. A run diverges at the step whose "
    "loss is not finite, ends there, and counts as chance from then on. The target is the best of the baseline's mean "
    "curve; an arm is there at the first evaluation at which its own mean curve is. The test part is evaluated once "
    "for each run of an arm, by the weights of its best validation accuracy.",
)
