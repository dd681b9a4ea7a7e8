"""Whether this process has the kernels: off, not tried yet, being built elsewhere, loaded, or not to be had."""

import logging
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import get_worker_info

from .._torch import saves_are_seen

__all__ = ["failure", "load", "loaded", "ready", "status"]

RETRY_SECONDS = 1.0
_logger = logging.getLogger("steadynorm")


class _State:
    loaded = False
    settled = False  # loaded, or not to be had: nothing more to try
    words = "not tried yet: the first call on a CPU tensor builds or loads them"
    failure = ""  # what the compiler or the system said
    next_try = 0.0
    forked = False
    lock = threading.Lock()


def _after_fork() -> None:
    _State.forked = True
    _State.lock = threading.Lock()  # whoever held it is not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def loaded() -> bool:
    """Tell whether the kernels are loaded; nothing is tried."""
    return _State.loaded


def ready() -> bool:
    """Tell whether the kernels may be called; the first time, load them, or build them.

    While another thread or process builds, the answer is no. Nothing is built in a data loader's worker or a forked
    child. A process that hears no under a checkpoint hears it to its end: the recomputation must do what the forward
    did.
    """
    if _State.settled:
        return _State.loaded
    if time.monotonic() >= _State.next_try and _try(wait_seconds=0):
        return True
    if not _State.settled and saves_are_seen():  # by a checkpoint; where by others, the answer does no harm
        _State.settled, _State.words = True, f"none in this process, which began under a checkpoint when {_State.words}"
    return False


def load(*, wait_seconds: float = 60) -> bool:
    """Load or build the kernels now, waiting for another process that builds; tell whether they are there.

    For whoever wants every step of a run computed alike, and to measure.
    """
    return _State.loaded if _State.settled else _try(wait_seconds)


def status() -> str:
    """Return whether there are kernels, and why not, in a line without paths: records keep it."""
    return _State.words


def failure() -> str:
    """Return what the compiler, or the system, said when the kernels could not be built or loaded."""
    return _State.failure


def _try(wait_seconds: float) -> bool:
    if not _State.lock.acquire(timeout=wait_seconds) if wait_seconds else not _State.lock.acquire(blocking=False):
        return False
    try:
        if not _State.settled:
            _settle(wait_seconds)
        return _State.loaded
    finally:
        _State.lock.release()


def _settle(wait_seconds: float) -> None:
    if os.environ.get("STEADYNORM_KERNELS", "").lower() in ("off", "0", "no", "false"):
        _State.settled, _State.words = True, "off, by STEADYNORM_KERNELS"
        return
    try:
        from . import build
    except ImportError:  # no fcntl
        _State.settled, _State.words = True, "none: they are built on POSIX systems only"
        return
    try:
        folder = build.entry()
        may_build = not _State.forked and get_worker_info() is None
        path = build.library(folder, wait_seconds=wait_seconds) if may_build else build.cached(folder)
        if path is None:
            _postpone("they were not built yet, and not to be built in a forked process or a data loader's worker")
            return
        _load(path)
    except build.Busy as error:
        _postpone(str(error))
    except build.NoCompiler as error:
        _State.settled, _State.words = True, f"none: {error}; torch's own operators serve"
        _logger.info("kernels: %s", _State.words)
    except (build.BuildFailed, OSError, RuntimeError) as error:
        _State.settled, _State.words = True, "none: they could not be built, or loaded"
        _State.failure = str(error)
        lines = [*str(error).splitlines(), type(error).__name__]
        told = next((line for line in lines if "error" in line), lines[0])
        warnings.warn(
            "steadynorm's kernels cannot be used, and torch's own operators serve instead, with the same results. "
            f"`steadynorm env` shows why; delete {build.entry()} to try again, or set STEADYNORM_KERNELS=off. "
            f"It says: {told}",
            RuntimeWarning,
            stacklevel=2,
        )


def _postpone(words: str) -> None:
    _State.words = words
    _State.next_try = time.monotonic() + RETRY_SECONDS


def _load(path: Path) -> None:
    operators: Any = torch.ops
    operators.load_library(path)
    _State.words = f"loaded: {path.parent.name}"
    _State.loaded = _State.settled = True
