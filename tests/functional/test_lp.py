"""The lp norms against their loops."""

from math import inf

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden, vectors
from steadynorm import functional
from steadynorm.functional import batch_moments
from strategies import masked_inputs


@given(masked_inputs(), EPS, st.sampled_from([1, 2, inf]), st.booleans(), st.booleans())
def test_lp(x_and_mask, eps, p, centred, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    gamma, beta = vectors(x, 2)
    given_x = hidden(x, mask) if masked else x
    y, moments = functional.lp_batch_norm(given_x, gamma, beta, p=p, centred=centred, eps=eps, mask=mask)
    assert_close(y, oracles.lp_batch_norm(x, gamma, beta, eps, p, centred, mask), **HERE)
    assert_close(moments.mean, batch_moments(x, mask=mask).mean, **HERE)


def test_the_default_is_the_papers_uncentred_norm():
    x = torch.randn(5, 3, 2) + 4
    y, _ = functional.lp_batch_norm(x, p=1, eps=1e-5)
    assert torch.equal(y, functional.lp_batch_norm(x, p=1, centred=False, eps=1e-5)[0])
    assert not torch.equal(y, functional.lp_batch_norm(x, p=1, centred=True, eps=1e-5)[0])


def test_what_is_hidden_is_no_largest_deviation():
    x = torch.tensor([[99.5], [100.5], [0.0]])
    mask = torch.tensor([[True], [True], [False]])
    _, moments = functional.lp_batch_norm(x, p=inf, centred=True, eps=1e-5, mask=mask)
    assert_close(moments.var, torch.tensor([0.25]))  # of 99.5 and 100.5 around 100
