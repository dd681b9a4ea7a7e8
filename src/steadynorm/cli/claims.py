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
from .output import print_json, print_told

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
      steadynorm claims saturation/drift scale    a claim, and all claims of a theme
      steadynorm claims --json
      steadynorm reproduce saturation/drift       settle one of them here
    """

    claims: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[CLAIM ...]", help_behavior_hint="")
    ] = ()
    """Claims or themes to list; without any, all."""
    json: Switch = False
    """Print one JSON document: statement, source, the literature's number, what was measured, verdict."""
    runs: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """Where runs are kept."""

    def run(self) -> int:
        """List them."""
        from ..lab.catalogue import BY_READING, WAITING, choose, every_claim, last_records

        claims = choose(self.claims) if self.claims else list(every_claim().values())
        records = last_records(self.runs)
        if self.json:
            print_json(
                {
                    "claims": [_told(claim, records.get(claim.id)) for claim in claims],
                    "by reading": dict(BY_READING),
                    "waiting": dict(WAITING),
                }
            )
            return DONE
        rows: list[dict[str, Cell]] = [
            {
                "claim": claim.id,
                "verdict": records[claim.id]["verdict"] if claim.id in records else "never run",
                "covers": " ".join(claim.covers),
                "statement": claim.statement,
            }
            for claim in claims
        ]
        notes = ["Covers: the parts S1 to S20 of docs/article.md, and the corrections E1 to E17 of the literature."]
        notes += [f"Waits ({part}): {what}." for part, what in WAITING.items()]
        notes.append(f"Corrections by reading alone, in the page and with --json: {', '.join(BY_READING)}.")
        print_told(Report("Claims of the literature", ("claim", "verdict", "covers", "statement"), rows, notes))
        return DONE


def _told(claim: Claim, record: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in ("id", "statement", "source", "literature", "covers")} | {
        "measured": None if record is None else claim.measured(record),
        "verdict": None if record is None else record["verdict"],
    }
