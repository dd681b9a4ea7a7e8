"""Conditional batch norm against its loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden
from steadynorm import functional
from steadynorm.errors import ArgumentError, DtypeError, ShapeError
from steadynorm.functional.conditional import check_classes, scale_by_class
from strategies import masked_inputs


def oracle(layer, x):
    return oracles.batch_norm(x, layer.class_weight[0], layer.class_bias[0], layer.eps)


@given(masked_inputs(), EPS, st.booleans(), st.integers(0, 1000))
def test_conditional(x_and_mask, eps, masked, seed):
    x, mask = x_and_mask
    mask = mask if masked else None
    draw = torch.Generator().manual_seed(seed)
    gamma, beta = (torch.randn(3, x.shape[1], generator=draw, dtype=x.dtype) for _ in range(2))
    classes = torch.randint(3, (len(x),), generator=draw)
    given_x = hidden(x, mask) if masked else x
    y, moments = functional.conditional_batch_norm(given_x, gamma, beta, classes=classes, eps=eps, mask=mask)
    ones, zeros = torch.ones_like(gamma[0]), torch.zeros_like(gamma[0])
    plain = oracles.batch_norm(x, ones, zeros, eps, mask)
    expected = torch.stack(
        [
            torch.stack([plain[i, c] * gamma[k, c] + beta[k, c] for c in range(x.shape[1])])
            for i, k in enumerate(classes.tolist())
        ]
    )
    assert_close(y, expected if mask is None else torch.where(mask, expected, 0), **HERE)
    assert_close(moments, functional.batch_moments(x, mask=mask), **HERE)


def test_one_class_is_batch_norm():
    x, gamma, beta = torch.randn(6, 3, 4).double(), torch.randn(1, 3).double(), torch.randn(1, 3).double()
    expected, _ = functional.batch_norm(x, gamma[0], beta[0], eps=1e-5)
    for classes in (0, torch.tensor(0), torch.zeros(6, dtype=torch.int32)):
        y, _ = functional.conditional_batch_norm(x, gamma, beta, classes=classes, eps=1e-5)
        assert_close(y, expected)


def test_gradcheck():
    x, gamma, beta = torch.randn(4, 2, 2), torch.randn(3, 2), torch.randn(3, 2)
    leaves = [t.double().requires_grad_() for t in (x, gamma, beta)]
    classes = torch.tensor([0, 2, 2, 1])
    assert torch.autograd.gradcheck(
        lambda *v: functional.conditional_batch_norm(*v, classes=classes, eps=1e-3)[0], leaves
    )


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (3, ArgumentError, "from 0 to 2, received 3"),
        (-1, ArgumentError, "from 0 to 2, received -1"),
        (torch.tensor([0, 1, 2, 3]), ArgumentError, "received 3"),
        (torch.tensor([0, 1, -2, 1]), ArgumentError, "received -2"),
        (torch.tensor([0, 1]), ShapeError, r"of shape \(4,\), received \(2,\)"),
        (torch.zeros(4, 1).long(), ShapeError, "received"),
        (torch.zeros(4), DtypeError, "must be integers"),
        (torch.zeros(4).bool(), DtypeError, "must be integers"),
    ],
)
def test_classes_are_checked(classes, error, message):
    with pytest.raises(error, match=message):
        functional.conditional_batch_norm(torch.randn(4, 3), torch.ones(3, 3), classes=classes, eps=1e-5)


def test_classes_are_checked_for_beta_alone():
    with pytest.raises(ArgumentError, match="from 0 to 2, received 3"):
        functional.conditional_batch_norm(torch.randn(4, 3), None, torch.ones(3, 3), classes=3, eps=1e-5)


def test_an_empty_batch_has_no_class():
    none = torch.zeros(0, dtype=torch.long)
    y, _ = functional.conditional_batch_norm(torch.randn(0, 3), torch.ones(3, 3), classes=none, eps=1e-5)
    assert y.shape == (0, 3)


def test_where_values_are_not_looked_at_the_last_class_is_not_taken_for_minus_one():
    check_classes(torch.empty(4, dtype=torch.long, device="meta"), torch.randn(4, 3), 3)  # as on a device: no wait
    with pytest.raises(IndexError):
        scale_by_class(torch.randn(2, 3), torch.ones(3, 3), None, torch.tensor([0, -1]))
