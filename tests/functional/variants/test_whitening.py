"""Whitening and its iteration against their loops."""

from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm import functional
from strategies import masked_inputs
from variants_inputs import EPS, HERE, hidden, vectors


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
