import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from steadynorm.errors import ArgumentError, ShapeError
from steadynorm.functional import fold_affine, fold_weights_after, fold_weights_before, normalize

CONVS = {
    (1, False): nn.functional.conv1d,
    (2, False): nn.functional.conv2d,
    (3, False): nn.functional.conv3d,
    (1, True): nn.functional.conv_transpose1d,
    (2, True): nn.functional.conv_transpose2d,
    (3, True): nn.functional.conv_transpose3d,
}


def statistics(c):
    return (torch.randn(c).double(), torch.rand(c).double() + 0.1, torch.randn(c).double(), torch.randn(c).double())


@pytest.mark.parametrize("has_gamma", [True, False])
@pytest.mark.parametrize("has_beta", [True, False])
def test_fold_affine_is_normalize(has_gamma, has_beta):
    mean, var, gamma, beta = statistics(5)
    gamma, beta = gamma if has_gamma else None, beta if has_beta else None
    scale, shift = fold_affine(mean, var, gamma, beta, eps=1e-3)
    x = torch.randn(7, 5).double()
    assert_close(scale * x + shift, normalize(x, mean, var, gamma, beta, eps=1e-3), rtol=1e-12, atol=1e-12)


@st.composite
def convolutions(draw):
    """A convolution's weight and the rest of its call."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    spatial, transposed = draw(st.integers(1, 3)), draw(st.booleans())
    groups = draw(st.integers(1, 3))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(spatial)]
    rows, columns = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
    weight = torch.randn(rows, columns, *kernel).double()
    bias = torch.randn(outputs).double() if draw(st.booleans()) else None
    call = CONVS[spatial, transposed]
    return call, weight, bias, groups, transposed, inputs, outputs, torch.randn(2, inputs, *[5] * spatial).double()


def along(v, x):
    return v.reshape(1, -1, *[1] * (x.dim() - 2))


@given(convolutions(), st.integers(0, 2), st.integers(1, 2))
def test_after_a_convolution(conv, padding, stride):
    call, weight, bias, groups, transposed, _, outputs, u = conv
    scale, shift = torch.randn(outputs).double(), torch.randn(outputs).double()
    options = {"padding": padding, "stride": stride, "groups": groups}
    y = call(u, weight, bias, **options)
    expected = y * along(scale, y) + along(shift, y)
    folded = fold_weights_after(weight, bias, scale, shift, groups=groups, transposed=transposed)
    assert folded[0].shape == weight.shape
    assert_close(call(u, *folded, **options), expected, rtol=1e-10, atol=1e-10)


@given(convolutions(), st.integers(1, 2))
def test_before_a_convolution(conv, stride):
    call, weight, bias, groups, transposed, inputs, _, u = conv
    # a transposed convolution's border sees part of the kernel only: there the shift must be 0
    scale, shift = torch.randn(inputs).double(), torch.randn(inputs).double() * (not transposed)
    options = {"stride": stride, "groups": groups}
    expected = call(u * along(scale, u) + along(shift, u), weight, bias, **options)
    folded = fold_weights_before(weight, bias, scale, shift, groups=groups, transposed=transposed)
    assert folded[0].shape == weight.shape
    assert_close(call(u, *folded, **options), expected, rtol=1e-10, atol=1e-10)


@given(convolutions())
def test_before_a_transposed_convolution_the_middle_is_exact(conv):
    call, weight, bias, groups, transposed, inputs, _, u = conv
    scale, shift = torch.randn(inputs).double(), torch.randn(inputs).double()
    expected = call(u * along(scale, u) + along(shift, u), weight, bias, groups=groups)
    found = call(
        u, *fold_weights_before(weight, bias, scale, shift, groups=groups, transposed=transposed), groups=groups
    )
    middle = (..., *[slice(2, -2) if transposed else slice(None)] * (u.dim() - 2))
    assert_close(found[middle], expected[middle], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("has_bias", [True, False])
def test_linear(has_bias):
    u, weight = torch.randn(6, 4).double(), torch.randn(3, 4).double()
    bias = torch.randn(3).double() if has_bias else None
    s, t = torch.randn(3).double(), torch.randn(3).double()
    after = nn.functional.linear(u, *fold_weights_after(weight, bias, s, t))
    assert_close(after, nn.functional.linear(u, weight, bias) * s + t)
    s, t = torch.randn(4).double(), torch.randn(4).double()
    before = nn.functional.linear(u, *fold_weights_before(weight, bias, s, t))
    assert_close(before, nn.functional.linear(u * s + t, weight, bias))


def test_gradcheck():
    weight = torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    values = [v.requires_grad_() for v in statistics(4)]

    def fold(weight, bias, *values):
        affine = fold_affine(*values, eps=1e-3)
        after = fold_weights_after(weight, bias, *affine, groups=4)
        return *after, *fold_weights_before(weight, bias, *affine, groups=4)

    assert torch.autograd.gradcheck(fold, (weight, bias, *values), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(fold, (weight, bias, *values))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fold_affine(torch.zeros(1), torch.ones(1), eps=-1.0), ArgumentError, "eps must be 0 or more"),
        (lambda: fold_weights_after(torch.ones(3, 2), None, torch.ones(2), torch.ones(2)), ShapeError, "3 outputs"),
        (lambda: fold_weights_before(torch.ones(3, 2), None, torch.ones(3), torch.ones(3)), ShapeError, "2 inputs"),
        (
            lambda: fold_weights_before(torch.ones(4, 2, 1), None, torch.ones(2), torch.ones(2), groups=2),
            ShapeError,
            r"4 inputs, received \(2,\)",
        ),
        (
            lambda: fold_weights_after(
                torch.ones(4, 2, 1), None, torch.ones(2), torch.ones(2), groups=2, transposed=True
            ),
            ShapeError,
            "4 outputs",
        ),
        (
            lambda: fold_weights_after(torch.ones(4, 2, 1), None, torch.ones(4), torch.ones(4), groups=3),
            ArgumentError,
            "groups must divide the weight's first size 4, received 3",
        ),
        (
            lambda: fold_weights_after(torch.ones(4, 2, 1), None, torch.ones(4), torch.ones(4), groups=0),
            ArgumentError,
            "received 0",
        ),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
