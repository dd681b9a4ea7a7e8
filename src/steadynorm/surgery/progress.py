"""A line on the terminal while something takes long; nothing anywhere else."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["say", "track"]

T = TypeVar("T")


def track(items: Iterable[T], label: str, *, total: int | None = None, after: float = 2.0) -> Iterator[T]:
    """Yield the items; once that takes longer than ``after`` seconds, show how many there were, twice a second."""
    show = sys.stderr is not None and sys.stderr.isatty()
    start = shown = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if show and now - start > after and now - shown > 0.5:
            print(f"\r{label}: {number}{f' of {total}' if total else ''} ", end="", file=sys.stderr, flush=True)
            shown = now
    if shown != start:
        print(file=sys.stderr)


def say(line: str) -> None:
    """Show a line on the terminal, before something that may take long; nothing anywhere else."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
