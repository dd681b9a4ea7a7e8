"""The ladder: the paper's comparison of six ways to train one network, on a reader's own machine.

The claim is that of Ioffe & Szegedy 2015, Sec. 4.2.2 with Figures 2 and 3. The protocol, fixed before any run:

1. The baseline, *Inception* without batch norm, gets its own grid: {Glorot, He} × learning rates, chosen by best
   validation accuracy among the settings that did not diverge.
2. Every arm is trained with paired seeds (one split, one order of batches where the recipes shuffle alike, one draw of
   the weights), from the chosen initialization, at its recipe's multiple of the chosen rate. A run diverges at the step
   whose loss is not finite, and ends there.
3. Steps to the target, ratios and intervals are as :mod:`.statistics` defines them, verdict and reading as
   :mod:`.reading` does. The test part is evaluated once for each run of an arm, by the weights of its best validation
   accuracy.

What is scaled down, and therefore not the paper's: data, width (1/8, about 0.16 million parameters), number of steps,
one process in place of asynchronous workers.
"""

import os
import statistics as numbers
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from .. import kernels
from ..errors import ArgumentError
from ..reports import Cell, Report
from . import data as datasets
from .monitor import Monitor, Progress
from .network import Initialization
from .pool import Pool
from .protocol import INITIALIZATIONS, WIDTH, Protocol, arm_jobs, beyond, choose, grid_cells, grid_jobs, protocol_for
from .reading import reading, table, verdict
from .recipes import ARMS
from .records import SCHEMA, environment, validate, write_beside, write_json
from .summary import summarize
from .training import Job, Training

__all__ = ["LadderOptions", "Plan", "Progress", "plan", "run", "table", "verdict"]

STATEMENT = (
    "With batch normalization the same network reaches the un-normalized network's best accuracy in fewer steps, in "
    "fewer still with the changes that batch normalization allows, and it trains even with sigmoids."
)
SOURCE = "Ioffe & Szegedy 2015 (arXiv:1502.03167), Sec. 4.2.1–4.2.2, Figures 2 and 3"


@dataclass(frozen=True)
class LadderOptions:
    """What a user chooses.

    Args:
        preset: ``smoke`` runs through in seconds and resolves nothing; ``quick`` takes minutes; ``full`` is the careful
            one.
        data: ``digits``, or a folder with train-*.parquet and test-*.parquet.
        seeds: number of paired seeds, at least 1; None: the preset's.
        threads: worker processes, of one thread each; None: one for each processor available.
    """

    preset: Literal["smoke", "quick", "full"] = "quick"
    data: str = "digits"
    seeds: int | None = None
    threads: int | None = None


def _resolve(options: LadderOptions) -> tuple[Protocol, int]:
    """Return the protocol, and the number of worker processes."""
    if options.threads is not None and options.threads < 1:
        raise ArgumentError(f"threads must be at least 1, received {options.threads}; leave it out for one a processor")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return protocol_for(options.preset, options.data, options.seeds), options.threads or available


@dataclass(frozen=True)
class Plan:
    """What a ladder would do, and about how long it would take here."""

    options: LadderOptions
    protocol: Protocol
    processes: int
    runs: int
    minutes: float
    step_seconds: dict[str, float]

    def report(self) -> Report:
        """Return the plan as a table."""
        protocol, grid = self.protocol, len(INITIALIZATIONS) * len(self.protocol.rates) * self.protocol.grid_seeds
        rows: list[dict[str, Cell]] = [
            {"what": "the baseline's grid", "runs": grid, "steps": grid * protocol.steps},
            {"what": "six arms", "runs": self.runs - grid, "steps": (self.runs - grid) * protocol.steps},
        ]
        timed = ", ".join(f"{1000 * seconds:.0f} ms {name}" for name, seconds in self.step_seconds.items())
        notes = [
            f"About {self.minutes:.1f} minutes with {self.processes} processes of one thread; a step takes {timed}.",
            f"Rates {', '.join(f'{rate:g}' for rate in protocol.rates)}, from Glorot and He weights; "
            f"{protocol.seeds} paired seeds; an evaluation every {protocol.evaluate_every} steps.",
        ]
        if protocol.extensions:
            notes.append(f"The grid grows up to {protocol.extensions} times while its best rate lies at an edge.")
        return Report(f"Ladder, preset {self.options.preset}", ("what", "runs", "steps"), rows, notes)


def plan(options: LadderOptions) -> Plan:
    """Say what :func:`run` would do, with minutes from a few timed steps on this machine; nothing is written.

    Raises: ArgumentError, DataError and MissingExtraError as :func:`run`.
    """
    protocol, processes = _resolve(options)
    grid = grid_jobs(protocol, options.data, protocol.rates)
    arms = arm_jobs(protocol, options.data, 1e-3, "he")
    normalized = next(job for job in arms if job.recipe.batch_norm)
    seconds = {"without batch norm": _time(arms[0]), "with batch norm": _time(normalized)}
    total = sum(
        seconds["with batch norm" if job.recipe.batch_norm else "without batch norm"] * job.steps
        for job in [*grid, *arms]
    )
    return Plan(options, protocol, processes, len(grid) + len(arms), total / processes / 60, seconds)


def _time(job: Job) -> float:
    """Return the median seconds of a step with its share of an evaluation, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    kernels.load()
    try:
        training = Training(job)

        def seconds(deed: Callable[[], object], repeats: int) -> float:
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                deed()
                times.append(time.perf_counter() - start)
            return numbers.median(times[1:])  # the first warms up

        return seconds(training.advance, 8) + seconds(training.evaluate, 3) / job.evaluate_every
    finally:
        torch.set_num_threads(threads)


def run(
    options: LadderOptions, directory: Path, *, resume: bool, progress: Callable[[Progress], None]
) -> dict[str, Any]:
    """Run the ladder, write ``directory/result.json``, and return that record.

    Args:
        options: what to run.
        directory: the run directory (see :mod:`.records`).
        resume: take up what ``directory`` holds of the same ladder; finished runs are not repeated, and the numbers
            that come out are those of an uninterrupted ladder, bit for bit. Otherwise the directory must not hold one.
        progress: told after every few steps.

    Raises: ArgumentError for options out of range, or a directory that holds another ladder; DataError and
        MissingExtraError as :func:`steadynorm.lab.data.load`; KeyboardInterrupt, once everything is saved.
    """
    protocol, processes = _resolve(options)
    data = datasets.load(options.data, 0, train=protocol.train, validation=protocol.validation, test=protocol.test)
    settings = {
        "data": data.name,
        "width": str(WIDTH),
        "initializations": list(INITIALIZATIONS),
        **asdict(protocol),
        "rates": list(protocol.rates),
    }
    created = _open(directory, options, settings, resume=resume)
    kernels.load()  # once, before the workers need them
    measured_on = environment(processes=processes, threads_a_process=1, kernels=kernels.status())
    write_json(directory / "env.json", measured_on)

    with Monitor(directory / "metrics.jsonl", progress) as monitor, Pool(directory, processes, monitor) as pool:
        grid, rate, how, optimum = _search(protocol, options.data, pool, monitor)
        jobs = arm_jobs(protocol, options.data, rate, how)
        monitor.stage("arms", jobs)
        results = pool.execute(jobs)

    record: dict[str, Any] = {
        "schema": SCHEMA,
        "claim": "ladder",
        "statement": STATEMENT,
        "source": SOURCE,
        "created": created,
        "preset": options.preset,
        "settings": {**settings, "initialization": how, "learning_rate": rate, "optimum": optimum},
        "environment": measured_on,
        "data": data.describe(),
        "grid": grid,
        **summarize(jobs, results, data.classes),
    }
    record["verdict"] = verdict(record)
    record["reading"] = reading(record)
    validate(record)
    write_json(directory / "result.json", record)
    return record


def _search(
    protocol: Protocol, data: str, pool: Pool, monitor: Monitor
) -> tuple[list[dict[str, Any]], float, Initialization, str]:
    """Run the baseline's grid, extended while its optimum lies at an edge and the protocol allows it.

    Returns: the cells, the chosen rate and initialization, and whether the rate is ``"interior"`` or ``"at the edge"``.
    """
    rates, arms = list(protocol.rates), len(ARMS) * protocol.seeds * protocol.steps
    while True:
        jobs = grid_jobs(protocol, data, rates)
        monitor.stage("grid", jobs, further=arms)
        cells = grid_cells(jobs, pool.execute(jobs))
        rate, how = choose(cells)
        if rate not in (min(rates), max(rates)):
            return cells, rate, how, "interior"
        further = beyond(rate, rates)
        if further is None or len(rates) == len(protocol.rates) + protocol.extensions:
            return cells, rate, how, "at the edge"
        rates.append(further)


def _open(directory: Path, options: LadderOptions, settings: dict[str, Any], *, resume: bool) -> str:
    """Write or check ``config.yaml`` and return when the ladder was begun."""
    file = directory / "config.yaml"
    if file.exists():
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not resume:
            raise ArgumentError(
                f"{directory} must not hold a ladder already, but does; resume it, or take a new directory"
            )
        if config["settings"] != settings:
            raise ArgumentError(
                f"a ladder is resumed with its own settings, those of {file}, received other ones; "
                "give the preset, data and seeds that it was begun with"
            )
        return str(config["created"])
    created = datetime.now(UTC).isoformat(timespec="seconds")
    config = {"claim": "ladder", "created": created, "options": asdict(options), "settings": settings}
    write_beside(file, lambda beside: beside.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8"))
    return created
