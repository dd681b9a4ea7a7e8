"""Moments put together elsewhere: of a masked batch, and of one that lies in several places."""

import threading

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from steadynorm import functional, kernels
from steadynorm.functional import Moments, merge_moments
from steadynorm.kernels.operators import ACTIVATION_NUMBERS, operators
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-3
numbers = pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)


def leaves(residual, dtype=torch.float64):
    x, r = (torch.randn(5, 3, 4, 2, dtype=dtype).requires_grad_() for _ in range(2))
    gamma, beta = (torch.randn(3, dtype=dtype).requires_grad_() for _ in range(2))
    return x, r if residual else None, gamma, beta


@numbers
@pytest.mark.parametrize("residual", [False, True])
def test_masked(activation, residual):
    mask = torch.rand(5, 1, 4, 2) > 0.4

    def ours(x, r, gamma, beta):
        x, r = (None if v is None else torch.where(mask, v, 0) for v in (x, r))
        with torch.no_grad():
            moments = functional.batch_moments(x, mask=mask)
        y = kernels.batch_norm_by_moments(x, r, gamma, beta, moments, EPS, activation, mask=mask)
        return torch.where(mask, y, 0)

    def theirs(x, r, gamma, beta):
        z = functional.batch_norm(x, gamma, beta, eps=EPS, mask=mask)[0]
        z = z if r is None else z + r
        return torch.where(mask, z if activation is None else ACTIVATIONS[activation](z), 0)

    inputs = leaves(residual)
    given = [v for v in inputs if v is not None]
    dy = torch.randn(5, 3, 4, 2).double()
    assert_close(ours(*inputs), theirs(*inputs))
    assert_close(torch.autograd.grad(ours(*inputs), given, dy), torch.autograd.grad(theirs(*inputs), given, dy))
    assert gradcheck(ours, inputs)
    assert gradgradcheck(ours, inputs)


def wholly(x):
    """Moments of a part, by the operator."""
    mean, var = operators.moments(x.detach())
    return Moments(torch.tensor(float(x.numel() / x.shape[1]), dtype=torch.float64), mean, var)


@numbers
@pytest.mark.parametrize("sizes", [(3, 2), (1, 4), (5, 0)])
def test_a_batch_in_several_places(activation, sizes):
    x, r, gamma, beta = leaves(residual=True)
    dy = torch.randn_like(x)
    expected = torch.autograd.grad(
        kernels.batch_norm(x, r, gamma, beta, None, None, EPS, activation), [x, r, gamma, beta], dy
    )
    parts = list(zip(x.detach().split(sizes), r.detach().split(sizes), dy.split(sizes), strict=True))
    moments = merge_moments(*(wholly(part) for part, _, _ in parts))
    meeting, sums, results = threading.Barrier(2), {}, {}

    def work(rank):
        def reduce(own):
            sums[rank] = own
            meeting.wait(timeout=30)
            return sums[0] + sums[1]

        part, residual, gradient = (v.clone() for v in parts[rank])
        inputs = [v.detach().clone().requires_grad_() for v in (part, residual, gamma, beta)]
        y = kernels.batch_norm_by_moments(*inputs, moments, EPS, activation, reduce=reduce)
        results[rank] = torch.autograd.grad(y, inputs, gradient)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        assert_close(torch.cat([results[rank][k] for rank in range(2)]), expected[k])
    for k in (2, 3):
        assert_close(results[0][k] + results[1][k], expected[k])


def test_over_several_places_there_are_no_second_derivatives():
    x, r, gamma, beta = leaves(residual=True)
    y = kernels.batch_norm_by_moments(x, r, gamma, beta, wholly(x), EPS, "silu", reduce=lambda own: own)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_every_place_takes_part_whatever_it_needs():
    x, r, gamma, beta = leaves(residual=True)
    calls = []
    y = kernels.batch_norm_by_moments(
        x.detach(), r, gamma, beta, wholly(x), EPS, None, reduce=lambda own: calls.append(own) or own
    )
    y.sum().backward()
    assert len(calls) == 1
    assert calls[0].shape == (2, 3)


@numbers
@pytest.mark.parametrize("residual", [False, True])
def test_moments_taken_before(activation, residual):
    inputs = leaves(residual)
    given = [v for v in inputs if v is not None]
    dy = torch.randn(5, 3, 4, 2).double()
    y = kernels.batch_norm_by_moments(*inputs, wholly(inputs[0]), EPS, activation)
    expected = kernels.batch_norm(*inputs, None, None, EPS, activation)
    assert_close(y, expected)
    assert_close(torch.autograd.grad(y, given, dy), torch.autograd.grad(expected, given, dy))
