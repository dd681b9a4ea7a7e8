"""``steadynorm reproduce``: the ladder, or any claims, run here."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import ArgumentError, DataError, SteadyNormError
from .claim_runs import ClaimRun
from .command import Command, OutputFile, Switch
from .exits import DONE, INTERRUPTED
from .output import print_json, print_report, write_report
from .progress import show_progress

if TYPE_CHECKING:
    from ..lab.ladder import LadderOptions

__all__ = ["Reproduce"]


@dataclass(frozen=True, kw_only=True)
class Reproduce(Command):
    """Train the ladder of the batch-norm paper, scaled down, and report; or settle the claims that are named.

    Six arms, from a network without batch norm to one with batch norm at thirty times its rate, each trained with the
    same seeds. Prints the optimizer steps that each needs to reach the first one's best accuracy, beside the paper's
    figures, and writes a page with the curves. With claims (see `steadynorm claims`), or --all: a verdict each, in
    parallel, and a page that gathers them.

    Examples:

      steadynorm reproduce                      handwritten digits, some minutes
      steadynorm reproduce --preset smoke       runs through in seconds, resolves nothing
      steadynorm reproduce --data FOLDER        train-*.parquet and test-*.parquet, columns img and label
      steadynorm reproduce --resume             takes up the run that was interrupted
      steadynorm reproduce --json > ladder.json
      steadynorm reproduce saturation/drift scale    a claim, and all claims of a theme
      steadynorm reproduce --all --dry-run           every claim: the plan, and the minutes here
    """

    claims: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[CLAIM ...]", help_behavior_hint="")
    ] = ()
    """Claims or themes to settle; without any, the ladder."""
    all: Switch = False
    """Settle every claim, the ladder among them."""
    preset: Literal["smoke", "quick", "full"] = "quick"
    """How much: to see it run, in minutes, with care."""
    data: Annotated[str, tyro.conf.arg(metavar="digits|FOLDER")] = "digits"
    """The images."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the preset's)")] = None
    """Paired seeds for each arm."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: one a processor)")] = None
    """Runs side by side, each on one thread."""
    dry_run: Switch = False
    """Show what would be run, and the minutes that it would take here."""
    resume: Switch = False
    """Go on with the latest run of these data, to the same numbers as if it had not been interrupted."""
    json: Switch = False
    """Print the record as one JSON document."""
    output: OutputFile = None
    """Write the report to this file too, beside the run's own report.html."""
    runs: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """Where runs are kept."""

    def run(self) -> int:
        """Run the ladder, print its table or record, and write its report."""
        if self.claims or self.all:
            return self._settle()
        from ..lab.ladder import LadderOptions

        options = LadderOptions(preset=self.preset, data=self.data, seeds=self.seeds, threads=self.threads)
        if self.dry_run:
            return self._show_plan(options)
        directory = self._directory()
        record = self._measure(options, directory)
        if record is None:
            return INTERRUPTED
        page = directory / "report.html"
        write_report(record, page, *([self.output] if self.output else []))
        if self.json:
            print_json(record)
        else:
            from ..lab.ladder import table

            print_report(table(record))
        print(
            f"record: {directory / 'result.json'}\nreport: {self.output or page}",
            file=sys.stderr if self.json else None,
        )
        return DONE

    def _settle(self) -> int:
        """Settle claims instead."""
        if self.all and self.claims:
            raise ArgumentError(f"--all means every claim, received {', '.join(self.claims)} as well; leave one out")
        if self.data != "digits" or self.seeds is not None:
            raise ArgumentError(
                "--data and --seeds are the ladder's, received them with claims; run the ladder by itself"
            )
        work = ClaimRun(self.claims, self.preset, self.threads, self.runs, self.output, self.json)
        return work.show_plan() if self.dry_run else work.run(resume=self.resume)

    def _show_plan(self, options: LadderOptions) -> int:
        from ..lab.ladder import plan

        planned = plan(options)
        if self.json:
            print_json({"runs": planned.runs, "minutes": planned.minutes, "plan": planned.report().to_dict()})
        else:
            print_report(planned.report())
        return DONE

    def _directory(self) -> Path:
        """Make the directory of a new run, or find the one to go on with."""
        from ..lab.records import latest_run_directory, new_run_directory

        name = f"ladder-{Path(self.data).resolve().name}"
        if not self.resume:
            return new_run_directory(self.runs, name)
        latest = latest_run_directory(self.runs, name)
        if latest is None:
            raise DataError(
                f"--resume needs a run in {self.runs / name}, received none there; begin one without --resume"
            )
        print(f"going on with {latest}", file=sys.stderr)
        return latest

    def _measure(self, options: LadderOptions, directory: Path) -> dict[str, Any] | None:
        """Return the record, or None when Ctrl-C ended the run."""
        from ..lab import ladder

        try:
            with show_progress() as progress:
                return ladder.run(options, directory, resume=self.resume, progress=progress)
        except KeyboardInterrupt:
            print(f"steadynorm: interrupted; what was done is in {directory}", file=sys.stderr)
            print(f"go on with: {self._resuming()}", file=sys.stderr)
            return None
        except SteadyNormError:
            with suppress(OSError):  # of the folders made for this run, keep those that hold something
                for folder in (directory / "checkpoints", directory, directory.parent):
                    folder.rmdir()
            raise

    def _resuming(self) -> str:
        """Return the command that takes this run up."""
        words = ["steadynorm", "reproduce", "--preset", self.preset, "--data", self.data, "--runs", str(self.runs)]
        words += ["--seeds", str(self.seeds)] if self.seeds is not None else []
        words += ["--threads", str(self.threads)] if self.threads is not None else []
        words += ["--output", str(self.output)] if self.output is not None else []
        return shlex.join([*words, "--resume"])
