"""What every command is: a frozen dataclass whose fields are its flags, with one method that runs it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["Command", "OutputFile", "Switch"]

Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
OutputFile = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """One command; tyro makes its flags from the fields and its help from the docstrings."""

    debug: Switch = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> int:
        """Do the work: the result goes to stdout, all else to stderr. Return the exit code."""
