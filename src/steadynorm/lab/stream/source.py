"""What a source of encoded images is, whatever its files are."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ...errors import DataError

__all__ = ["Chunk", "Example", "Source", "checked_label"]


class Example(NamedTuple):
    """One image as it is stored, and where."""

    name: str
    encoded: bytes
    label: int


class Chunk(NamedTuple):
    """Examples that are read together: the number of their shard, and how many they are."""

    shard: int
    rows: int


class Source(Protocol):
    """Images in shards, the shards in chunks; their number and order are known before any is read."""

    @property
    def name(self) -> str:
        """What to call it in messages and records; no path."""
        ...

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        ...

    @property
    def chunks(self) -> Sequence[Chunk]:
        """All chunks, in the order of the shards."""
        ...

    def read(self, chunk: int, start: int, stop: int) -> list[Example]:
        """Return the examples ``start`` to ``stop`` of a chunk.

        Raises: DataError for a file that can no longer be read.
        """
        ...


def checked_label(label: object, where: str) -> int:
    """Return a label that is one.

    Raises: DataError.
    """
    if not isinstance(label, int) or label < 0:
        raise DataError(
            f"labels must be whole numbers from 0, received {label!r} in {where}; give a split that has labels, "
            "numbered from 0"
        )
    return label
