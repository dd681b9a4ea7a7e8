"""Ghost batch norm against its loop, over shapes, masks and magnitudes."""

from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden, vectors
from steadynorm import functional
from steadynorm.functional import batch_moments
from strategies import masked_inputs


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
