"""The order of a stream: every example once an epoch, shuffled as asked, known at any step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadynorm.lab.stream.order import Order
from steadynorm.lab.stream.source import Chunk

CHUNKS = [Chunk(shard, rows) for shard in range(6) for rows in (5, 3, 4)]  # 72 examples
WAYS = ["examples", "batches", None]


def window(order, epoch, number):
    """The examples of a window: chunk and row."""
    return [(chunk, row) for chunk, start, stop in order.pieces(epoch, number) for row in range(start, stop)]


def batch(order, step):
    place = order.place(step)
    there = window(order, place.epoch, place.window)
    return [there[member] for member in place.members]


def epoch(order, number):
    return [batch(order, number * order.batches + i) for i in range(order.batches)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=12).map(sorted),
    st.integers(1, 20),
    st.integers(1, 60),
    st.sampled_from(WAYS),
    st.integers(0, 3),
)
def test_an_epoch_visits_every_example(chunks, batch_size, buffer, shuffling, number):
    order = Order([Chunk(*chunk) for chunk in chunks], batch_size, buffer, shuffling, seed=1)
    batches = epoch(order, number)
    assert {len(one) for one in batches} == {batch_size}
    seen = [example for one in batches for example in one]
    assert set(seen) == {(chunk, row) for chunk, (_, rows) in enumerate(chunks) for row in range(rows)}
    assert len(seen) - order.examples < batch_size  # no more repeated than it takes to fill the last batch
    assert order.window >= min(buffer, order.examples)


def test_examples_are_shuffled_across_and_within_shards():
    order = Order(CHUNKS, 8, 16, "examples", seed=0)
    first, second = (epoch(order, number) for number in (0, 1))
    assert sorted(map(sorted, first)) != sorted(map(sorted, second))  # other members
    for number in (0, 1):
        shards = [CHUNKS[chunk].shard for chunk, _, _ in order.pieces(number, 0)]
        assert shards != sorted(shards)
    inside = [example for one in first[:2] for example in one]
    assert inside != window(order, 0, 0)
    assert sorted(inside) == sorted(window(order, 0, 0))


def test_shards_alone_are_shuffled():
    order = Order(CHUNKS, 12, 16, "batches", seed=0)
    first, second = (epoch(order, number) for number in (0, 1))
    assert first != second
    assert sorted(map(sorted, first)) == sorted(map(sorted, second))  # a shard is a batch here
    for one in first:
        assert one == sorted(one)


def test_unshuffled():
    order = Order(CHUNKS, 8, 16, None, seed=0)
    seen = [example for one in epoch(order, 3) for example in one]
    assert seen == [(chunk, row) for chunk, (_, rows) in enumerate(CHUNKS) for row in range(rows)]


@pytest.mark.parametrize("shuffling", WAYS[:2])
def test_the_order_is_the_seeds(shuffling):
    one, same, other = (epoch(Order(CHUNKS, 8, 16, shuffling, seed=seed), 2) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_the_last_batch_is_filled_from_its_window():
    order = Order([Chunk(0, 10)], 4, 4, None, seed=0)
    assert [row for _, row in batch(order, 2)] == [8, 9, 8, 9]
