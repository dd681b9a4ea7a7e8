"""``steadynorm claims``: every claim, and its last verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..reports import Cell, Report
from .command import Command, Switch
from .exits import DONE
from .output import print_json, print_report

if TYPE_CHECKING:
    from ..lab.claim import Claim

__all__ = ["ClaimsCommand"]


@dataclass(frozen=True, kw_only=True)
class ClaimsCommand(Command):
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
        from ..lab.catalogue import BY_READING, WAITING, every_claim, last_records

        records = last_records(self.runs)
        if self.json:
            print_json(
                {
                    "claims": [_told(claim, records.get(claim.id)) for claim in every_claim().values()],
                    "by reading": dict(BY_READING),
                    "waiting": dict(WAITING),
                }
            )
            return DONE
        rows: list[dict[str, Cell]] = [
            {
                "claim": id,
                "verdict": records[id]["verdict"] if id in records else "never run",
                "covers": " ".join(claim.covers),
                "statement": claim.statement,
            }
            for id, claim in every_claim().items()
        ]
        notes = [f"Waits ({part}): {what}." for part, what in WAITING.items()]
        notes.append(f"Corrections by reading alone, in the page and with --json: {', '.join(BY_READING)}.")
        print_report(Report("Claims of the literature", ("claim", "verdict", "covers", "statement"), rows, notes))
        return DONE


def _told(claim: Claim, record: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in ("id", "statement", "source", "literature", "covers")} | {
        "measured": None if record is None else claim.measured(record),
        "verdict": None if record is None else record["verdict"],
    }
