"""Every claim with its last verdict, whatever kind of record it has: drawn here, or trained as the ladder is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ArgumentError
from ...reports import Report
from .. import ladder
from ..records import latest_run_directory, load_record
from . import reading
from .registry import CLAIMS

__all__ = ["ENTRIES", "LADDER", "Entry", "choose", "committed_records", "last_records", "measured", "table"]

LADDER = "ladder"
RUNS = "claims"  # name of the run directories


@dataclass(frozen=True)
class Entry:
    """What is known of a claim before it is run."""

    id: str
    statement: str
    source: str
    literature: str
    covers: tuple[str, ...]


ENTRIES: Mapping[str, Entry] = {
    claim.id: Entry(claim.id, claim.statement, claim.source, claim.literature, claim.covers)
    for claim in CLAIMS.values()
} | {
    LADDER: Entry(
        LADDER,
        ladder.STATEMENT,
        ladder.SOURCE,
        "31.0 million steps without, 13.3 with, 2.1 at five times the rate (ratios 2.3 and 14.8); sigmoids: 69.8 % "
        "and 0.1 %",
        ("S12", "S13", "S14"),
    )
}


def choose(words: Sequence[str]) -> list[str]:
    """Return the ids that are meant, in the registry's order; a theme's name means all of its claims.

    Raises: ArgumentError for a word that is neither.
    """
    themes = {id.partition("/")[0] for id in ENTRIES}
    unknown = [word for word in words if word not in ENTRIES and word not in themes]
    if unknown:
        raise ArgumentError(
            f"a claim must be one of those that `steadynorm claims` lists, or a theme ({', '.join(sorted(themes))}), "
            f"received {', '.join(unknown)}"
        )
    return [id for id in ENTRIES if id in words or id.partition("/")[0] in words]


def measured(record: Mapping[str, Any]) -> str:
    """Say in one line what a record measured."""
    if record["claim"] != LADDER:
        return reading.measured(record)
    told = (
        f"{arm['name']}: {arm['outcome'] if arm['ratio'] is None else format(arm['ratio'], '.3g') + ' times faster'}"
        for arm in record["arms"][1:]
    )
    return "; ".join(told)


def table(record: Mapping[str, Any]) -> Report:
    """Return the table of a record."""
    return ladder.table(record) if record["claim"] == LADDER else reading.table(record)


def committed_records() -> dict[str, dict[str, Any]]:
    """Read the records that come with the package, by claim: here in the wheel, in results/ in a checkout."""
    packaged, results = Path(__file__).with_name("records"), Path(__file__).parents[4] / "results"
    folder = packaged if packaged.exists() else results / "claims"
    drawn = {id: folder / f"{id}.json" for id in CLAIMS}
    trained = {LADDER: packaged / "ladder.json" if packaged.exists() else results / "ladder-digits.json"}
    return {id: load_record(file) for id, file in (drawn | trained).items() if file.exists()}


def last_records(runs: Path) -> dict[str, dict[str, Any]]:
    """Return the committed records, each replaced by that of the latest run below ``runs`` if there is one."""
    found = committed_records()
    latest = latest_run_directory(runs, RUNS)
    if latest is not None and (latest / "result.json").exists():
        found |= {record["claim"]: record for record in load_record(latest)["records"]}
    return found
