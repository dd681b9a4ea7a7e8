"""Many claims at once: first those that are drawn, each in a process of one thread; then, one after the other, those
that are trained, each with its trainings side by side; the ladder at the end."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from ... import kernels
from ...errors import ArgumentError
from ...reports import Cell, Report
from .. import ladder
from ..monitor import Monitor, Progress
from ..pool import Pool, Run
from ..records import CLAIMS_SCHEMA, load_record, validate, write_beside, write_json
from .base import Preset
from .catalogue import LADDER, committed_records
from .measuring import Measuring
from .registry import CLAIMS, DRAWN, TRAINED
from .rounds import estimate, settle

__all__ = ["plan", "run"]


def plan(ids: Sequence[str], preset: Preset, processes: int) -> tuple[float, Report]:
    """Return about how many minutes :func:`run` takes here, one draw of every claim being timed, and a table of it."""
    threads, committed = torch.get_num_threads(), committed_records()
    torch.set_num_threads(1)
    rows: list[dict[str, Cell]] = []
    try:
        for id in ids:
            if id == LADDER:
                continue
            draws = CLAIMS[id].draws[preset]
            if id in TRAINED:
                seconds = estimate(TRAINED[id], preset, committed.get(id))
            else:
                start = time.perf_counter()
                DRAWN[id].measure(0)
                seconds = (time.perf_counter() - start) * draws
            rows.append({"claim": id, "draws": draws, "seconds": seconds})
    finally:
        torch.set_num_threads(threads)
    minutes = sum(float(row["seconds"] or 0) for row in rows) / processes / 60
    if LADDER in ids:
        trained = ladder.plan(ladder.LadderOptions(preset, threads=processes))
        rows.append({"claim": LADDER, "draws": trained.runs, "seconds": 60 * trained.minutes * processes})
        minutes += trained.minutes
    note = (
        f"About {minutes:.1f} minutes with {processes} processes of one thread; a draw of each claim was timed, and a "
        "few steps of each training."
    )
    return minutes, Report(f"{len(ids)} claims, preset {preset}", ("claim", "draws", "seconds"), rows, (note,))


def run(
    ids: Sequence[str],
    preset: Preset,
    directory: Path,
    *,
    processes: int,
    resume: bool,
    progress: Callable[[Progress], None],
) -> dict[str, Any]:
    """Measure claims, write ``directory/result.json``, and return it: ``records`` in the order of ``ids``.

    Args:
        ids: of the registry, and the ladder's.
        preset: how much.
        directory: the run directory (see :mod:`steadynorm.lab.records`).
        processes: claims side by side.
        resume: take up what ``directory`` holds; claims that have a record there are not measured again.
        progress: told after every draw.

    Raises: ArgumentError for a directory of another preset, or one that holds claims while ``resume`` is False;
        KeyboardInterrupt, once everything finished is saved.
    """
    _open(directory, preset, resume=resume)
    kernels.load()  # once, before the workers need them
    committed = committed_records()
    with Monitor(directory / "metrics.jsonl", progress) as monitor, Pool(directory, processes, monitor) as pool:

        def execute(stage: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
            monitor.stage(stage, runs)
            return pool.execute(runs)

        drawn = [Measuring(id, preset) for id in ids if id in DRAWN]
        records = {record["claim"]: record for record in execute("claims", drawn)}
        for id in (id for id in ids if id in TRAINED):
            file = directory / "checkpoints" / f"{id}.json"
            if not file.exists():
                write_json(file, settle(TRAINED[id], preset, committed.get(id), partial(execute, id)))
            records[id] = load_record(file)
    if LADDER in ids:
        folder = directory / LADDER
        begun = (folder / "config.yaml").exists()
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        options = ladder.LadderOptions(preset, threads=processes)
        records[LADDER] = ladder.run(options, folder, resume=begun, progress=progress)
    result = {
        "schema": CLAIMS_SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "preset": preset,
        "records": [records[id] for id in ids],
    }
    validate(result)
    write_json(directory / "result.json", result)
    return result


def _open(directory: Path, preset: Preset, *, resume: bool) -> None:
    """Write or check ``config.yaml``."""
    file = directory / "config.yaml"
    if not file.exists():
        text = yaml.safe_dump({"claims": True, "preset": preset})
        write_beside(file, lambda beside: beside.write_text(text, encoding="utf-8"))
        return
    begun = yaml.safe_load(file.read_text(encoding="utf-8"))["preset"]
    if not resume:
        raise ArgumentError(f"{directory} must not hold claims already, but does; resume it, or take a new directory")
    if begun != preset:
        raise ArgumentError(
            f"claims are resumed with their own preset, {begun}, received {preset}; give --preset {begun}"
        )
