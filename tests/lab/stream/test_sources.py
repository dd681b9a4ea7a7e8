"""Parquet, tar and folders: the same examples from each, and what is refused."""

import tarfile
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_files import add, jpeg, rows, write_folder, write_parquet, write_tar
from steadynorm.errors import DataError
from steadynorm.lab.stream.opening import TRAIN, VALIDATION, open_split
from steadynorm.lab.stream.parquet import ParquetShards
from steadynorm.lab.stream.tar import TarShards

FIRST, SECOND = range(10), range(10, 17)


def everything(source):
    return [example for number, chunk in enumerate(source.chunks) for example in source.read(number, 0, chunk.rows)]


def parquet(folder):
    write_parquet(folder / "train-00000-of-00002.parquet", rows(FIRST))
    write_parquet(folder / "train-00001-of-00002.parquet", rows(SECOND))


def hub(folder):
    parquet(folder / "data")


def tar(folder):
    write_tar(folder / "train-000.tar", rows(FIRST))
    write_tar(folder / "train-001.tar", rows(SECOND))


def images(folder):
    write_folder(folder / "train", rows(range(17)))


@pytest.mark.parametrize("write", [parquet, hub, tar, images])
def test_the_same_examples_from_every_layout(tmp_path, write):
    write(tmp_path)
    source = open_split(str(tmp_path), TRAIN)
    found = everything(source)
    assert Counter((e.encoded, e.label) for e in found) == Counter(rows(range(17)))
    assert len({e.name for e in found}) == 17
    assert source.classes == 4
    assert open_split(str(tmp_path), VALIDATION) is None


@pytest.mark.parametrize("write", [parquet, tar])
def test_shards_keep_their_order_and_chunks_their_shards(tmp_path, write):
    write(tmp_path)
    source = open_split(str(tmp_path), TRAIN)
    assert [e.encoded for e in everything(source)] == [data for data, _ in rows(range(17))]
    assert Counter(chunk.shard for chunk in source.chunks for _ in range(chunk.rows)) == {0: 10, 1: 7}
    assert source.read(0, 2, 4)[0] == everything(source)[2]


def test_parquet_chunks_are_row_groups(tmp_path):
    parquet(tmp_path)
    assert [chunk.rows for chunk in open_split(str(tmp_path), TRAIN).chunks] == [4, 4, 2, 4, 3]


def test_a_folder_mixes_its_classes_always_alike(tmp_path):
    images(tmp_path)
    labels = [e.label for e in everything(open_split(str(tmp_path), TRAIN))]
    assert labels != sorted(labels)
    assert labels == [e.label for e in everything(open_split(str(tmp_path), TRAIN))]


def test_splits_are_found_by_the_first_name(tmp_path):
    write_parquet(tmp_path / "test-0.parquet", rows(range(3)))
    assert sum(chunk.rows for chunk in open_split(str(tmp_path), VALIDATION).chunks) == 3
    write_parquet(tmp_path / "validation-0.parquet", rows(range(5)))
    assert sum(chunk.rows for chunk in open_split(str(tmp_path), VALIDATION).chunks) == 5


def test_columns_by_name(tmp_path):
    file = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"a": [b"x"], "b": [b"y"], "coarse": [1], "fine": [2]}), file)
    [example] = everything(ParquetShards([file], image="b", label="fine"))
    assert (example.encoded, example.label) == (b"y", 2)


@pytest.mark.parametrize(
    ("columns", "names", "words"),
    [
        ({"picture": ["x"], "label": [1]}, {}, "one column of images.*picture \\(string\\).*--input-key"),
        ({"a": [b"x"], "b": [b"y"], "label": [1]}, {}, "one column of images.*--input-key"),
        ({"image": [b"x"], "fine": [1], "coarse": [1]}, {}, "one column of labels.*--target-key"),
        ({"image": [b"x"], "label": [1]}, {"image": "img"}, "a column 'img' of images"),
        ({"image": [b"x"], "label": [-1]}, {}, "whole numbers from 0, received -1 in train-0.parquet"),
        ({"image": [b"x", b"y"], "label": [0, None]}, {}, "whole numbers from 0, received None"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, {}, "train-0.parquet with none"),
    ],
    ids=["no image", "two images", "two labels", "wrong name", "no labels", "a missing label", "empty"],
)
def test_parquet_that_is_refused(tmp_path, columns, names, words):
    file = tmp_path / "train-0.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(DataError, match=words):
        ParquetShards([file], **names)


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_a_file_that_is_cut_off(tmp_path, kind):
    (parquet if kind == "parquet" else tar)(tmp_path)
    file = sorted(tmp_path.iterdir())[1]
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 2 // 512 * 512 + 100])
    with pytest.raises(DataError, match=rf"{file.name} must be a whole {kind} file"):
        open_split(str(tmp_path), TRAIN)


def test_parquet_that_breaks_after_it_was_opened(tmp_path):
    parquet(tmp_path)
    source = open_split(str(tmp_path), TRAIN)
    (tmp_path / "train-00001-of-00002.parquet").write_bytes(b"")
    source.read(0, 0, 4)
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet must be a whole parquet file"):
        source.read(3, 0, 4)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.jpg", b"x")], "received a in train-0.tar without a label"),
        ([("a.cls", b"1"), ("b.jpg", b"x"), ("b.cls", b"1")], "received a in train-0.tar without an image"),
        ([("a.jpg", b"x"), ("a.cls", b"cat")], "received 'cat' in train-0.tar, a.cls"),
        ([], "train-0.tar with none"),
    ],
    ids=["no label", "no image", "no number", "empty"],
)
def test_tar_that_is_refused(tmp_path, members, words):
    with tarfile.open(tmp_path / "train-0.tar", "w") as file:
        for name, content in members:
            add(file, name, content)
    with pytest.raises(DataError, match=words):
        TarShards([tmp_path / "train-0.tar"])


def test_a_compressed_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w:gz") as file:
        add(file, "a.jpg", b"x")
    with pytest.raises(DataError, match="not compressed"):
        TarShards([tmp_path / "train-0.tar"])


def test_tar_names_are_parted_at_the_first_dot(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as file:
        for name, content in [
            ("./v1.0/a.x.jpg", b"not one"),
            ("./v1.0/a.JPG", jpeg(1)),
            ("./v1.0/a.cls", b" 2\n"),
            ("./v1.0/a.json", b"{}"),
        ]:
            add(file, name, content)
    [example] = everything(TarShards([tmp_path / "train-0.tar"]))
    assert (example.encoded, example.label) == (jpeg(1), 2)


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(DataError, match="a folder that exists"):
        open_split(str(tmp_path / "none"), TRAIN)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="one folder for each class"):
        open_split(str(tmp_path), TRAIN)
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(DataError, match="train/cat with none"):
        open_split(str(tmp_path), TRAIN)


def test_the_hub_is_asked_by_its_own_program():
    with pytest.raises(DataError, match=r"accept its licence(.|\n)*hf download ILSVRC/imagenet-1k"):
        open_split("hf:ILSVRC/imagenet-1k", TRAIN)
