"""Progress on stderr: a bar with the time left for a person, a plain line now and then for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from .output import is_interactive

if TYPE_CHECKING:
    from ..lab.runs.monitor import Progress

__all__ = ["show_progress"]

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows how far the work is, on stderr unless told otherwise."""
    stream = sys.stderr if stream is None else stream
    if is_interactive(stream):
        with _bar(stream) as show:
            yield show
    else:
        yield _lines(stream)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("starting", total=None, left="")

        def show(progress: Progress) -> None:
            left = _left(progress.seconds_left)
            bar.update(task, description=progress.message, completed=progress.done, total=progress.total, left=left)

        yield show


def _lines(stream: TextIO) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        words = [f"{progress.done / progress.total:4.0%}", progress.message, _left(progress.seconds_left)]
        print("  ".join(filter(None, words)), file=stream, flush=True)

    return show


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"
