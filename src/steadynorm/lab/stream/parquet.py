"""Parquet shards in the layout of the Hugging Face hub: a column of encoded images, a column of labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import DataError
from .source import Chunk, Example, checked_label

__all__ = ["ParquetShards"]


class ParquetShards:
    """A chunk is a row group; of the file no more is in memory at a time.

    Args:
        files: the shards, in order.
        image: name of the column of images: encoded bytes, or a struct with a field ``bytes``. None: the only such one.
        label: name of the column of whole numbers. None: ``label``, or the only such one.

    Raises: DataError for a file that is not parquet, is empty or has not these columns, and for labels below 0.
    """

    def __init__(self, files: Sequence[Path], *, image: str | None = None, label: str | None = None) -> None:
        self.files, self.name = files, files[0].parent.name
        self.chunks: list[Chunk] = []
        self._row_groups: list[tuple[int, int]] = []  # of each chunk: its number in the file, its first row there
        self._held: tuple[int, Any] | None = None  # the chunk that was read last
        self.classes = 0
        self._columns: list[tuple[str, str]] = []  # of each file
        for number, path in enumerate(files):
            file = _opened(path)
            if not file.metadata.num_rows:
                raise DataError(f"every shard must hold an example, received {path.name} with none; remove it")
            columns = _image_column(file, path, image), _label_column(file, path, label)
            self._columns.append(columns)
            self._see_labels(file, path, columns[1])
            first = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if rows:
                    self.chunks.append(Chunk(number, rows))
                    self._row_groups.append((group, first))
                first += rows

    def _see_labels(self, file: pq.ParquetFile, path: Path, column: str) -> None:
        for batch in file.iter_batches(65_536, columns=[column]):
            values = batch.column(0)
            extremes = pc.min_max(values)
            if values.null_count:
                checked_label(None, path.name)
            checked_label(extremes["min"].as_py(), path.name)
            self.classes = max(self.classes, extremes["max"].as_py() + 1)

    def read(self, chunk: int, start: int, stop: int) -> list[Example]:
        """Return the examples ``start`` to ``stop`` of a chunk."""
        if self._held is None or self._held[0] != chunk:
            self._held = None  # one at a time
            self._held = chunk, self._table(chunk)
        path, first = self.files[self.chunks[chunk].shard], self._row_groups[chunk][1]
        table = self._held[1].slice(start, stop - start)
        images, labels = table["image"].to_pylist(), table["label"].to_pylist()
        return [
            Example(f"{path.name}, row {first + row}", encoded or b"", label)
            for row, encoded, label in zip(range(start, stop), images, labels, strict=True)
        ]

    def _table(self, chunk: int) -> Any:
        shard = self.chunks[chunk].shard
        path, (image, label) = self.files[shard], self._columns[shard]
        try:
            with pq.ParquetFile(path) as file:
                kind = file.schema_arrow.field(image).type
                nested = pa.types.is_struct(kind)
                wanted = [f"{image}.bytes" if nested else image, label]
                table = file.read_row_group(self._row_groups[chunk][0], columns=wanted, use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise _unreadable(path, error) from error
        images = pc.struct_field(table[image], "bytes") if nested else table[image]
        return pa.table({"image": images, "label": table[label]})


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path.name} must be a whole parquet file, but cannot be read as one ({error}); fetch it again")


def _holds_images(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _image_column(file: pq.ParquetFile, path: Path, name: str | None) -> str:
    return _column(file, path, name, _holds_images, "images", "bytes, or a struct with the field bytes", "--input-key")


def _label_column(file: pq.ParquetFile, path: Path, name: str | None) -> str:
    if name is None and "label" in file.schema_arrow.names:
        name = "label"
    return _column(file, path, name, pa.types.is_integer, "labels", "whole numbers", "--target-key")


def _column(file: pq.ParquetFile, path: Path, name: str | None, fits: Any, what: str, of_type: str, flag: str) -> str:
    """Return the name of the column asked for, or of the only one that fits."""
    schema = file.schema_arrow
    fitting = [field.name for field in schema if fits(field.type)]
    if name is None and len(fitting) == 1:
        return str(fitting[0])
    if name in fitting:
        return str(name)
    described = ", ".join(f"{field.name} ({_short(field.type)})" for field in schema)
    wanted = f"a column {name!r} of {what}" if name is not None else f"one column of {what}"
    raise DataError(
        f"{path.name} must have {wanted}, that is {of_type}; it has {described}; name the column with {flag}"
    )


def _short(kind: Any) -> str:
    return "struct" if pa.types.is_struct(kind) else str(kind)
