"""Batches from a stream: at any step, of any share, whatever is corrupt."""

from dataclasses import replace

import pytest
import torch

from image_files import jpeg, noise, number_of, rows, write_parquet
from steadynorm.errors import DataError
from steadynorm.lab.claims.ladder._arms import ARMS
from steadynorm.lab.runs.ranks import Ranks
from steadynorm.lab.stream.boxes import Multicrop
from steadynorm.lab.stream.opening import TRAIN, VALIDATION, open_split
from steadynorm.lab.stream.streamed import Streamed, View

PLAIN = View(size=4, scale=None, hflip=0.0, crop_pct=None, mean=(0, 0, 0), std=(1 / 255,) * 3)
RECIPE = replace(ARMS["BN-x5"], batch_size=6, distortion=0.0)
VARIED = View(size=8)


@pytest.fixture
def streamed(tmp_path):
    """Make a stream over 40 known images in four shards, 9 of them held out; what it is asked closes it."""
    for shard in range(4):
        write_parquet(tmp_path / f"train-{shard}.parquet", rows(range(10 * shard, 10 * shard + 10)))
    write_parquet(tmp_path / "test-0.parquet", rows(range(50, 59)))
    made = []

    def make(view=PLAIN, recipe=RECIPE, seed=0, folder=tmp_path, **others):
        train, held_out = (open_split(str(folder), names) for names in (TRAIN, VALIDATION))
        made.append(Streamed(train, held_out, view, recipe, seed, **{"buffer": 12, **others}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def seen(batch):
    """The numbers of the images of a batch, whose labels must be theirs."""
    x, labels = batch
    numbers = [number_of(grey) for grey in x.mean((1, 2, 3)).tolist()]
    assert labels.tolist() == [number % 4 for number in numbers]
    return numbers


class Share(Ranks):
    def __init__(self, rank, size):
        super().__init__()
        self.rank, self.size = rank, size


def test_an_epoch_sees_every_image(streamed):
    batches = streamed()
    first, second = ([n for step in range(e * 7, e * 7 + 7) for n in seen(batches.at(step))] for e in (0, 1))
    assert set(first) == set(second) == set(range(40))
    assert first != second
    assert batches.at(14)[0].shape == (6, 3, 4, 4)


@pytest.mark.parametrize("workers", [0, 1])
def test_any_step_can_be_asked(streamed, workers):
    recipe = replace(RECIPE, distortion=0.3)
    forth, back = streamed(VARIED, recipe, workers=workers), streamed(VARIED, recipe)
    expected = [forth.at(step) for step in range(16)]
    for step in (15, 3, 4, 0, 8):
        x, labels = back.at(step)
        assert torch.equal(x, expected[step][0])
        assert torch.equal(labels, expected[step][1])


@pytest.mark.parametrize("size", [2, 4])
def test_the_shares_of_the_ranks_make_the_batch(streamed, size):
    recipe = replace(RECIPE, distortion=0.3)
    whole = streamed(VARIED, recipe)
    parts = [streamed(VARIED, recipe, ranks=Share(rank, size)) for rank in range(size)]
    for step in (0, 1, 6, 20):
        x, labels = (torch.cat(tensors) for tensors in zip(*(part.at(step) for part in parts), strict=True))
        assert torch.equal(x, whole.at(step)[0])
        assert torch.equal(labels, whole.at(step)[1])


def test_seeds_differ(streamed):
    one, other = (streamed(VARIED, seed=seed).at(0)[0] for seed in (0, 1))
    assert not torch.equal(one, other)


def test_crops_mirrors_and_distortions_change_every_step(streamed, tmp_path):
    write_parquet(tmp_path / "one" / "train-0.parquet", [(noise(0), 0)] * 6)
    batches = streamed(VARIED, folder=tmp_path / "one")
    (x, _), (y, _) = batches.at(0), batches.at(1)
    assert len({image.sum().item() for image in torch.cat([x, y])}) == 12  # a crop for each
    mirrored = streamed(replace(PLAIN, hflip=1.0), folder=tmp_path / "one").at(0)[0]
    plain = streamed(PLAIN, folder=tmp_path / "one").at(0)[0]
    assert torch.equal(mirrored, plain.flip(3))
    distorted = streamed(PLAIN, replace(RECIPE, distortion=0.3), folder=tmp_path / "one").at(0)[0]
    assert len({image.mean().item() for image in distorted}) == 6


def test_pixels_are_standardized(streamed):
    view = replace(PLAIN, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.4))
    x, plain = streamed(view).at(0)[0], streamed().at(0)[0] / 255
    for channel, (mean, std) in enumerate(zip(view.mean, view.std, strict=True)):
        torch.testing.assert_close(x[:, channel], (plain[:, channel] - mean) / std)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_held_out_images_are_seen_once_in_order(streamed, size):
    found = []
    for rank in range(size):
        for batch in streamed(ranks=Share(rank, size)).validation():
            found += seen(batch)
    assert found == list(range(50, 59))


def test_all_crops_of_an_image_stand_together(streamed):
    [(x, labels)] = streamed().seen(Multicrop())
    assert len(labels) == 9
    assert {number_of(grey) for grey in x[:72].mean((1, 2, 3)).tolist()} == {50}
    assert len(x) == 9 * 72


def test_place_is_small_and_taken_up(streamed):
    begun = streamed()
    for step in range(9):
        begun.at(step)
    place = begun.place(9)
    assert len(repr(place)) < 200
    assert (place["epoch"], place["window"]) == (1, 1)
    streamed().take_up(place, 9)
    for other in (streamed(seed=1), streamed(buffer=18), streamed(recipe=replace(RECIPE, batch_size=5))):
        with pytest.raises(DataError, match="the data and the batch size with which it was begun"):
            other.take_up(place, 9)


@pytest.fixture
def damaged(tmp_path):
    examples = rows(range(12))
    examples[3] = (b"", 0)
    examples[4] = (noise(1)[:700], 1)
    write_parquet(tmp_path / "damaged" / "train-0.parquet", examples)
    write_parquet(tmp_path / "damaged" / "test-0.parquet", examples)
    return tmp_path / "damaged"


def test_corrupt_images_are_skipped_named_and_replaced_alike_on_any_ranks(streamed, damaged):
    told = []
    whole = streamed(folder=damaged, told=lambda name, why: told.append((name, why)))
    numbers = [n for step in (0, 1, 2, 3) for n in seen(whole.at(step))]
    assert set(numbers) == set(range(12)) - {3, 4}
    assert len(numbers) == 24
    assert sorted(name for name, _ in told) == ["train-0.parquet, row 3", "train-0.parquet, row 4"]  # once
    assert whole.skipped == dict(told)
    assert all(why for _, why in told)
    parts = [streamed(folder=damaged, ranks=Share(rank, 3)) for rank in range(3)]
    assert [n for step in range(4) for part in parts for n in seen(part.at(step))] == numbers


def test_corrupt_images_are_left_out_of_an_evaluation(streamed, damaged):
    batches = streamed(folder=damaged)
    assert [n for batch in batches.validation() for n in seen(batch)] == [*range(3), *range(5, 12)]
    assert len(batches.skipped) == 2


def test_too_many_corrupt_images_end_the_run(streamed, damaged):
    batches = streamed(folder=damaged, max_skipped=1)
    with pytest.raises(DataError, match=r"at most 1 images.*received another: train-0\.parquet, row .*--max-skipped"):
        list(map(batches.at, range(2)))


def test_what_was_skipped_goes_on_to_count(streamed, damaged):
    first = streamed(folder=damaged)
    for step in range(2):
        first.at(step)
    second = streamed(folder=damaged, told=lambda *_: pytest.fail("told twice"))
    second.take_up(first.place(2), 2)
    for step in range(2, 4):
        second.at(step)
    assert len(second.skipped) == 2


def test_nothing_but_corrupt_images(streamed, tmp_path):
    write_parquet(tmp_path / "none" / "train-0.parquet", [(jpeg(1)[:-200], 0)] * 6)
    with pytest.raises(DataError, match="some image of none must be whole"):
        streamed(folder=tmp_path / "none").at(0)
