"""Shares of made-up games, against Shapley's formula written out."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadynorm.doctor.attribution import attribute

amounts = st.integers(-20, 20).map(float)


def shapley(n, value):
    """The oracle: the mean over all orders, as a weighted sum over all sets without the part."""
    shares = []
    for part in range(n):
        others = [i for i in range(n) if i != part]
        share = 0.0
        for size in range(n):
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                share += (value(before | {part}) - value(before)) / (n * comb(n - 1, size))
        shares.append(share)
    return shares


@given(st.lists(amounts, min_size=1, max_size=20))
def test_parts_that_do_not_interact_get_what_they_add(added):
    found = attribute(len(added), lambda parts: sum(added[i] for i in parts), 0.5, 10_000)
    shares = {one.parts: one.share for one in found.shares}
    inside = {i for parts in shares for i in parts}
    for parts, share in shares.items():
        assert share == pytest.approx(sum(added[i] for i in parts))
    assert found.rest_share == pytest.approx(sum(v for i, v in enumerate(added) if i not in inside))
    assert not found.interactions
    if all(v >= 0 for v in added):  # nothing cancels, so nobody who matters is overlooked
        assert set(shares) == {(i,) for i, v in enumerate(added) if v}


@given(st.integers(2, 5), st.data())
def test_parts_that_interact_in_pairs_get_their_shapley_value(n, data):
    single = [data.draw(amounts) for _ in range(n)]
    pairs = {pair: data.draw(amounts) for pair in combinations(range(n), 2)}

    def value(parts):
        return sum(single[i] for i in parts) + sum(v for pair, v in pairs.items() if parts >= set(pair))

    found = attribute(n, value, 0.5, 10_000)
    exact = shapley(n, value)
    everyone = [*found.shares, *([None] if found.rest else [])]
    if all(one is not None and len(one.parts) == 1 for one in everyone):
        for one in found.shares:
            assert one.share == pytest.approx(exact[one.parts[0]])
    total = sum(one.share for one in found.shares) + found.rest_share
    assert total == pytest.approx(value(frozenset(range(n))) - value(frozenset()))


def test_two_parts_that_each_spoil_everything_interact():
    found = attribute(50, lambda parts: float({10, 40} <= parts), 0.02, 1000)
    assert {one.parts: one.share for one in found.shares} == {(10,): 0.5, (40,): 0.5}
    assert [(one.alone, one.repaired) for one in found.shares] == [(1.0, 0.0)] * 2
    (one,) = found.interactions
    assert (one.parts, one.excess, one.of) == (((10,), (40,)), -1.0, "alone")


@pytest.mark.parametrize("bad", [0, 17, 49])
def test_one_part_of_fifty_is_found_in_few_measurements(bad):
    found = attribute(50, lambda parts: float(bad in parts), 0.02, 1000)
    assert [(one.parts, one.share) for one in found.shares] == [((bad,), 1.0)]
    assert found.measurements < 30


@given(st.integers(6, 120), st.integers(1, 40), st.lists(amounts, min_size=40, max_size=40))
def test_no_more_measurements_than_allowed(most, n, added):
    calls = []

    def value(parts):
        calls.append(parts)
        return sum(added[i] for i in parts) + 3.0 * len(parts) ** 2

    found = attribute(n, value, 0.5, most)
    assert len(calls) == len(set(calls)) == found.measurements <= most
    total = sum(one.share for one in found.shares) + found.rest_share
    assert total == pytest.approx(sum(added[:n]) + 3.0 * n**2)


def test_nothing_that_matters_stays_together():
    found = attribute(2, lambda parts: 1.0 * (len(parts) == 2), 2.0, 100)
    assert not found.shares
    assert (found.rest, found.rest_share) == ((0, 1), 1.0)


def test_no_parts_at_all():
    found = attribute(0, lambda parts: 0.0, 0.1, 100)
    assert not found.shares
    assert found.rest_share == 0.0
