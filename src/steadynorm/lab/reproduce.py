"""Claims run on this machine, one or many alike: the plan, and the run with its directory and its record."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import kernels
from ..environment import environment
from ..files import write_json
from ..reports import Cell, Report
from .claim import Claim
from .records import SCHEMA, Record, validate
from .runs.directory import open_run
from .runs.monitor import Monitor, Progress
from .runs.options import Options
from .runs.pool import Pool
from .runs.stages import carry_out

__all__ = ["plan", "run"]

Committed = Mapping[str, Record]


def plan(claims: Sequence[Claim], options: Options, committed: Committed) -> tuple[float, Report]:
    """Return about how many minutes :func:`run` takes here, and a table of its stages; nothing is written.

    Raises: ArgumentError, DataError and MissingExtraError as :func:`run`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    kernels.load()
    try:
        plans = {claim.id: claim.plan(options, committed.get(claim.id)) for claim in claims}
    finally:
        torch.set_num_threads(threads)
    rows: list[dict[str, Cell]] = [
        {"claim": id, **stage._asdict()} for id, planned in plans.items() for stage in planned.stages
    ]
    minutes = sum(stage.seconds for planned in plans.values() for stage in planned.stages) / options.processes / 60
    notes = [
        f"About {minutes:.1f} minutes with {options.processes} processes of one thread; a draw of each claim was "
        "timed, and a few steps of each training.",
        *(note for planned in plans.values() for note in planned.notes),
    ]
    title = claims[0].id.capitalize() if len(claims) == 1 else f"{len(claims)} claims"
    columns = ("claim", "what", "runs", "steps", "seconds")
    return minutes, Report(f"{title}, preset {options.preset}", columns, rows, notes)


def run(
    claims: Sequence[Claim],
    options: Options,
    directory: Path,
    *,
    committed: Committed,
    resume: bool,
    progress: Callable[[Progress], None],
    alone: bool = False,
) -> dict[str, Any]:
    """Run claims, write ``directory/result.json``, and return that record.

    Args:
        claims: what is run, side by side.
        options: how much of it.
        directory: the run directory (see :mod:`.runs.directory`).
        committed: the records that come with the package, by claim.
        resume: take up what ``directory`` holds; finished jobs are not repeated, and the numbers that come out are
            those of an uninterrupted run, bit for bit. Otherwise the directory must not hold a run.
        progress: told after every few steps.
        alone: whether the record is that of the one claim; otherwise it is one of kind ``claims``, with the records in
            the order of ``claims``.

    Raises: ArgumentError for options out of range, or a directory that holds a run of other settings; DataError and
        MissingExtraError for data that cannot be had; KeyboardInterrupt, once everything is saved.
    """
    created = open_run(directory, options, {claim.id: claim.settings(options) for claim in claims}, resume=resume)
    kernels.load()  # once, before the workers need them
    measured_on = environment(processes=options.processes, threads_a_process=1, kernels=kernels.status())
    write_json(directory / "env.json", measured_on)
    works = {claim.id: claim.work(options, committed.get(claim.id)) for claim in claims}
    with (
        Monitor(directory / "metrics.jsonl", progress) as monitor,
        Pool(directory, options.processes, monitor) as pool,
    ):
        found = carry_out(works, pool, monitor)
    told: dict[str, Any] = {"preset": options.preset, "created": created}
    records = [claim.record(found[claim.id], environment=measured_on, **told) for claim in claims]
    result = records[0] if alone else {"schema": SCHEMA, "kind": "claims", **told, "records": records}
    validate(result)
    write_json(directory / "result.json", result)
    return result
