"""What ``steadynorm reproduce`` does when it is given claims."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DataError
from ..reports import Report
from .exits import DONE, INTERRUPTED
from .output import print_json, print_report, write_claims
from .progress import show_progress

if TYPE_CHECKING:
    from ..lab.claims.base import Preset

__all__ = ["ClaimRun"]


@dataclass(frozen=True)
class ClaimRun:
    """Claims to settle, and how; the fields are the flags of ``steadynorm reproduce``."""

    words: Sequence[str]  # ids and themes; none for all
    preset: Preset
    threads: int | None
    runs: Path
    output: Path | None
    json: bool

    def show_plan(self) -> int:
        """Print the plan and its minutes."""
        from ..lab.claims.running import plan

        minutes, report = plan(self._ids(), self.preset, self._processes())
        if self.json:
            print_json({"claims": self._ids(), "minutes": minutes, "plan": report.to_dict()})
        else:
            print_report(report)
        return DONE

    def run(self, *, resume: bool) -> int:
        """Settle them, print the verdicts, and write the page."""
        ids, processes = self._ids(), self._processes()
        directory = self._directory(resume)
        from ..lab.claims import running

        try:
            with show_progress() as progress:
                result = running.run(ids, self.preset, directory, processes=processes, resume=resume, progress=progress)
        except KeyboardInterrupt:
            print(f"steadynorm: interrupted; what was done is in {directory}", file=sys.stderr)
            print(f"go on with: {self._resuming()}", file=sys.stderr)
            return INTERRUPTED
        page = directory / "report.html"
        write_claims(result["records"], page, *([self.output] if self.output else []))
        if self.json:
            print_json(result)
        else:
            print_report(_verdicts(result["records"]))
        print(
            f"records: {directory / 'result.json'}\nreport: {self.output or page}",
            file=sys.stderr if self.json else None,
        )
        return DONE

    def _ids(self) -> list[str]:
        from ..lab.claims.catalogue import ENTRIES, choose

        return choose(self.words) if self.words else list(ENTRIES)

    def _processes(self) -> int:
        if self.threads is not None and self.threads < 1:
            raise ArgumentError(
                f"threads must be at least 1, received {self.threads}; leave it out for one a processor"
            )
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.threads or available

    def _directory(self, resume: bool) -> Path:
        from ..lab.claims.catalogue import RUNS
        from ..lab.records import latest_run_directory, new_run_directory

        if not resume:
            return new_run_directory(self.runs, RUNS)
        latest = latest_run_directory(self.runs, RUNS)
        if latest is None:
            raise DataError(
                f"--resume needs a run in {self.runs / RUNS}, received none there; begin one without --resume"
            )
        print(f"going on with {latest}", file=sys.stderr)
        return latest

    def _resuming(self) -> str:
        words = [
            "steadynorm",
            "reproduce",
            *(self.words or ["--all"]),
            "--preset",
            self.preset,
            "--runs",
            str(self.runs),
        ]
        words += ["--threads", str(self.threads)] if self.threads is not None else []
        words += ["--output", str(self.output)] if self.output is not None else []
        return shlex.join([*words, "--resume"])


def _verdicts(records: Sequence[dict[str, Any]]) -> Report:
    from ..lab.claims.catalogue import measured

    rows = [
        {"claim": record["claim"], "verdict": record["verdict"], "measured": measured(record)} for record in records
    ]
    return Report("Verdicts", ("claim", "verdict", "measured"), rows)
