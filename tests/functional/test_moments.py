import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm.errors import DtypeError, ShapeError
from steadynorm.functional import Moments, batch_moments, merge_moments
from strategies import inputs, masked_inputs


@given(inputs())
def test_oracle(x):
    n, mean, var = oracles.moments(x)
    found = batch_moments(x)
    assert int(found.count) == n
    assert_close(found.mean, mean, rtol=1e-12, atol=1e-12)
    assert_close(found.var, var, rtol=1e-9, atol=1e-18)


@given(masked_inputs())
def test_mask_oracle(x_and_mask):
    x, mask = x_and_mask
    n, mean, var = oracles.moments(x, mask)
    hidden = torch.where(mask, x, torch.nan)
    found = batch_moments(hidden, mask=mask)
    assert int(found.count) == n
    assert_close(found.mean, mean, rtol=1e-12, atol=1e-12)
    assert_close(found.var, var, rtol=1e-9, atol=1e-18)


@given(inputs(), st.data())
def test_integer_weights_repeat_values(x, data):
    times = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=x.shape[0], max_size=x.shape[0])))
    weights = times.double().reshape(-1, *[1] * (x.dim() - 1))
    weighted, repeated = batch_moments(x, weights=weights), batch_moments(x.repeat_interleave(times, 0))
    for a, b in zip(weighted, repeated, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_weights_below_one_are_a_mean_too():
    x = torch.tensor([[1.0], [3.0]])
    found = batch_moments(x, weights=torch.tensor([[0.125], [0.375]]))
    assert_close(found.count, torch.tensor(0.5).double())
    assert_close(found.mean, torch.tensor([2.5]))
    assert_close(found.var, torch.tensor([0.75]))


def test_weights_below_one_merge():
    x, weights = torch.randn(6, 2).double(), torch.rand(6, 1).double() / 8
    merged = merge_moments(*(batch_moments(x[i], weights=weights[i]) for i in (slice(2), slice(2, 6))))
    assert float(merged.count) < 1
    for a, b in zip(merged, batch_moments(x, weights=weights), strict=True):
        assert_close(a, b)
    one = batch_moments(torch.tensor([[1.0], [2.0]]), weights=torch.tensor([[0.5], [0.5]]))
    assert torch.isnan(one.unbiased_var).all()  # n − 1 = 0


def test_weights_and_mask_together():
    x = torch.tensor([[1.0], [3.0], [torch.nan]])
    found = batch_moments(
        x, weights=torch.tensor([[1.0], [2.0], [torch.nan]]), mask=torch.tensor([[1], [1], [0]]).bool()
    )
    assert_close(found.mean, torch.tensor([7 / 3]))
    assert int(found.count) == 3


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0, 2)])
def test_nothing_has_the_neutral_moments(shape):
    for part in batch_moments(torch.empty(shape)):
        assert (part == 0).all()


@given(inputs(), st.integers(0, 5), st.integers(0, 5))
def test_merging_equals_computing_together(x, i, j):
    i, j = sorted((min(i, x.shape[0]), min(j, x.shape[0])))
    a, b, c = batch_moments(x[:i]), batch_moments(x[i:j]), batch_moments(x[j:])
    whole = batch_moments(x)
    for merged in (
        merge_moments(merge_moments(a, b), c),
        merge_moments(a, merge_moments(b, c)),
        merge_moments(merge_moments(c, a), b),
    ):
        assert merged.count == whole.count
        assert_close(merged.mean, whole.mean, rtol=1e-12, atol=1e-12)
        assert_close(merged.var, whole.var, rtol=1e-9, atol=1e-12)


def test_an_empty_batch_changes_nothing_exactly():
    x = torch.randn(7, 3)
    a, nothing = batch_moments(x), batch_moments(x[:0])
    for merged in (merge_moments(a, nothing), merge_moments(nothing, a)):
        assert all(torch.equal(p, q) for p, q in zip(merged, a, strict=True))


def test_counts_stay_exact_in_float32():
    # 2^24 + 1 is no float32, and the product of two such counts overflows nothing
    big = Moments(torch.tensor(2.0**24).double(), torch.zeros(1), torch.ones(1))
    one = batch_moments(torch.zeros(1, 1))
    assert int(merge_moments(big, one).count) == 2**24 + 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_statistics_are_float32_or_wider(dtype):
    x = (torch.randn(64, 3) * 300 + 1000).to(dtype)  # squares overflow float16
    found = batch_moments(x)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.mean.dtype == found.var.dtype == wide
    _, mean, var = oracles.moments(x)
    assert_close(found.mean.double(), mean, rtol=1e-5, atol=0)
    assert_close(found.var.double(), var, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", [(4096, 4), (32, 4, 64, 64)])
def test_a_large_mean_does_not_hide_the_variance(shape):
    x = torch.randn(shape) * 1e-2 + 1e4  # half of the deviation is rounded away in x itself: the oracle sees the same x
    _, mean, var = oracles.moments(x)
    found = batch_moments(x)
    assert_close(found.mean.double(), mean, rtol=1e-6, atol=0)
    assert_close(found.var.double(), var, rtol=1e-2, atol=0)


@pytest.mark.parametrize(("shape", "centre"), [((3, 2), 100.0), ((1_000_000, 1), 100.0), ((32, 2, 256, 256), 1.0)])
def test_the_mean_is_the_nearest_float(shape, centre):
    x = torch.randn(shape) * 1e-2 + centre
    exact = x.double().transpose(0, 1).flatten(1).mean(1)  # in float64 these sums are exact to 1e-13
    spacing = torch.nextafter(exact.float(), torch.tensor(torch.inf)) - exact.float()
    error = (batch_moments(x).mean.double() - exact).abs()
    assert (error <= 0.51 * spacing).all()  # one sum alone is further off in each of these


def test_counts_on_a_device_without_float64():
    from types import SimpleNamespace

    from steadynorm.functional.moments import _count_dtype

    assert _count_dtype(SimpleNamespace(device=torch.device("mps"))) == torch.float32
    assert _count_dtype(torch.zeros(1)) == torch.float64


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15])
def test_magnitudes(scale):
    x = torch.randn(50, 2) * scale
    found = batch_moments(x)
    _, mean, var = oracles.moments(x)
    assert_close(found.mean.double(), mean, rtol=1e-4, atol=1e-7 * scale)
    assert_close(found.var.double(), var, rtol=1e-5, atol=1e-44)


def test_a_constant_feature_has_variance_zero():
    assert (batch_moments(torch.full((1000, 2), 0.1)).var == 0).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_bad_value_reaches_its_feature_only(bad):
    x = torch.randn(8, 3)
    x[2, 1] = bad
    found = batch_moments(x)
    assert torch.isnan(found.var).tolist() == [False, True, False]
    assert torch.isfinite(found.mean).tolist() == [True, False, True]


def test_unbiased():
    x = torch.randn(5, 3, 2).double()
    assert_close(batch_moments(x).unbiased_var, x.transpose(0, 1).flatten(1).var(1))
    assert torch.isnan(batch_moments(x[:1, :, :1]).unbiased_var).all()
    assert torch.isnan(batch_moments(x[:0]).unbiased_var).all()


def test_layout_does_not_matter():
    x = torch.randn(4, 3, 5, 6)
    for same in (x.to(memory_format=torch.channels_last), x.repeat_interleave(2, 3)[..., ::2]):
        for a, b in zip(batch_moments(same), batch_moments(x), strict=True):
            assert_close(a, b)


def test_gradcheck():
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(4, 1, 3) < 0.6
    weights = torch.rand(4, 1, 1, dtype=torch.float64)
    for options in ({}, {"mask": mask}, {"weights": weights}):
        assert torch.autograd.gradcheck(lambda x, o=options: batch_moments(x, **o)[1:], x, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(lambda x, o=options: batch_moments(x, **o)[1:], x)


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        (torch.zeros(3), {}, ShapeError, r"\(N, C, \*S\), received \(3,\)"),
        (torch.zeros(3, 2).int(), {}, DtypeError, "received torch.int32"),
        (torch.zeros(3, 2), {"mask": torch.ones(3, 1)}, DtypeError, "mask must be boolean"),
        (torch.zeros(3, 2, 4), {"mask": torch.ones(3, 4).bool()}, ShapeError, r"\(3, 1, 4\), received \(3, 4\)"),
        (torch.zeros(3, 2), {"mask": torch.ones(3, 2).bool()}, ShapeError, "second of size 1"),
        (torch.zeros(3, 2), {"mask": torch.ones(2, 1).bool()}, ShapeError, "mask must broadcast"),
        (torch.zeros(3, 2), {"weights": torch.ones(3, 2)}, ShapeError, "weights must broadcast"),
    ],
)
def test_errors(x, options, error, words):
    with pytest.raises(error, match=words):
        batch_moments(x, **options)
