"""Batch norm by an ℓp norm: the operators against the formula."""

from math import inf

import pytest
import torch
from torch import library
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from steadynorm import functional, kernels
from steadynorm.kernels.operators import ACTIVATION_NUMBERS, operators
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-3
LAYOUTS = {
    "planes": lambda x: x,
    "rows": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "neither": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
}
norms = pytest.mark.parametrize(("p", "centred"), [(p, c) for p in (1, 2, inf) for c in (False, True)])


def ours(x, r, gamma, beta, activation, p, centred):
    return kernels.lp_batch_norm(x, r, gamma, beta, EPS, activation, p=p, centred=centred)


def theirs(x, r, gamma, beta, activation, p, centred):
    z, moments = functional.lp_batch_norm(x, gamma, beta, p=p, centred=centred, eps=EPS)
    z = z if r is None else z + r
    return z if activation is None else ACTIVATIONS[activation](z), moments


@norms
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(7, 3, 5, 4), (33, 5), (4, 1, 6), (70, 9, 70, 2), (3, 2, 5000)], ids=str)
def test_shapes_and_layouts(shape, layout, p, centred):
    x = LAYOUTS[layout](torch.randn(shape).double() + 0.3).requires_grad_()
    gamma, beta = torch.randn(2, shape[1]).double().requires_grad_().unbind()
    (y, moments), (expected, of) = (f(x, None, gamma, beta, None, p, centred) for f in (ours, theirs))
    dy = torch.randn_like(y)
    assert_close(y, expected)
    assert_close(tuple(moments), tuple(of))
    assert_close(torch.autograd.grad(y, [x, gamma, beta], dy), torch.autograd.grad(expected, [x, gamma, beta], dy))


@norms
@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_gradients(activation, residual, p, centred):
    x, r = (torch.randn(5, 2, 3).double().requires_grad_() for _ in range(2))
    gamma, beta = (torch.randn(2).double().requires_grad_() for _ in range(2))
    inputs = [x, r if residual else None, gamma, beta]
    given = [v for v in inputs if v is not None]
    dy = torch.randn_like(x)
    (y, _), (expected, _) = (f(*inputs, activation, p, centred) for f in (ours, theirs))
    assert_close(y, expected)
    assert_close(torch.autograd.grad(y, given, dy), torch.autograd.grad(expected, given, dy))
    if activation in (None, "relu", "silu"):
        assert gradcheck(lambda *v: ours(*v, activation, p, centred)[0], inputs, check_batched_grad=True)
        assert gradgradcheck(lambda *v: ours(*v, activation, p, centred)[0], inputs)


@norms
def test_several_largest_values_and_zeros_share_the_gradient(p, centred):
    x = torch.tensor([[3.0], [-3.0], [0.0], [3.0], [1.0], [-4.0 if centred else 2.0]]).double().requires_grad_()
    dy = torch.randn_like(x)
    got, want = (torch.autograd.grad(f(x, None, None, None, None, p, centred)[0], x, dy)[0] for f in (ours, theirs))
    assert_close(got, want)


@norms
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_in_its_feature(p, centred, bad):
    x = torch.randn(6, 2)
    x[0, 0] = bad
    y, moments = ours(x, None, None, None, None, p, centred)
    assert not torch.isfinite(moments.mean + moments.var)[0]
    assert_close(y[:, 1:], theirs(x, None, None, None, None, p, centred)[0][:, 1:])


@norms
def test_large_batches_in_float32(p, centred):
    x = (torch.randn(32, 16, 40, 40) * 2 + 5).requires_grad_()
    (y, _), (expected, _) = (
        ours(x, None, None, None, "relu", p, centred),
        theirs(x.double(), *[None] * 3, "relu", p, centred),
    )
    dy = torch.randn_like(x)
    assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    got, want = (torch.autograd.grad(v, x, dy.to(v.dtype))[0] for v in (y, expected))
    assert_close(got.double(), want.double(), rtol=1e-4, atol=1e-5)


def test_only_what_is_wanted_has_gradients():
    x, gamma = torch.randn(4, 3), torch.ones(3, requires_grad=True)
    ours(x, None, gamma, None, None, 1, False)[0].sum().backward()
    assert x.grad is None
    assert gamma.grad is not None


@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_schemas_and_fakes(infinite, centred):
    x, r, dy = torch.randn(3, 4, 3, 5).unbind()
    gamma, beta = torch.randn(2, 3).unbind()
    library.opcheck(operators.norms, (x, infinite, centred))
    norms = operators.norms(x, infinite, centred)
    _, statistics = operators.normalize(x, r, gamma, beta, norms[0], norms[1], EPS, 3)
    of_y = dy, x, r, gamma, beta, statistics, 3
    library.opcheck(operators.norms_backward, (*of_y, norms, infinite, centred, True, True))


def test_sixteen_bits_are_refused():
    with pytest.raises(RuntimeError, match="float32 or float64"):
        operators.norms(torch.randn(4, 3).bfloat16(), False, False)
