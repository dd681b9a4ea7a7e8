"""Whitening by the kernels: the product with a matrix for each group, and the gradients of covariances."""

import pytest
import torch
from torch import library
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import steadynorm as sn
from steadynorm import functional, kernels
from steadynorm.functional.whitening import whiten
from steadynorm.kernels.operators import ACTIVATION_NUMBERS, operators
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

LAYOUTS = {
    "planes": lambda x: x,
    "rows": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "neither": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def given(shape, groups, dtype=torch.float64):
    features = shape[1]
    x = torch.randn(shape, dtype=dtype) + 2
    matrix = torch.randn(groups, features // groups, features // groups, dtype=dtype)
    mean, shift = torch.randn(2, features, dtype=dtype).unbind()
    return x, matrix, mean, shift


@layouts
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(3, 6, 5, 7), (19, 6), (2, 6, 1030), (1, 18, 6, 6, 3), (2, 6, 1)], ids=str)
def test_products(shape, groups, layout):
    x, matrix, mean, shift = given(shape, groups)
    x = LAYOUTS[layout](x)
    y = kernels.mix(x, None, matrix, mean, shift, None)
    assert_close(y, whiten(x, mean, matrix, None, shift))
    assert_close(kernels.mix(x, None, matrix, mean, None, None), whiten(x, mean, matrix))
    if layout != "neither":
        assert y.stride() == x.stride()


@layouts
@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
@torch.no_grad()
def test_residual_and_activation(activation, layout):
    x, matrix, mean, shift = given((4, 6, 5, 9), 2)
    x, r = LAYOUTS[layout](x), torch.randn_like(x)
    z = whiten(x, mean, matrix, None, shift) + r
    expected = z if activation is None else ACTIVATIONS[activation](z)
    assert_close(kernels.mix(x, r, matrix, mean, shift, activation), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_data_far_from_zero(dtype):
    """The mean is subtracted before anything is multiplied, in two parts if float32 does not hold it."""
    x, matrix, mean, shift = given((8, 4, 6, 6), 2)
    mean = mean + 3e4 / 7
    x = (x + mean.reshape(1, -1, 1, 1)).to(dtype)
    expected = whiten(x.double(), mean, matrix, None, shift)
    tolerance = 1e-2 if dtype is torch.bfloat16 else 1e-5
    y = kernels.mix(x, None, matrix.float(), mean, shift.float(), None)
    assert y.dtype is dtype
    assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(7, 4, 3), (9, 4)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients(shape, groups):
    inputs = [v.requires_grad_() for v in given(shape, groups)]

    def mixed(x, matrix, mean, shift):
        return kernels.mix(x, None, matrix, mean, shift, None)

    def covariances(x):
        return kernels.covariance(x, groups=groups)[1:]

    x, matrix, mean, shift = inputs
    dy, dmean, dcov = torch.randn(shape).double(), torch.randn(4).double(), torch.randn_like(matrix)
    expected = torch.autograd.grad(whiten(x, mean, matrix, None, shift), inputs, dy)
    assert_close(torch.autograd.grad(mixed(*inputs), inputs, dy), expected)
    expected = functional.batch_covariance(x, groups=groups)
    assert_close(kernels.covariance(x, groups=groups), expected)
    assert_close(
        torch.autograd.grad(covariances(x), x, (dmean, dcov)), torch.autograd.grad(expected[1:], x, (dmean, dcov))
    )
    for function, leaves in ((mixed, inputs), (covariances, inputs[:1])):
        assert gradcheck(function, leaves, check_batched_grad=True)
        assert gradgradcheck(function, leaves)


def test_only_what_is_wanted_has_gradients():
    x, matrix, mean, shift = given((3, 4, 5), 2)
    y = kernels.mix(x, None, matrix.requires_grad_(), mean, None, None)
    y.sum().backward()
    assert matrix.grad is not None
    assert x.grad is mean.grad is None
    kernels.mix(x, None, matrix.detach(), mean, shift.requires_grad_(), None).sum().backward()
    assert_close(shift.grad, torch.full((4,), 15.0).double())


def test_schema_and_fake():
    x, matrix, mean, shift = given((3, 4, 5, 2), 2, torch.float32)
    library.opcheck(operators.mix, (x, torch.randn_like(x), matrix, mean, shift, 3))
    library.opcheck(operators.mix, (x, None, matrix, mean, None, 0))


def test_matrices_that_do_not_fit_are_refused():
    x, matrix, mean, _ = given((3, 4, 5), 2)
    for wrong in (matrix[:1], matrix[0], matrix[:, :1]):
        with pytest.raises(RuntimeError, match=r"\(groups, C/groups, C/groups\)"):
            operators.mix(x, None, wrong, mean, None, 0)


def test_the_empty_batch():
    assert operators.mix(torch.randn(0, 4, 3), None, torch.eye(4)[None], torch.zeros(4), None, 0).shape == (0, 4, 3)


def by_data(cov):
    cov.data.mul_(2)


def in_place(cov):
    cov.mul_(2)


def by_numpy(cov):
    cov.numpy()[:] *= 2


@pytest.mark.parametrize("change", [by_data, in_place, by_numpy])
@pytest.mark.parametrize("kind", [sn.nn.WhiteningNorm2d, sn.nn.IterNorm2d])
@torch.no_grad()
def test_the_kept_matrix_follows_its_covariances(kind, change):
    layer, x = kind(4, groups=2).eval(), torch.randn(3, 4, 5, 5)
    before = layer(x)
    known = layer._known
    assert torch.equal(layer(x), before)
    assert layer._known is known
    change(layer.running_cov)
    after = layer(x)
    fresh = kind(4, groups=2).eval()
    fresh.load_state_dict(layer.state_dict())
    assert not torch.allclose(after, before)
    assert torch.equal(after, fresh(x))
    layer.load_state_dict(kind(4, groups=2).state_dict())
    assert torch.equal(layer(x), before)
    layer.weight.data.mul_(3)
    assert_close(layer(x), 3 * before)
    layer.eps = 1.0
    assert not torch.allclose(layer(x), 3 * before)


def test_a_matrix_from_inference_mode_serves_training_later():
    layer, x = sn.nn.WhiteningNorm2d(4, affine=False).eval(), torch.randn(3, 4, 5, 5)
    with torch.inference_mode():
        layer(x)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad is not None


def test_statistics_that_need_gradients_get_them():
    layer, x = sn.nn.IterNorm2d(4).eval(), torch.randn(3, 4, 5, 5)
    cov = layer.running_cov.clone().requires_grad_()
    torch.func.functional_call(layer, {"running_cov": cov}, (x,)).square().sum().backward()
    assert (cov.grad != 0).any()
