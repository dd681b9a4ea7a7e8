"""Batch norm of every few examples in a row: the operators against the formula."""

import pytest
import torch
from torch import library
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from steadynorm import functional, kernels
from steadynorm.functional import RunningStatistics
from steadynorm.kernels.operators import ACTIVATION_NUMBERS, operators
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-3
LAYOUTS = {
    "planes": lambda x: x,
    "rows": lambda x: x.contiguous(memory_format=torch.channels_last),
    "neither": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
}


def ours(x, r, gamma, beta, activation, examples, running=None):
    return kernels.ghost_batch_norm(x, r, gamma, beta, running, 0.1, EPS, activation, examples=examples)


def theirs(x, r, gamma, beta, activation, examples):
    z, moments = functional.ghost_batch_norm(x, gamma, beta, ghost_batch_size=examples, eps=EPS)
    z = z if r is None else z + r
    return z if activation is None else ACTIVATIONS[activation](z), moments


@pytest.mark.parametrize("examples", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("features", [1, 3])
def test_shapes_and_layouts(examples, layout, features):
    x = LAYOUTS[layout](torch.randn(7, features, 5, 4).double() + 3).requires_grad_()
    gamma, beta = torch.randn(2, features).double().requires_grad_().unbind()
    running = RunningStatistics.initial(gamma.detach())
    y = ours(x, None, gamma, beta, None, examples, running)
    expected, moments = theirs(x, None, gamma, beta, None, examples)
    dy = torch.randn_like(y)
    assert_close(y, expected)
    assert_close(torch.autograd.grad(y, [x, gamma, beta], dy), torch.autograd.grad(expected, [x, gamma, beta], dy))
    assert_close(running.mean, 0.1 * moments.mean.detach())
    assert_close(running.var, 0.9 + 0.1 * moments.unbiased_var.detach())
    assert int(running.num_batches_tracked) == 1


@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_gradients(activation, residual):
    x, r = (torch.randn(5, 2, 3, 1).double().requires_grad_() for _ in range(2))
    gamma, beta = (torch.randn(2).double().requires_grad_() for _ in range(2))
    inputs = [x, r if residual else None, gamma, beta]
    given = [v for v in inputs if v is not None]
    dy = torch.randn_like(x)
    y, (expected, _) = ours(*inputs, activation, 2), theirs(*inputs, activation, 2)
    assert_close(y, expected)
    assert_close(torch.autograd.grad(y, given, dy), torch.autograd.grad(expected, given, dy))
    assert gradcheck(lambda *v: ours(*v, activation, 2), inputs)
    assert gradgradcheck(lambda *v: ours(*v, activation, 2), inputs)


@pytest.mark.parametrize("shape", [(32, 16, 40, 40), (33, 64), (9, 3, 70, 70), (64, 4, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_and_narrow(shape, dtype):
    x = (torch.randn(shape) * 2 + 5).to(dtype).requires_grad_()
    y = ours(x, None, None, None, "relu", 8)
    expected = theirs(x.double(), None, None, None, "relu", 8)[0]
    dy = torch.randn(shape).to(dtype)
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if dtype is torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    assert y.dtype is dtype
    assert_close(y.double(), expected, **tolerance)
    got, want = (torch.autograd.grad(v, x, dy.to(v.dtype))[0] for v in (y, expected))
    assert_close(got.double(), want.double(), **tolerance)


def test_a_piece_of_nothing_is_refused():
    with pytest.raises(RuntimeError, match="at least one example"):
        ours(torch.randn(4, 3), None, None, None, None, 0)


@pytest.mark.parametrize("residual", [False, True])
def test_schemas_and_fakes(residual):
    x, r, dy = torch.randn(3, 5, 3, 4, 2).unbind()
    r = r if residual else None
    gamma, beta = torch.randn(2, 3).unbind()
    running = RunningStatistics.initial(gamma)
    library.opcheck(operators.ghost, (x, r, gamma, beta, *running, 0.1, EPS, 3, 2))
    _, statistics = operators.ghost(x, r, gamma, beta, *[None] * 5, EPS, 3, 2)
    library.opcheck(operators.ghost_backward, (dy, x, r, gamma, beta, statistics, 3, 2, True, residual))
