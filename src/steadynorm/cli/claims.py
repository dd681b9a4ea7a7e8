"""``steadynorm claims``: every claim, and its last verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..reports import Cell, Report
from .command import Command, Switch
from .exits import DONE
from .output import print_json, print_report

__all__ = ["Claims"]


@dataclass(frozen=True, kw_only=True)
class Claims(Command):
    """List the claims of the batch-norm literature that are settled here, each with its last verdict.

    The verdict is that of the latest `steadynorm reproduce` of claims below --runs, else of the record that comes with
    the package.

    Examples:

      steadynorm claims
      steadynorm claims --json
      steadynorm reproduce saturation/drift       settle one of them here
    """

    json: Switch = False
    """Print one JSON document: statement, source, the literature's number, what was measured, verdict."""
    runs: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """Where runs are kept."""

    def run(self) -> int:
        """List them."""
        from ..lab.claims.catalogue import ENTRIES, last_records, measured
        from ..lab.claims.registry import BY_READING, WAITING

        records = last_records(self.runs)
        if self.json:
            claims = [
                asdict(entry)
                | {
                    "measured": measured(records[id]) if id in records else None,
                    "verdict": records[id]["verdict"] if id in records else None,
                }
                for id, entry in ENTRIES.items()
            ]
            print_json({"claims": claims, "by reading": dict(BY_READING), "waiting": dict(WAITING)})
            return DONE
        rows: list[dict[str, Cell]] = [
            {
                "claim": id,
                "verdict": records[id]["verdict"] if id in records else "never run",
                "covers": " ".join(entry.covers),
                "statement": entry.statement,
            }
            for id, entry in ENTRIES.items()
        ]
        notes = [f"Waits ({part}): {what}." for part, what in WAITING.items()]
        notes.append(f"Corrections by reading alone, in the page and with --json: {', '.join(BY_READING)}.")
        print_report(Report("Claims of the literature", ("claim", "verdict", "covers", "statement"), rows, notes))
        return DONE
