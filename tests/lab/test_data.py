"""Splits are disjoint, stratified and per seed; a folder is read as it lies, or refused with a reason."""

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from steadynorm.errors import DataError, MissingExtraError
from steadynorm.lab.data import load

PARTS = ("train", "validation", "test")


def shares(images, classes=10):
    return torch.bincount(images.labels, minlength=classes) / len(images)


def test_digits_are_whole():
    data = load("digits", seed=0)
    assert [len(getattr(data, part)) for part in PARTS] == [1079, 359, 359]
    assert (data.classes, data.shape) == (10, (1, 8, 8))
    assert data.train.images.dtype == torch.uint8
    assert data.describe()["train"] == 1079


def test_digits_split_is_disjoint_and_complete():
    data = load("digits", seed=1)
    images = torch.cat([getattr(data, part).images for part in PARTS]).flatten(1)
    assert len(images) == 1797
    assert len(torch.unique(images, dim=0)) == 1797  # no digit occurs twice in the set, so none is in two parts


def test_digits_split_is_stratified():
    data = load("digits", seed=2)
    whole = shares(data.train) * 0.6 + shares(data.validation) * 0.2 + shares(data.test) * 0.2
    for part in PARTS:
        images = getattr(data, part)
        torch.testing.assert_close(shares(images), whole, rtol=0, atol=1.5 / len(images))


def test_split_is_the_seeds():
    first, again, other = load("digits", 0), load("digits", 0), load("digits", 1)
    for part in PARTS:
        assert torch.equal(getattr(first, part).images, getattr(again, part).images)
        assert not torch.equal(getattr(first, part).images, getattr(other, part).images)


def encode(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write(folder, name, images, labels):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"img": images, "label": labels}), folder / f"{name}.parquet")


def pixels(n, first=0, shape=(6, 6, 3)):
    """Images that are told apart by their corner pixel."""
    made = np.random.default_rng(first).integers(0, 256, (n, *shape), dtype=np.uint8)
    made.reshape(n, -1)[:, 0] = np.arange(first, first + n)
    return made


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tiny"
    for number in range(2):
        made = pixels(30, first=30 * number)
        write(folder, f"train-0000{number}-of-00002", [encode(p) for p in made], [i % 3 for i in range(30)])
    write(folder, "test-00000-of-00001", [encode(p) for p in pixels(12, first=60)], [i % 3 for i in range(12)])
    return folder


def corners(images):
    return set(images.images[:, 0, 0, 0].tolist())


def test_parquet_is_decoded_and_split(folder):
    data = load(str(folder), seed=0, validation=6)
    assert (data.name, data.classes, data.shape) == ("tiny", 3, (3, 6, 6))
    assert corners(data.test) == set(range(60, 72))
    assert (len(data.train), len(data.validation)) == (54, 6)
    assert corners(data.train) | corners(data.validation) == set(range(60))
    assert torch.bincount(data.validation.labels).tolist() == [2, 2, 2]
    position = int(data.train.images[0, 0, 0, 0])
    expected = pixels(30, first=30 * (position // 30))[position % 30]
    assert torch.equal(data.train.images[0].permute(1, 2, 0), torch.from_numpy(expected))
    assert int(data.train.labels[0]) == position % 3


def test_parquet_validation_is_the_seeds_and_test_is_not(folder):
    first, other = load(str(folder), 0), load(str(folder), 1)
    assert len(first.validation) == 6  # a tenth
    assert corners(first.validation) != corners(other.validation)
    assert torch.equal(first.test.images, other.test.images)


def test_limits_keep_the_proportions(folder):
    data = load(str(folder), 0, train=9, validation=3, test=6)
    for part, each in (("train", 3), ("validation", 1), ("test", 2)):
        assert torch.bincount(getattr(data, part).labels).tolist() == [each] * 3
    assert torch.equal(data.test.images, load(str(folder), 1, test=6).test.images)


def test_grey_images_have_one_channel(tmp_path):
    for name in ("train-0", "test-0"):
        write(tmp_path / "grey", name, [encode(p) for p in pixels(20, shape=(5, 5))], [i % 2 for i in range(20)])
    assert load(str(tmp_path / "grey"), 0).shape == (1, 5, 5)


GOOD = [encode(p) for p in pixels(20)]
LABELS = [i % 2 for i in range(20)]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([b"raw"] * 20, LABELS, "must be a struct with the field bytes"),
        ([{"bytes": b"not an image", "path": None}] * 20, LABELS, "in row 0 of .* that Pillow cannot decode"),
        ([*GOOD[:-1], encode(pixels(1, shape=(4, 4, 3))[0])], LABELS, "all images must be of one shape"),
        (GOOD, [1 + label for label in LABELS], r"labels must be 0…classes-1.*received \[1, 2\]"),
        (GOOD, [0] * 20, "of two classes or more"),
    ],
)
def test_errors_of_content(tmp_path, images, labels, message):
    for name in ("train-0", "test-0"):
        write(tmp_path / "bad", name, images, labels)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path / "bad"), 0)


def test_errors_of_layout(tmp_path, folder):
    with pytest.raises(DataError, match=r"'digits' or a folder that exists, received .*nowhere"):
        load(str(tmp_path / "nowhere"), 0)
    (folder / "test-00000-of-00001.parquet").rename(folder / "other.parquet")
    with pytest.raises(DataError, match=r"must hold test-\*\.parquet"):
        load(str(folder), 0)
    pq.write_table(pa.table({"image": GOOD, "label": LABELS}), folder / "test-0.parquet")
    with pytest.raises(DataError, match=r"test-0.parquet must be parquet with the columns img and label"):
        load(str(folder), 0)
    (folder / "test-0.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"test-0.parquet must be parquet"):
        load(str(folder), 0)


def test_train_and_test_of_one_shape(tmp_path):
    write(tmp_path / "two", "train-0", GOOD, LABELS)
    write(tmp_path / "two", "test-0", [encode(p) for p in pixels(20, shape=(5, 5, 3))], LABELS)
    with pytest.raises(DataError, match=r"of one shape, received \(3, 6, 6\) and \(3, 5, 5\)"):
        load(str(tmp_path / "two"), 0)


def test_missing_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'steadynorm\[lab\]'"):
        load(str(folder), 0)
