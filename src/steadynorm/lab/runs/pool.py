"""Many runs at once: one process a processor, one thread a process.

Runs of these small networks gain little from a second thread, so whole runs go side by side. A finished run leaves its
result, an interrupted one its state, in the run directory's ``checkpoints``; both are found again when the work is
resumed. A run is anything that has the shape of :class:`Run`: the training of a network, or a :class:`Task`.
"""

import json
import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch

from ... import kernels
from ...files import write_json

__all__ = ["Pool", "Run", "Task"]

_POLL_SECONDS = 0.2


class Run(Protocol):
    """A piece of work that one process does: picklable, and the same whenever it is repeated."""

    @property
    def id(self) -> str:
        """A name for files, unique within its directory."""
        ...

    @property
    def steps(self) -> int:
        """How many steps it will report."""
        ...

    def run(
        self, state_file: Path, *, stopped: Callable[[], bool], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Do the work and return its result, or None once ``stopped()`` said so and the state is saved.

        ``report`` is given ``{"run": id, "step": n}`` after each step, and whatever else the run has to tell.
        """
        ...


@dataclass(frozen=True)
class Task:
    """A run of minutes at most, which begins anew when it was stopped.

    Args:
        id: its name.
        steps: how many there are.
        begin: begins the work: it yields the step where it is, now and then, and returns plain data.
    """

    id: str
    steps: int
    begin: Callable[[], Generator[int, None, Any]]

    def run(
        self, state_file: Path, *, stopped: Callable[[], bool], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Return what the work returned, and its seconds."""
        start, work = time.perf_counter(), self.begin()
        while not stopped():
            try:
                report({"run": self.id, "step": max(1, next(work))})
            except StopIteration as end:
                return {"result": end.value, "seconds": round(time.perf_counter() - start, 3)}
        return None


# Of a worker process, set once by _start.
_messages: Any = None
_stop: Any = None


def _start(messages: Any, stop: Any) -> None:
    """Make this process a worker of one thread."""
    global _messages, _stop
    torch.set_num_threads(1)
    kernels.load()  # now, so that every step of a run is computed alike
    _messages, _stop = messages, stop


def _work(job: Run, directory: Path) -> None:
    result = job.run(_state_file(directory, job), stopped=_stop.is_set, report=_messages.put)
    if result is not None:
        write_json(_result_file(directory, job), result)
        _state_file(directory, job).unlink(missing_ok=True)
        _messages.put({"run": job.id, "finished": True})


def _state_file(directory: Path, job: Run) -> Path:
    return directory / "checkpoints" / f"{job.id}.pt"


def _result_file(directory: Path, job: Run) -> Path:
    return directory / "checkpoints" / f"{job.id}.json"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back: a process started inside never sees it, this one sees it at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool:
    """Worker processes for the runs of one directory, started as they are needed and ended with the ``with`` block.

    However the block ends, every run in progress stops at its next step and saves its state.

    Args:
        directory: the run directory; what is finished or half done there is taken up.
        processes: how many runs at a time.
        report: called in this process with the workers' lines as they come: those of
            :meth:`Run.run`, and ``{"run": …, "finished": True}`` for each run that has ended, now
            or in an earlier sitting.
    """

    def __init__(self, directory: Path, processes: int, report: Callable[[dict[str, Any]], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._directory, self._report = directory, report
        self._messages, self._stop = context.Queue(), context.Event()
        self._workers = ProcessPoolExecutor(processes, context, _start, (self._messages, self._stop))

    def execute(self, jobs: Sequence[Run]) -> list[dict[str, Any]]:
        """Run the jobs that the directory holds no result of, and return the results of all, in order.

        Jobs of one id are one job, and run once.

        Raises: whatever a run raised, as soon as it did.
        """
        pending = set()
        for job in {job.id: job for job in jobs}.values():
            if _result_file(self._directory, job).exists():
                self._report({"run": job.id, "finished": True})
            else:
                with _interrupts_held():  # a submission may start a process
                    pending.add(self._workers.submit(_work, job, self._directory))
        while pending:
            self._drain()
            done, pending = wait(pending, timeout=_POLL_SECONDS)
            for future in done:
                future.result()
        self._drain()
        return [json.loads(_result_file(self._directory, job).read_text(encoding="utf-8")) for job in jobs]

    def _drain(self) -> None:
        while True:
            try:
                self._report(self._messages.get_nowait())
            except queue.Empty:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._workers.shutdown(cancel_futures=True)  # waits for the runs to save themselves
        self._drain()
        self._messages.close()
