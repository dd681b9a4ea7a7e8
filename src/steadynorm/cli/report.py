"""``steadynorm report``: the pages of runs, built again from their records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ArgumentError
from .command import Command, OutputFile
from .exits import DONE
from .output import write_report

__all__ = ["ReportCommand"]


@dataclass(frozen=True, kw_only=True)
class ReportCommand(Command):
    """Build the reports of runs again, from their records alone, and print where they are.

    Examples:

      steadynorm report runs/ladder-digits/*              each run's report.html
      steadynorm report result.json -o page.html
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
    """One or more run directories, or records; the page of a record x.json is x.html beside it."""
    output: OutputFile = None
    """Write the page of a single run here instead."""

    def run(self) -> int:
        """Write the page of each run."""
        from ..lab.records import load_record

        if not self.runs or (self.output and len(self.runs) > 1):
            raise ArgumentError(
                f"report needs a run, and with --output just one, received {len(self.runs)}; "
                "give run directories or their result.json"
            )
        for run in self.runs:
            beside = run / "report.html" if run.is_dir() else run.with_suffix(".html")
            file = self.output or beside
            write_report(load_record(run), file)
            print(file)
        return DONE
