"""Files written beside their place and renamed, so that one that exists is whole; and where committed records lie."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["results", "write_beside", "write_json"]


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then rename it there: a reader sees the old file or the new one,
    whole, with the mode of the process's other files.

    Raises: OSError, which names ``path``.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
        mode = beside.stat().st_mode
        write(beside)
        beside.chmod(mode)  # some libraries write files that their owner alone may read
        beside.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def write_json(path: Path, value: object) -> None:
    """Write strict JSON (no NaN, no infinity), whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def results() -> Path:
    """Return the folder of the records that come with the package: here in the wheel, at the root of a checkout."""
    packaged = Path(__file__).with_name("results")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "results"
