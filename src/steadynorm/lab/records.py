"""Run directories and records: where results lie, and what a result must contain.

A run directory is ``runs/<name>/<utc>-<id>/`` and holds ``config.yaml`` (resolved), ``env.json``, ``metrics.jsonl``
(appended), ``checkpoints/``, ``result.json`` and, once pages made it, ``report.html``. Files are written beside and
renamed, so a file that exists is whole; only ``metrics.jsonl`` grows line by line.
"""

import json
import os
import platform
import secrets
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtraError

__all__ = [
    "CLAIMS_SCHEMA",
    "CLAIM_SCHEMA",
    "SCHEMA",
    "environment",
    "latest_run_directory",
    "load_record",
    "new_run_directory",
    "validate",
    "write_beside",
    "write_json",
]

SCHEMA = "steadynorm.record/1"  # of the ladder
CLAIM_SCHEMA = "steadynorm.claim/1"  # of a claim that is measured in draws
CLAIMS_SCHEMA = "steadynorm.claims/1"  # of a run of several claims: their records, of either kind
_SCHEMA_FILES = {SCHEMA: "record.schema.json", CLAIM_SCHEMA: "claims/claim.schema.json"}


def new_run_directory(root: Path, name: str) -> Path:
    """Make ``root/name/<utc>-<id>`` with its ``checkpoints`` and return it; names sort by time."""
    directory = root / name / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
    (directory / "checkpoints").mkdir(parents=True)
    return directory


def latest_run_directory(root: Path, name: str) -> Path | None:
    """Return the youngest run directory of that name, or None when there is none."""
    return max((entry for entry in (root / name).glob("*Z-*") if entry.is_dir()), default=None)


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then rename it there: a reader sees the old file or the new one,
    whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write strict JSON (no NaN, no infinity), whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def load_record(path: Path) -> dict[str, Any]:
    """Read a ``result.json``, or the one of a run directory, and check it against the schema.

    Raises: DataError when there is none, or it is not a record.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"a record must exist, received {file}, which does not; finish the run (--resume) or give another"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"a record must be JSON, received {file}, which cannot be read so ({error})") from error
    validate(record)
    return dict(record)


@cache
def _schema(name: str) -> dict[str, Any]:
    return dict(json.loads((Path(__file__).parent / _SCHEMA_FILES[name]).read_text(encoding="utf-8")))


def validate(record: Mapping[str, Any]) -> None:
    """Check a record against the schema that it names, that of a ladder's record if it names none.

    Raises: DataError that names the first place that does not fit.
    """
    try:
        import jsonschema
    except ImportError as error:
        raise MissingExtraError(
            "records need jsonschema, which is not installed; run: pip install 'steadynorm[lab]'"
        ) from error
    if record.get("schema") == CLAIMS_SCHEMA:
        for one in record["records"]:
            validate(one)
        return
    name = CLAIM_SCHEMA if record.get("schema") == CLAIM_SCHEMA else SCHEMA
    flaw = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_schema(name)).iter_errors(record))
    if flaw is not None:
        raise DataError(f"a record must follow {name}, but at {flaw.json_path}: {flaw.message[:200]}; run it again")


_PACKAGES = ("steadynorm", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow")


def environment(**further: object) -> dict[str, Any]:
    """Describe what a result was measured on: versions, processor, revision; neither paths nor the machine's name."""
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "revision": _revision(),
        **further,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _revision() -> str | None:
    """Return the commit of the checkout that this package runs from, with ``+`` if it has changes; None if there is
    none."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # installed below somebody else's repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
