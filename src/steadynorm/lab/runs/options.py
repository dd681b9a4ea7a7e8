"""What a user chooses: how much is run, on which data, with how many seeds and processes."""

from dataclasses import dataclass
from typing import Literal, get_args

from ...environment import processors
from ...errors import ArgumentError

__all__ = ["Options", "Preset"]

Preset = Literal["smoke", "quick", "full"]


@dataclass(frozen=True)
class Options:
    """The choices for one run.

    Args:
        preset: ``smoke`` runs through in seconds and resolves nothing; ``quick`` takes minutes; ``full`` is the careful
            one.
        data: ``digits``, or a folder with train-*.parquet and test-*.parquet.
        seeds: number of paired seeds, at least 1; None: the preset's.
        threads: worker processes, of one thread each; None: one for each processor available.

    Raises: ArgumentError for a choice out of range.
    """

    preset: Preset = "quick"
    data: str = "digits"
    seeds: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        presets = get_args(Preset)
        if self.preset not in presets:
            raise ArgumentError(
                f"preset must be one of {', '.join(presets)}, received {self.preset!r}; choose one of them"
            )
        if self.seeds is not None and self.seeds < 1:
            raise ArgumentError(
                f"seeds must be at least 1, received {self.seeds}; leave it out for the preset's number"
            )
        if self.threads is not None and self.threads < 1:
            raise ArgumentError(
                f"threads must be at least 1, received {self.threads}; leave it out for one a processor"
            )

    @property
    def processes(self) -> int:
        """How many jobs run at a time."""
        return self.threads or processors()
