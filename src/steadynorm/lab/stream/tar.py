"""Tar shards in WebDataset's layout: image and label of one name, ``n01.jpg`` and ``n01.cls``, one behind the other.

Headers are read once, when a shard is opened; from then on every image is found at its place in the file.
"""

import tarfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DataError
from .source import Chunk, Example, checked_label

__all__ = ["IMAGES", "TarShards"]

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm")
_CHUNK = 256  # examples


class TarShards:
    """A chunk is a run of up to 256 examples of a shard.

    Args:
        files: the shards, in order; not compressed.

    Raises: DataError for a file that is no tar file, is cut off, is empty, or holds an image without a label.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files, self.name = files, files[0].parent.name
        self.chunks: list[Chunk] = []
        self._first: list[int] = []  # of each chunk: its first example
        self._shards: list[tuple[array[int], array[int], array[int]]] = []  # places, sizes and labels of the images
        for number, path in enumerate(files):
            places, sizes, labels = array("q"), array("q"), array("q")
            for place, size, label in _indexed(path):
                places.append(place)
                sizes.append(size)
                labels.append(label)
            if not places:
                raise DataError(f"every shard must hold an example, received {path.name} with none; remove it")
            self._shards.append((places, sizes, labels))
            for first in range(0, len(places), _CHUNK):
                self.chunks.append(Chunk(number, min(_CHUNK, len(places) - first)))
                self._first.append(first)
        self.classes = max(max(labels) for _, _, labels in self._shards) + 1

    def read(self, chunk: int, start: int, stop: int) -> list[Example]:
        """Return the examples ``start`` to ``stop`` of a chunk."""
        shard, first = self.chunks[chunk].shard, self._first[chunk]
        path, (places, sizes, labels) = self.files[shard], self._shards[shard]
        examples = []
        try:
            with path.open("rb") as file:
                for row in range(first + start, first + stop):
                    file.seek(places[row])
                    examples.append(Example(f"{path.name}, example {row}", file.read(sizes[row]), labels[row]))
        except OSError as error:
            raise _unreadable(path, error) from error
        return examples


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} must be a whole tar file, not compressed, but cannot be read as one ({error}); fetch it again"
    )


def _indexed(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield place, size and label of each image of a shard."""
    try:
        _check_the_end(path)
        with tarfile.open(path, "r:") as file:
            key, image, label = "", None, None
            for member in file:
                if not member.isfile():
                    continue
                stem, extension = _parted(member.name)
                if stem != key:
                    if key:
                        yield _complete(path, key, image, label)
                    key, image, label = stem, None, None
                if extension in IMAGES:
                    image = member.offset_data, member.size
                elif extension == ".cls":
                    content = file.extractfile(member)
                    label = content.read() if content else b""
            if key:
                yield _complete(path, key, image, label)
    except (tarfile.TarError, OSError) as error:
        raise _unreadable(path, error) from error


def _check_the_end(path: Path) -> None:
    """Raise an error for a file that does not end as tar files do, in two empty blocks: tarfile itself would stop where
    a file is cut off, without a word."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1024))
        if file.read() != bytes(1024):
            raise tarfile.ReadError("it does not end in two empty blocks")


def _parted(name: str) -> tuple[str, str]:
    """Part a name at the first dot behind its last slash, as WebDataset does."""
    folder, slash, base = name.rpartition("/")
    stem, dot, extension = base.partition(".")
    return folder + slash + stem, (dot + extension).lower()


def _complete(path: Path, key: str, image: tuple[int, int] | None, label: bytes | None) -> tuple[int, int, int]:
    if image is None or label is None:
        missing = "an image (" + ", ".join(IMAGES) + ")" if image is None else "a label (.cls)"
        raise DataError(
            f"every example of a tar shard must be an image and a label of one name, received {key} in {path.name} "
            f"without {missing}; write both, one behind the other"
        )
    text = label.decode("ascii", "replace").strip()
    return *image, checked_label(int(text) if text.isascii() and text.isdigit() else text, f"{path.name}, {key}.cls")
