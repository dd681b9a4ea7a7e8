"""The directory of a run, ``runs/<name>/<utc>-<id>/``.

It holds ``config.yaml`` (resolved), ``env.json``, ``metrics.jsonl`` (appended), ``checkpoints/``, ``result.json`` and,
once pages made it, ``report.html``. Nothing is overwritten; only ``metrics.jsonl`` grows line by line.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ...errors import ArgumentError
from ...files import write_beside
from .options import Options

__all__ = ["latest_run_directory", "new_run_directory", "open_run"]


def new_run_directory(root: Path, name: str) -> Path:
    """Make ``root/name/<utc>-<id>`` with its ``checkpoints`` and return it; names sort by time."""
    directory = root / name / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
    (directory / "checkpoints").mkdir(parents=True)
    return directory


def latest_run_directory(root: Path, name: str) -> Path | None:
    """Return the youngest run directory of that name, or None when there is none."""
    return max((entry for entry in (root / name).glob("*Z-*") if entry.is_dir()), default=None)


def open_run(directory: Path, options: Options, settings: Mapping[str, Any], *, resume: bool) -> str:
    """Write ``config.yaml``, or check the one that is there, and return when the run was begun.

    Args:
        directory: of the run.
        options: what the user chose.
        settings: what that stands for, by claim; a run that is taken up may have further claims.
        resume: whether the directory may hold a run.

    Raises: ArgumentError when it holds one and must not, or one of other settings.
    """
    file = directory / "config.yaml"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    begun: dict[str, Any] = {}
    if file.exists():
        if not resume:
            raise ArgumentError(
                f"{directory} must not hold a run already, but does; resume it, or take a new directory"
            )
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        created, begun = config["created"], config["settings"]
        if any(begun.get(claim, resolved) != resolved for claim, resolved in settings.items()):
            flags = " ".join(f"--{name} {value}" for name, value in config["options"].items() if value is not None)
            raise ArgumentError(
                f"a run is resumed with its own settings, those of {file}, received other ones; give {flags}"
            )
    chosen = {name: value for name, value in asdict(options).items() if name != "threads"}
    config = {"created": created, "options": chosen, "settings": begun | dict(settings)}
    write_beside(file, lambda beside: beside.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8"))
    return created
