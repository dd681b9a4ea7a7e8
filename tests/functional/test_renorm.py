"""Batch Renormalization against its loop, and both ends of its clips."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden, vectors
from steadynorm import functional
from strategies import masked_inputs


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


@pytest.mark.parametrize(("scale", "r"), [(1e-3, 1 / 1.5), (0.8, 0.8), (1.0, 1.0), (1.25, 1.25), (1e3, 1.5)])
@pytest.mark.parametrize(("shift", "d"), [(-9.0, -0.5), (-0.25, -0.25), (0.0, 0.0), (0.25, 0.25), (9.0, 0.5)])
def test_both_ends_of_both_clips(scale, r, shift, d):
    x_hat = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)  # mean 0, variance 1
    running = {"running_mean": torch.tensor([-shift]).double(), "running_var": torch.tensor([1.0]).double()}
    y, _ = functional.batch_renorm(x_hat * scale, **running, r_max=1.5, d_max=0.5, eps=0.0)
    assert_close(y, x_hat * r + d)
