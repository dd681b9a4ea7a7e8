"""Inference example weighing against its loop."""

from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm import functional
from strategies import masked_inputs
from variants_inputs import EPS, hidden, vectors


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
