"""``steadynorm reproduce``: the ladder, or any claims, run here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import ArgumentError, DataError, SteadyNormError
from .command import Command, OutputFile, Switch
from .exits import DONE, INTERRUPTED
from .output import print_json, print_report, verdicts, write_report
from .progress import show_progress

if TYPE_CHECKING:
    from ..lab.claim import Claim
    from ..lab.runs.options import Options

__all__ = ["ReproduceCommand"]


@dataclass(frozen=True, kw_only=True)
class ReproduceCommand(Command):
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
        """Run the claims, print the table or record, and write the report."""
        claims, options = self._claims(), self._options()
        if self.dry_run:
            return self._show_plan(claims, options)
        directory = self._directory()
        page = directory / "report.html"
        try:
            record = self._measure(claims, options, directory)
            if record is None:
                return INTERRUPTED
            write_report(record, page, *([self.output] if self.output else []))
        except OSError:  # a full disk
            self._say_how_to_go_on(directory)
            raise
        if self.json:
            print_json(record)
        else:
            print_report(claims[0].table(record) if self._alone else verdicts(record["records"]))
        print(
            f"record{'' if self._alone else 's'}: {directory / 'result.json'}\nreport: {self.output or page}",
            file=sys.stderr if self.json else None,
        )
        return DONE

    @property
    def _alone(self) -> bool:
        """Whether no claim was named, which means the ladder."""
        return not (self.claims or self.all)

    def _claims(self) -> list[Claim]:
        if self.all and self.claims:
            raise ArgumentError(f"--all means every claim, received {', '.join(self.claims)} as well; leave one out")
        if not self._alone and (self.data != "digits" or self.seeds is not None):
            raise ArgumentError(
                "--data and --seeds are the ladder's, received them with claims; run the ladder by itself"
            )
        from ..lab.catalogue import choose, every_claim

        return list(every_claim().values()) if self.all else choose(self.claims or ("ladder",))

    def _options(self) -> Options:
        from ..lab.runs.options import Options

        return Options(preset=self.preset, data=self.data, seeds=self.seeds, threads=self.threads)

    def _show_plan(self, claims: Sequence[Claim], options: Options) -> int:
        from ..lab.catalogue import committed_records
        from ..lab.reproduce import plan

        minutes, report = plan(claims, options, committed_records())
        if self.json:
            runs = sum(int(row["runs"] or 0) for row in report)
            ids = [claim.id for claim in claims]
            print_json({"claims": ids, "runs": runs, "minutes": minutes, "plan": report.to_dict()})
        else:
            print_report(report)
        return DONE

    def _directory(self) -> Path:
        """Make the directory of a new run, or find the one to go on with."""
        from ..lab.catalogue import RUNS
        from ..lab.runs.directory import latest_run_directory, new_run_directory

        name = f"ladder-{Path(self.data).resolve().name}" if self._alone else RUNS
        if not self.resume:
            return new_run_directory(self.runs, name)
        latest = latest_run_directory(self.runs, name)
        if latest is None:
            raise DataError(
                f"--resume needs a run in {self.runs / name}, received none there; begin one without --resume"
            )
        print(f"going on with {latest}", file=sys.stderr)
        return latest

    def _measure(self, claims: Sequence[Claim], options: Options, directory: Path) -> dict[str, Any] | None:
        """Return the record, or None when Ctrl-C ended the run."""
        from ..lab import reproduce
        from ..lab.catalogue import committed_records

        try:
            with show_progress() as progress:
                return reproduce.run(
                    claims,
                    options,
                    directory,
                    committed=committed_records(),
                    resume=self.resume,
                    progress=progress,
                    alone=self._alone,
                )
        except KeyboardInterrupt:
            print("steadynorm: interrupted", file=sys.stderr)
            self._say_how_to_go_on(directory)
            return None
        except SteadyNormError:
            with suppress(OSError):  # of the folders made for this run, keep those that hold something
                for folder in (directory / "checkpoints", directory, directory.parent):
                    folder.rmdir()
            raise

    def _say_how_to_go_on(self, directory: Path) -> None:
        print(f"what was done is in {directory}\ngo on with: {self._resuming()}", file=sys.stderr)

    def _resuming(self) -> str:
        """Return the command that takes this run up."""
        words = ["steadynorm", "reproduce", *self.claims, *(["--all"] if self.all else []), "--preset", self.preset]
        words += ["--data", self.data] if self._alone else []
        words += ["--runs", str(self.runs)]
        for name in ("seeds", "threads", "output"):
            value = getattr(self, name)
            words += [f"--{name}", str(value)] if value is not None else []
        words += [f"--{name}" for name in ("json", "debug") if getattr(self, name)]
        return shlex.join([*words, "--resume"])
