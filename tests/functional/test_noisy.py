"""Noise after batch norm: the loop, and how it is drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, vectors
from steadynorm import functional
from strategies import inputs


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


def test_the_papers_dose_is_the_default():
    x, drawn = torch.zeros(3, 2), torch.Generator()
    ours = functional.draw_noise(x, generator=drawn.manual_seed(5))
    assert_close(ours, functional.draw_noise(x, dose=1.0, generator=drawn.manual_seed(5)), rtol=0, atol=0)


def test_what_a_mask_hides_comes_out_as_0():
    x, mask = torch.randn(4, 3, 2), torch.rand(4, 1, 2) < 0.5
    noise = functional.draw_noise(x)
    y, moments = functional.noisy_batch_norm(torch.where(mask, x, torch.nan), noise=noise, eps=1e-5, mask=mask)
    expected, plain = functional.batch_norm(x, eps=1e-5, mask=mask)
    assert_close(y, torch.where(mask, noise.scale * expected + noise.shift, 0))
    assert_close(moments, plain)
