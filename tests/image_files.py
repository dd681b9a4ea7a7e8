"""Small data sets of JPEGs, written as parquet shards, tar shards or folders."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def jpeg(number: int, size: tuple[int, int] = (16, 12)) -> bytes:
    """An image of one grey, by which it is known again (see :func:`number_of`): number × 3, up to 80 of them."""
    file = io.BytesIO()
    Image.new("RGB", size, (number * 3,) * 3).save(file, "JPEG", quality=95)
    return file.getvalue()


def number_of(grey: float) -> int:
    """Which image has this grey."""
    return round(grey / 3)


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """An image without any order."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def rows(numbers: range, classes: int = 4) -> list[tuple[bytes, int]]:
    return [(jpeg(number), number % classes) for number in numbers]


def write_parquet(file: Path, examples: list[tuple[bytes, int]], row_group: int = 4, image: str = "image") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": data, "path": f"{number}.jpg"} for number, (data, _) in enumerate(examples)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(images, kind), "label": pa.array([label for _, label in examples], pa.int64())})
    pq.write_table(table, file, row_group_size=row_group)
    return file


def write_tar(file: Path, examples: list[tuple[bytes, int]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for number, (data, label) in enumerate(examples):
            for name, content in ((f"{number:04}.jpg", data), (f"{number:04}.cls", str(label).encode())):
                add(tar, name, content)
    return file


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def write_folder(folder: Path, examples: list[tuple[bytes, int]]) -> Path:
    for number, (data, label) in enumerate(examples):
        file = folder / f"class{label}" / f"{number:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder
