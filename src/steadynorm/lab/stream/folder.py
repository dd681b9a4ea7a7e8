"""A folder of folders of images, one a class, numbered in the order of their names."""

import random
from pathlib import Path

from ...errors import DataError
from .source import Chunk, Example
from .tar import IMAGES

__all__ = ["ImageFolder"]

_CHUNK, _SHARD = 16, 1024  # examples


class ImageFolder:
    """The images in an order drawn once, the same everywhere, so that a run of them is not of one class: 1024 are taken
    for a shard, 16 for a chunk.

    Args:
        folder: holds a folder for each class.

    Raises: DataError when there is no image, or a class without one.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        self._files: list[tuple[Path, int]] = []
        for label, of_class in enumerate(classes):
            files = sorted(file for file in of_class.rglob("*") if file.suffix.lower() in IMAGES)
            if not files:
                raise DataError(
                    f"every folder of a class must hold an image, received {folder.name}/{of_class.name} with none; "
                    "remove it"
                )
            self._files += [(file, label) for file in files]
        if not self._files:
            raise DataError(f"a folder of images must hold one folder for each class, received {folder} without any")
        random.Random(0).shuffle(self._files)
        self.classes = len(classes)
        total = len(self._files)
        self.chunks = [Chunk(first // _SHARD, min(_CHUNK, total - first)) for first in range(0, total, _CHUNK)]

    def read(self, chunk: int, start: int, stop: int) -> list[Example]:
        """Return the examples ``start`` to ``stop`` of a chunk; a file that cannot be read has no bytes."""
        return [
            Example(f"{file.parent.name}/{file.name}", _bytes(file), label)
            for file, label in self._files[chunk * _CHUNK + start : chunk * _CHUNK + stop]
        ]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
