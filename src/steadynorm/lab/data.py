"""Images for the evidence: scikit-learn's digits, or a folder of parquet files, as uint8 tensors split three ways.

The digits (1,797 images of 8×8, grey, ten classes) come with scikit-learn, so nothing is downloaded. A folder holds
``train-*.parquet`` and ``test-*.parquet`` with the columns ``img``, a struct of ``bytes`` (an encoded image) and
``path``, and ``label``, an integer: the layout of ``uoft-cs/cifar10`` on the Hugging Face hub.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, MissingExtraError, installing

__all__ = ["Data", "Images", "load"]


@dataclass(frozen=True)
class Images:
    """Images (N, channels, H, W) of uint8 with their labels (N,) of int64 in 0…classes-1."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Tensor) -> "Images":
        return Images(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Data:
    """One split of a data set: learn from ``train``, choose by ``validation``, touch ``test`` once."""

    name: str
    note: str
    classes: int
    train: Images
    validation: Images
    test: Images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def describe(self) -> dict[str, object]:
        """Return the record's account of the data: name, note, sizes; no path."""
        return {
            "name": self.name,
            "note": self.note,
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "classes": self.classes,
            "shape": list(self.shape),
        }


def load(
    source: str, seed: int, *, train: int | None = None, validation: int | None = None, test: int | None = None
) -> Data:
    """Load a data set and split it, the same way for the same seed.

    Args:
        source: ``"digits"``, split 60/20/20 anew for every seed; or a folder, whose test files are the test part of
            every seed and whose train files are split into train and validation by the seed.
        seed: of the split.
        train, validation, test: at most so many images of each part, in the proportions of the classes; None takes all
            (validation: a fifth of the digits, a tenth of a folder's train files).

    Raises: DataError when the folder is not of that layout; MissingExtraError when a library to read it is not
        installed.
    """
    if source == "digits":
        everything = _digits()
        rest, held_out = _split(everything, len(everything) // 5, seed)
        name = "digits"
        note = "scikit-learn's digits: 8×8 grey images of handwritten digits, split 60/20/20 anew for every seed"
    else:
        rest, held_out = _parquet(Path(source).resolve())
        name = Path(source).resolve().name
        note = (
            "parquet files; validation is drawn from the train files anew for every seed, the test files are held out"
        )
    classes = int(rest.labels.max()) + 1
    default = len(rest) // 4 if source == "digits" else len(rest) // 10
    kept, chosen_by = _split(rest, min(validation or default, default), seed)
    return Data(name, note, classes, _at_most(kept, train, seed), chosen_by, _at_most(held_out, test, seed=0))


def _split(images: Images, size: int, seed: int) -> tuple[Images, Images]:
    """Split off ``size`` images, in the proportions of the classes."""
    from sklearn.model_selection import train_test_split

    kept, taken = train_test_split(
        np.arange(len(images)), test_size=size, stratify=images.labels.numpy(), random_state=seed
    )
    return images[torch.from_numpy(kept)], images[torch.from_numpy(taken)]


def _at_most(images: Images, size: int | None, seed: int) -> Images:
    return images if size is None or size >= len(images) else _split(images, size, seed)[1]


@lru_cache(maxsize=1)
def _digits() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError(_missing("the digits", "scikit-learn")) from error
    digits = load_digits()
    return Images(torch.from_numpy(digits.images.astype(np.uint8))[:, None], torch.from_numpy(digits.target).long())


def _missing(what: str, library: str) -> str:
    return f"{what} need {library}, which is not installed; run: {installing('lab')}"


@lru_cache(maxsize=1)
def _parquet(folder: Path) -> tuple[Images, Images]:
    """Decode every image of the folder once; a process keeps the last folder."""
    try:
        import PIL.Image  # noqa: F401
        import pyarrow.parquet  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(_missing("parquet files", str(error.name))) from error
    if not folder.is_dir():
        raise DataError(
            f"data must be 'digits' or a folder that exists, received {folder}; "
            "give a folder with train-*.parquet and test-*.parquet"
        )
    train, test = (_read(folder, part) for part in ("train", "test"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"images of train and test files must be of one shape, received {tuple(train.images.shape[1:])} and "
            f"{tuple(test.images.shape[1:])} in {folder}; resize them first"
        )
    present = torch.unique(torch.cat([train.labels, test.labels]))
    if not torch.equal(present, torch.arange(len(present))) or len(present) < 2:
        raise DataError(
            f"labels must be 0…classes-1, each present, of two classes or more, received {present.tolist()} in "
            f"{folder}; renumber them"
        )
    return train, test


def _read(folder: Path, part: str) -> Images:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(folder.glob(f"{part}-*.parquet"))
    if not files:
        raise DataError(
            f"a data folder must hold {part}-*.parquet, received {folder} without one; "
            "use the layout of uoft-cs/cifar10 on the Hugging Face hub"
        )
    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(file, columns=["img", "label"]).select(["img", "label"]))
        except (KeyError, OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{file.name} must be parquet with the columns img and label, but cannot be read so ({error}); "
                "use the layout of uoft-cs/cifar10 on the Hugging Face hub"
            ) from error
    table = pa.concat_tables(tables)
    field = table.schema.field("img").type
    if not (pa.types.is_struct(field) and field.get_field_index("bytes") >= 0):
        raise DataError(
            f"column img must be a struct with the field bytes, received {field} in {folder}; "
            "store each image encoded, as PNG or JPEG"
        )
    encoded = pa.compute.struct_field(table["img"], "bytes").to_pylist()
    labels = torch.from_numpy(table["label"].to_numpy().astype(np.int64))
    return Images(_decode(encoded, folder), labels)


def _decode(encoded: Sequence[bytes], folder: Path) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    arrays = []
    for number, data in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(data)) as image:
                arrays.append(np.asarray(image if image.mode == "L" else image.convert("RGB")))
        except (UnidentifiedImageError, OSError, TypeError) as error:
            raise DataError(
                f"every img.bytes must be an encoded image, received one in row {number} of {folder} that Pillow "
                f"cannot decode ({error}); store PNG or JPEG"
            ) from error
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise DataError(
            f"all images must be of one shape, received {len(shapes)} shapes in {folder}; resize them to one size"
        )
    stacked = torch.from_numpy(np.stack(arrays))
    return stacked[:, None] if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2).contiguous()
