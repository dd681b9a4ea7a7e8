"""Every way to normalize against its loops, over shapes, masks and magnitudes."""

from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm import functional
from steadynorm.errors import ArgumentError, DtypeError, ShapeError
from steadynorm.functional import batch_moments
from strategies import inputs, masked_inputs

EPS = st.sampled_from([1e-3, 1e-2, 1.0])
HERE = {"rtol": 1e-7, "atol": 1e-7}


def vectors(x, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(x.shape[1], generator=generator, dtype=x.dtype) for _ in range(count)]


def hidden(x, mask):
    return torch.where(mask, x, torch.nan)


@given(masked_inputs(), EPS, st.integers(1, 6), st.booleans())
def test_ghost(x_and_mask, eps, size, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta = vectors(x, 2)
    given_x = hidden(x, mask) if masked else x
    y, moments = functional.ghost_batch_norm(given_x, gamma, beta, ghost_batch_size=size, eps=eps, mask=mask)
    assert_close(y, oracles.ghost_batch_norm(x, gamma, beta, eps, size, mask), **HERE)
    whole = batch_moments(x, mask=mask)  # the law of total variance: the ghost size leaves no trace
    assert_close(moments, whole, rtol=1e-9, atol=1e-9)


@given(masked_inputs(), EPS, st.sampled_from([1.0, 1.5, 100.0]), st.sampled_from([0.0, 0.5, 100.0]), st.booleans())
def test_renorm(x_and_mask, eps, r_max, d_max, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta, mean, var = vectors(x, 4)
    var = var.square() + 0.1
    given_x = hidden(x, mask) if masked else x
    running = {"running_mean": mean, "running_var": var}
    expected = oracles.batch_renorm(x, gamma, beta, eps, mean, var, r_max, d_max, mask)
    for limits in ((r_max, d_max), (torch.tensor(r_max), torch.tensor(d_max))):
        y, _ = functional.batch_renorm(
            given_x, gamma, beta, **running, r_max=limits[0], d_max=limits[1], eps=eps, mask=mask
        )
        assert_close(y, expected, **HERE)


@given(masked_inputs(), EPS, st.sampled_from([1, 2, inf]), st.booleans(), st.booleans())
def test_lp(x_and_mask, eps, p, centred, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta = vectors(x, 2)
    given_x = hidden(x, mask) if masked else x
    y, moments = functional.lp_batch_norm(given_x, gamma, beta, p=p, centred=centred, eps=eps, mask=mask)
    assert_close(y, oracles.lp_batch_norm(x, gamma, beta, eps, p, centred, mask), **HERE)
    assert_close(moments.mean, batch_moments(x, mask=mask).mean, **HERE)


@given(inputs(), EPS, st.sampled_from([0.0, 1.0, 3.0]))
def test_noisy(x, eps, dose):
    gamma, beta = vectors(x, 2)
    noise = functional.draw_noise(x, dose=dose, generator=torch.Generator().manual_seed(0))
    y, _ = functional.noisy_batch_norm(x, gamma, beta, noise=noise, eps=eps)
    assert_close(y, oracles.noisy_batch_norm(x, gamma, beta, eps, *noise), **HERE)
    if dose == 0:
        assert torch.equal(y, functional.batch_norm(x, gamma, beta, eps=eps)[0])


@pytest.mark.parametrize("dose", [0.5, 1.0, 4.0])
def test_noise_is_drawn_as_algorithm_1_says(dose):
    x = torch.zeros(400, 500, 4, dtype=torch.float64)
    scale, shift = functional.draw_noise(x, dose=dose)
    centre = shift.mean((0, 2))  # of each unit: uniform in ±0.5 doses
    assert float(shift.abs().max()) <= 0.6 * dose
    assert_close(float(centre.square().mean()), (0.5 * dose) ** 2 / 3, rtol=0.1, atol=0)
    around = shift - centre[None, :, None]  # of each activation: uniform in ±0.1
    assert_close(float(around.square().mean()), (0.1 * dose) ** 2 / 3, rtol=0.02, atol=0)
    size = scale.mean((0, 2))
    assert_close(float(size.mean()), 1 + 0.125 * dose, rtol=0.01, atol=0)
    assert float(size.min()) > 1 - 0.02 * dose
    assert float(size.max()) < 1 + 0.27 * dose
    assert_close(float((scale - size[None, :, None]).std()), 0.1 * dose, rtol=0.02, atol=0)


@given(masked_inputs(), EPS, st.booleans(), st.booleans())
def test_whitening(x_and_mask, eps, by_feature, masked):
    x, mask = x_and_mask
    mask = mask if masked and bool(x_and_mask[1].any()) else None
    groups = x.shape[1] if by_feature else 1
    gamma, beta = vectors(x, 2)
    x = x / x.abs().max().clamp(min=1)  # beyond that the floor of eigenvalues counts, which the loops do not have
    given_x = x if mask is None else hidden(x, mask)
    y, _ = functional.whitening_norm(given_x, gamma, beta, groups=groups, eps=eps, mask=mask)
    assert_close(y, oracles.whitening_norm(x, gamma, beta, eps, groups, mask), **HERE)
    for iterations in (1, 5):
        y, _ = functional.iter_norm(given_x, gamma, beta, groups=groups, iterations=iterations, eps=eps, mask=mask)
        assert_close(y, oracles.iter_norm(x, gamma, beta, eps, groups, iterations, mask), **HERE)


@given(masked_inputs(), EPS, st.sampled_from([0.0, 0.1, 0.7, 1.0]), st.booleans())
def test_example_weighing(x_and_mask, eps, alpha, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta, mean, var = vectors(x, 4)
    var = var.square() + 0.1
    x = x / x.abs().max().clamp(min=1) * 10  # the paper's difference of squares loses digits where ours does not
    given_x = hidden(x, mask) if masked else x
    y = functional.example_weighed_norm(given_x, mean, var, gamma, beta, alpha=alpha, eps=eps, mask=mask)
    assert_close(y, oracles.example_weighed_norm(x, mean, var, gamma, beta, eps, alpha, mask), rtol=1e-6, atol=1e-6)


def all_of_them(x, **options):
    """Every function on x, named; each may refuse what it is given."""
    running = {"running_mean": torch.zeros(3), "running_var": torch.ones(3)}
    return {
        "ghost": lambda: functional.ghost_batch_norm(x, ghost_batch_size=2, eps=1e-5, **options),
        "renorm": lambda: functional.batch_renorm(x, **running, r_max=2.0, d_max=1.0, eps=1e-5, **options),
        "lp": lambda: functional.lp_batch_norm(x, p=inf, eps=1e-5, **options),
        "whitening": lambda: functional.whitening_norm(x, eps=1e-5, **options),
        "iternorm": lambda: functional.iter_norm(x, eps=1e-5, **options),
        "weighed": lambda: (
            functional.example_weighed_norm(x, torch.zeros(3), torch.ones(3), alpha=0.5, eps=1e-5, **options),
        ),
    }


@pytest.mark.parametrize("name", all_of_them(None))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_and_empty_batches(name, dtype):
    x = (torch.randn(4, 3, 2, 2) * 100).to(dtype)
    y = all_of_them(x)[name]()[0]
    assert y.dtype == dtype
    assert_close(y.float(), all_of_them(x.float())[name]()[0], rtol=2e-2, atol=2e-2)
    assert torch.isfinite(y).all()
    assert all_of_them(x[:0])[name]()[0].shape == (0, 3, 2, 2)


@pytest.mark.parametrize("name", all_of_them(None))
def test_what_a_mask_hides_reaches_no_gradient(name):
    mask = torch.rand(4, 1, 2, 2) < 0.6
    x, dy = torch.randn(2, 4, 3, 2, 2)
    gradients = []
    for behind in (0.0, torch.nan):
        leaf = torch.where(mask, x, behind).requires_grad_()
        y = all_of_them(leaf, mask=mask)[name]()[0]
        gradients.append(torch.autograd.grad(y, leaf, dy)[0])
    assert_close(*gradients)
    assert (gradients[1][~mask.expand_as(x)] == 0).all()


@pytest.mark.parametrize("name", all_of_them(None))
def test_bad_input_is_refused(name):
    x = torch.randn(4, 3, 2, 2)
    for bad, options, error in (
        (torch.randn(4), {}, ShapeError),
        (x.int(), {}, DtypeError),
        (x, {"mask": torch.ones(4, 1, 2, 2)}, DtypeError),
        (x, {"mask": torch.ones(4, 3, 2, 2).bool()}, ShapeError),
    ):
        with pytest.raises(error):
            all_of_them(bad, **options)[name]()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: functional.ghost_batch_norm(x, ghost_batch_size=0, eps=1e-5), "1 or more, received 0"),
        (lambda x: functional.ghost_batch_norm(x, ghost_batch_size=1.5, eps=1e-5), "an integer.*received 1.5"),
        (lambda x: functional.lp_batch_norm(x, p=3, eps=1e-5), "p must be 1, 2 or.*received 3"),
        (lambda x: functional.draw_noise(x, dose=-1), "dose must be 0 or more, received -1"),
        (lambda x: functional.batch_covariance(x, groups=2), "must divide the number of features 3, received 2"),
        (lambda x: functional.batch_covariance(x, groups=0), "received 0"),
        (lambda x: functional.whitening_norm(x, eps=-1), "eps must be 0 or more"),
        (lambda x: functional.iter_norm(x, eps=1e-5, iterations=0), "iterations must be 1 or more, received 0"),
        (
            lambda x: functional.example_weighed_norm(x, torch.zeros(3), torch.ones(3), alpha=1.1, eps=1e-5),
            "between 0 and 1, received 1.1",
        ),
        (
            lambda x: functional.batch_renorm(
                x, running_mean=torch.zeros(3), running_var=torch.ones(3), r_max=2.0, d_max=1.0, eps=-1.0
            ),
            "eps must be 0 or more",
        ),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(torch.randn(4, 3, 2))


@pytest.mark.parametrize(("scale", "r"), [(1e-3, 1 / 1.5), (0.8, 0.8), (1.0, 1.0), (1.25, 1.25), (1e3, 1.5)])
@pytest.mark.parametrize(("shift", "d"), [(-9.0, -0.5), (-0.25, -0.25), (0.0, 0.0), (0.25, 0.25), (9.0, 0.5)])
def test_both_ends_of_both_clips(scale, r, shift, d):
    x_hat = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)  # mean 0, variance 1
    running = {"running_mean": torch.tensor([-shift]).double(), "running_var": torch.tensor([1.0]).double()}
    y, _ = functional.batch_renorm(x_hat * scale, **running, r_max=1.5, d_max=0.5, eps=0.0)
    assert_close(y, x_hat * r + d)
