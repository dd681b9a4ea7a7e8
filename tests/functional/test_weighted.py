"""Inference example weighing against its loop."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, hidden, vectors
from steadynorm import functional
from strategies import masked_inputs


@given(masked_inputs(), EPS, st.sampled_from([0.0, 0.1, 0.7, 1.0]), st.booleans())
def test_example_weighing(x_and_mask, eps, alpha, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta, mean, var = vectors(x, 4)
    var = var.square() + 0.1
    x = x / x.abs().max().clamp(min=1) * 10  # the paper's difference of squares loses digits where ours does not
    given_x = hidden(x, mask) if masked else x
    y = functional.example_weighted_norm(given_x, mean, var, gamma, beta, alpha=alpha, eps=eps, mask=mask)
    assert_close(y, oracles.example_weighted_norm(x, mean, var, gamma, beta, eps, alpha, mask), rtol=1e-6, atol=1e-6)


def test_what_is_hidden_has_no_share_in_an_examples_statistics():
    x, mask = torch.randn(2, 3, 4) + 5, torch.tensor([True, True, False, True]).expand(2, 1, 4)
    mean, var = torch.zeros(3), torch.ones(3)
    y = functional.example_weighted_norm(x, mean, var, alpha=0.5, eps=1e-5, mask=mask)
    cut = functional.example_weighted_norm(x[:, :, [0, 1, 3]], mean, var, alpha=0.5, eps=1e-5)
    assert_close(y[:, :, [0, 1, 3]], cut)
    assert (y[:, :, 2] == 0).all()
