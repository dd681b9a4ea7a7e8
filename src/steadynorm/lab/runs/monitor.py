"""What a reader sees and keeps while runs go on: progress with the time left, and ``metrics.jsonl``."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .pool import Run

__all__ = ["Monitor", "Progress"]


@dataclass(frozen=True)
class Progress:
    """How far the work is, in steps; ``seconds_left`` is None until there is something to judge by."""

    done: int
    total: int
    message: str
    seconds_left: float | None


class Monitor:
    """Takes the lines of all runs, tells ``progress``, and appends evaluations and divergences to a file.

    Args:
        file: where the lines go, one JSON object each. A run that was killed between two saves repeats a few of them.
        progress: told after every line.
    """

    def __init__(self, file: Path, progress: Callable[[Progress], None]) -> None:
        self._file = file.open("a", encoding="utf-8")
        self._progress = progress
        self._steps: dict[str, int] = {}  # of every run known so far: its length,
        self._at: dict[str, int] = {}  # and where it is; a run that has ended, however early, is at its length
        self._found = 0  # steps that earlier sittings had done
        self._start: float | None = None  # of the clock: the first step of this sitting
        self._name, self._jobs, self._further = "", list[str](), 0

    def stage(self, name: str, jobs: Sequence[Run], *, further: int = 0) -> None:
        """Begin a stage of these jobs, with ``further`` steps to expect after it."""
        self._name, self._jobs, self._further = name, [job.id for job in jobs], further
        self._steps.update({job.id: job.steps for job in jobs})

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take one line: of a step (see :meth:`.pool.Run.run`), or ``{"run": …, "finished": True}``."""
        run = line["run"]
        step = self._steps[run] if "finished" in line else line["step"]
        if run not in self._at:
            self._found += step if "finished" in line else step - 1
        if self._start is None and "finished" not in line:
            self._start, self._found = time.perf_counter(), self._found + 1
        self._at[run] = step
        if "validation_accuracy" in line or line.get("loss", 0.0) is None:
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
            self._file.flush()

        done, total = sum(self._at.values()), sum(self._steps.values()) + self._further
        ended = sum(self._at.get(job) == self._steps[job] for job in self._jobs)
        fresh, elapsed = done - self._found, time.perf_counter() - (self._start or 0.0)
        self._progress(
            Progress(
                done,
                total,
                f"{self._name}: {ended} of {len(self._jobs)} runs",
                elapsed / fresh * (total - done) if self._start is not None and fresh else None,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
