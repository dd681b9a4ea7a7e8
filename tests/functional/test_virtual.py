"""Virtual batch norm against its loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden, vectors
from steadynorm import functional
from steadynorm.errors import ArgumentError
from strategies import masked_inputs


def oracle(layer, x):
    return in_loops(x, layer.weight, layer.bias, layer.eps, layer.reference_size)


def in_loops(x, gamma, beta, eps, size, mask=None):
    """Each example beside the reference, by E[x²] − E[x]² in float64, as the paper's words have it."""
    mask = torch.ones_like(x[:, :1], dtype=torch.bool) if mask is None else mask.expand(len(x), *mask.shape[1:])
    y = torch.zeros_like(x)
    for c in range(x.shape[1]):
        reference = x[:size, c][mask[:size, 0]]
        for i in range(len(x)):
            own = x[i, c][mask[i, 0]]
            if i < size or own.numel() == 0 or reference.numel() == 0:
                mean, square = reference.mean(), reference.square().mean()
                if reference.numel() == 0:
                    mean, square = own.mean(), own.square().mean()
            else:
                share = 1 / (size + 1)
                mean = share * own.mean() + (1 - share) * reference.mean()
                square = share * own.square().mean() + (1 - share) * reference.square().mean()
            y[i, c] = (x[i, c] - mean) / (square - mean**2 + eps).sqrt() * gamma[c] + beta[c]
    return torch.where(mask, y, 0)


@given(masked_inputs(), EPS, st.integers(1, 6), st.booleans())
def test_virtual(x_and_mask, eps, size, masked):
    x, mask = x_and_mask
    mask = mask if masked else None
    if mask is not None:
        shown = mask.expand(len(x), *mask.shape[1:]).flatten(1)
        if not shown[:size].any() or not shown.any(1).all():
            return
    gamma, beta = vectors(x, 2)
    given_x = hidden(x, mask) if masked else x
    y, moments = functional.virtual_batch_norm(given_x, gamma, beta, reference_size=size, eps=eps, mask=mask)
    expected = in_loops(x, gamma, beta, eps, size, mask)
    if x.abs().max() < 1e3:  # beyond, the oracle itself loses its digits
        assert_close(y, expected, rtol=1e-5, atol=1e-5)
    first = None if mask is None else mask.expand(len(x), *mask.shape[1:])[:size]
    assert_close(moments, functional.batch_moments(x[:size], mask=first), **HERE)


def test_an_output_does_not_depend_on_its_companions():
    torch.manual_seed(0)
    reference, x = torch.randn(4, 3, 2).double(), torch.randn(5, 3, 2).double()
    y, _ = functional.virtual_batch_norm(torch.cat([reference, x]), reference_size=4, eps=1e-5)
    alone, _ = functional.virtual_batch_norm(torch.cat([reference, x[2:3]]), reference_size=4, eps=1e-5)
    assert_close(y[6], alone[4])
    first, _ = functional.batch_norm(reference, eps=1e-5)
    assert_close(y[:4], first)


def test_the_reference_alone_is_batch_norm():
    x = torch.randn(6, 3, 4).double()
    y, moments = functional.virtual_batch_norm(x, reference_size=6, eps=1e-5)
    assert_close(y, oracles.batch_norm(x, torch.ones(3).double(), torch.zeros(3).double(), 1e-5))
    assert_close(moments, functional.batch_moments(x))


def test_gradients_flow_through_the_reference():
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: functional.virtual_batch_norm(x, reference_size=2, eps=1e-3)[0], (x,))
    y, _ = functional.virtual_batch_norm(x, reference_size=2, eps=1e-3)
    (grad,) = torch.autograd.grad(y[3].square().sum() + y[3].sum(), x)
    assert grad[0].abs().max() > 0
    assert grad[4].abs().max() == 0


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_sizes_are_checked(size):
    with pytest.raises(ArgumentError, match="reference_size must be an integer"):
        functional.virtual_batch_norm(torch.randn(4, 3), reference_size=size, eps=1e-5)
