"""What every command is: a frozen dataclass whose fields are its flags, with one method that runs it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ArgumentError

__all__ = ["Command", "OutputFile", "Switch"]

Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
OutputFile = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """One command; tyro makes its flags from the fields and its help from the docstrings."""

    debug: Switch = False
    """Show the traceback of an error."""

    def check_files(self) -> None:
        """Refuse a file to write that cannot be one, before any work is done."""
        for flag in ("output", "html"):
            file: Path | None = getattr(self, flag, None)
            if file is not None and (not file.name or file.is_dir()):
                found = f"the folder {file}" if file.name else "the current folder, or nothing"
                raise ArgumentError(f"--{flag} must name a file to write, received {found}")

    @abstractmethod
    def run(self) -> int:
        """Do the work: the result goes to stdout, all else to stderr. Return the exit code."""
