from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm.errors import ArgumentError
from steadynorm.functional import (
    MovingAverage,
    PaperEstimator,
    PooledEstimator,
    batch_moments,
    population_statistics,
)
from strategies import inputs


def cut(x, sizes):
    return [batch_moments(part) for part in x.split(sizes)]


@given(inputs(), st.booleans(), st.data())
def test_pooled_oracle_however_the_data_are_cut(x, unbiased, data):
    x = x.repeat(2, *[1] * (x.dim() - 1))
    i = data.draw(st.integers(0, x.shape[0]))
    mean, var = population_statistics(cut(x, [i, x.shape[0] - i]), PooledEstimator(unbiased=unbiased))
    n, expected_mean, expected_var = oracles.moments(x)
    assert_close(mean, expected_mean, rtol=1e-10, atol=1e-10)
    assert_close(var, expected_var * (n / (n - 1) if unbiased else 1), rtol=1e-9, atol=1e-12)


@given(inputs(), st.integers(2, 4))
def test_paper_oracle(x, batches):
    x = torch.cat([x + k for k in range(batches)]).repeat(2, *[1] * (x.dim() - 1))
    parts = x.chunk(batches)
    mean, var = population_statistics(map(batch_moments, parts), PaperEstimator())
    for c in range(x.shape[1]):
        pairs = [oracles.mean_and_variance(oracles.feature_values(part, c)) for part in parts]
        m = [part[:, 0].numel() for part in parts]
        assert_close(float(mean[c]), sum(p[0] for p in pairs) / batches, rtol=1e-9, atol=1e-9)
        expected = sum(p[1] * k / (k - 1) for p, k in zip(pairs, m, strict=True)) / batches
        assert_close(float(var[c]), expected, rtol=1e-9, atol=1e-12)


def test_paper_leaves_out_batches_without_a_variance():
    x = torch.randn(9, 3).double()
    with_single = population_statistics(
        [*cut(x[:8], [4, 4]), batch_moments(x[8:]), batch_moments(x[:0])], PaperEstimator()
    )
    single_first = population_statistics([batch_moments(x[8:]), *cut(x[:8], [4, 4])], PaperEstimator())
    without = population_statistics(cut(x[:8], [4, 4]), PaperEstimator())
    assert_close(with_single, without)
    assert_close(single_first, without)
    for statistic in population_statistics([batch_moments(x[8:])], PaperEstimator()):
        assert torch.isnan(statistic).all()
    mean, var = population_statistics([batch_moments(x)], PaperEstimator())
    assert_close((mean, var), (x.mean(0), x.var(0)))
    tiny, single = x * 1e-30, batch_moments(x[8:])
    for before in ([], [single], [single, single]):  # what is left out leaves nothing behind
        mean, _ = population_statistics([*before, batch_moments(tiny)], PaperEstimator())
        assert_close(mean, tiny.mean(0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("estimator", [PooledEstimator(), PaperEstimator()])
def test_streams_merge(estimator):
    parts = [batch_moments(x) for x in (torch.randn(n, 3).double() + n for n in (4, 1, 6, 5, 0, 7))]

    def state(some):
        found = None
        for moments in some:
            found = estimator.update(found, moments)
        return found

    whole = estimator.finish(state(parts))
    for i in range(1, len(parts)):
        assert_close(estimator.finish(estimator.merge(state(parts[:i]), state(parts[i:]))), whole)


def test_paper_shows_a_bad_batch():
    x = torch.randn(8, 2)
    x[0, 0] = torch.nan
    _, var = population_statistics(cut(x, [4, 4]), PaperEstimator())
    assert torch.isnan(var).tolist() == [True, False]


def test_paper_equals_torch_with_equal_weights():
    x = torch.randn(12, 3, 2)
    layer = torch.nn.BatchNorm1d(3, momentum=None)
    for part in x.split(4):
        layer(part)
    mean, var = population_statistics(cut(x, 4), PaperEstimator())
    assert_close((mean, var), (layer.running_mean, layer.running_var))


def test_correlated_pixels_make_the_paper_underestimate():
    # half of the variance lies between images; the docstring quotes these shares
    generator = torch.Generator().manual_seed(0)
    size = (4096, 8, 8, 8)
    x = torch.randn(size, generator=generator) + torch.randn(*size[:2], 1, 1, generator=generator)
    shares = {}
    for m in (2, 4, 32):
        _, var = population_statistics(cut(x, m), PaperEstimator())
        _, pooled = population_statistics(cut(x, m), PooledEstimator())
        assert_close(pooled, x.transpose(0, 1).flatten(1).var(1), rtol=1e-4, atol=0)
        shares[m] = float((var / pooled).mean())
    assert shares == pytest.approx({2: 0.75, 4: 0.88, 32: 0.985}, abs=0.005)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9, 1.0, None])
def test_moving_average_is_torch(momentum):
    x = torch.randn(20, 3, 2).double() * 3 + 1
    layer = torch.nn.BatchNorm1d(3, momentum=momentum).double()
    for part in x.split(4):
        layer(part)
    mean, var = population_statistics(cut(x, 4), MovingAverage(momentum))
    assert_close((mean, var), (layer.running_mean, layer.running_var), rtol=1e-12, atol=1e-12)
    if momentum is not None:
        old = population_statistics(cut(x, 4), MovingAverage(1 - momentum, convention="old"))
        assert_close(old, (mean, var), rtol=1e-12, atol=1e-12)


def test_moving_average_of_biased_variances():
    x = torch.randn(8, 2).double()
    _, var = population_statistics(cut(x, 4), MovingAverage(0.5, unbiased=False))
    for c in range(2):
        pairs = [oracles.mean_and_variance(oracles.feature_values(part, c)) for part in x.split(4)]
        assert_close(float(var[c]), oracles.running_average(pairs, 0.5)[1])


def test_estimators_are_values():
    assert PooledEstimator() == PooledEstimator(unbiased=True)
    assert MovingAverage() == MovingAverage(momentum=0.1, convention="new", unbiased=True)
    for estimator in (PooledEstimator(), PaperEstimator(), MovingAverage()):
        with pytest.raises(FrozenInstanceError):
            estimator.unbiased = False


def test_estimators_keep_no_state():
    x = torch.randn(8, 2)
    for estimator in (PooledEstimator(), PaperEstimator(), MovingAverage()):
        first = population_statistics(cut(x, 4), estimator)
        assert_close(population_statistics(cut(x, 4), estimator), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: population_statistics([], PooledEstimator()), "at least one batch, received none"),
        (lambda: MovingAverage(1.5), "between 0 and 1, received 1.5"),
        (lambda: MovingAverage(-0.1), "between 0 and 1"),
        (lambda: MovingAverage(None, convention="old"), "convention='new'"),
        (lambda: MovingAverage(0.1, convention="torch"), "'new' or 'old', received 'torch'"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()
