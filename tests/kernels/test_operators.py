"""The operators against torch in float64, over shapes, layouts, dtypes, activations; accuracy; special values."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F
from torch.testing import assert_close

from steadynorm.functional import batch_moments
from steadynorm.kernels.operators import ACTIVATION_NUMBERS, INVERTIBLE, keeps_output, operators
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-5
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
# Both layouts' every path: blocks of several planes and of a part of one, folded and left-over rows, odd ends, size 1.
SHAPES = [
    (4, 3),
    (2, 1),
    (67, 5),
    (9, 200),
    (1, 5, 7),
    (7, 33, 5),
    (2, 3, 1, 1),
    (5, 1, 9, 3),
    (8, 64, 7, 7),
    (3, 5, 70, 61),
    (3, 2, 100, 100),
    (2, 4, 2, 3, 5),
]
LAYOUTS = ["contiguous", "channels_last", "transposed", "strided"]
numbers = pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)


def test_every_activation_has_a_number():
    assert set(ACTIVATION_NUMBERS) == {None, *ACTIVATIONS}
    assert sorted(ACTIVATION_NUMBERS.values()) == list(range(len(ACTIVATION_NUMBERS)))


def laid_out(x, layout):
    if layout == "channels_last":  # for any number of axes
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strided":
        return torch.stack([x, x], -1).flatten(-2)[..., ::2]
    return x


def apply(activation, z):
    return z if activation is None else ACTIVATIONS[activation](z)


def case(shape, dtype, layout, residual, seed=0):
    """x, residual, γ, β, dy."""
    generator = torch.Generator().manual_seed(seed)
    x, r, dy = (torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 1 for _ in range(3))
    wide = torch.promote_types(dtype, torch.float32)
    gamma, beta = torch.randn(2, shape[1], generator=generator, dtype=torch.float64).to(wide)
    x, r, dy = laid_out(x.to(dtype), layout), r.to(dtype), dy.to(dtype)
    return x, r if residual else None, gamma, beta, dy


def reference(x, residual, gamma, beta, dy, activation, statistics=None):
    """y, dx, dresidual, dγ, dβ by torch's operators in float64."""
    leaves = [None if v is None else v.double().requires_grad_() for v in (x, residual, gamma, beta)]
    mean, var = (None, None) if statistics is None else [v.double() for v in statistics]
    z = F.batch_norm(leaves[0], mean, var, leaves[2], leaves[3], statistics is None, 0.0, EPS)
    y = apply(activation, z if residual is None else z + leaves[1])
    given = [leaf for leaf in leaves if leaf is not None]
    found = iter(torch.autograd.grad(y, given, dy.double()))
    return [y.detach(), *(None if leaf is None else next(found) for leaf in leaves)]


def ours(x, residual, gamma, beta, dy, activation, statistics=None):
    number = ACTIVATION_NUMBERS[activation]
    if statistics is None:
        y, numbers, _ = operators.batch_norm(x, residual, gamma, beta, EPS, number)
    else:
        y, numbers = operators.normalize(x, residual, gamma, beta, *statistics, EPS, number)
    saved = (y if keeps_output(number, residual) else residual) if number else None
    dx, dz, dgamma, dbeta = operators.backward(
        dy, x, saved, gamma, beta, numbers, number, statistics is not None, True, residual is not None
    )
    return [y, dx, dz if residual is not None else None, dgamma, dbeta]


def compare(found, expected, dtype, widened=1.0):
    for a, b in zip(found, expected, strict=True):
        if b is None:
            continue
        # the largest value sets the scale: sums cancel, and so does dx where a feature has few values
        tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 8e-3}[dtype] * widened
        assert_close(a.double(), b, rtol=tolerance, atol=tolerance * float(b.abs().max()) + tolerance)


@numbers
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_training_equals_torch(dtype, layout, activation):
    for shape in SHAPES:
        for residual in (False, True):
            inputs = case(shape, dtype, layout, residual)
            if shape[0] * torch.Size(shape[2:]).numel() == 2:  # dx is 0 but for rounding
                continue
            compare(ours(*inputs, activation), reference(*inputs, activation), dtype)


@numbers
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normalize_equals_torch(dtype, activation):
    for shape in SHAPES:
        for residual in (False, True):
            inputs = case(shape, dtype, "channels_last" if len(shape) == 4 else "contiguous", residual)
            wide = inputs[2].dtype
            statistics = torch.randn(shape[1]).to(wide), torch.rand(shape[1]).to(wide) + 0.1
            compare(ours(*inputs, activation, statistics), reference(*inputs, activation, statistics), dtype)


# From 4 MiB on results are streamed past the caches: planes that begin within a line, short rows and long ones, folded
# ones with one left over, and rows that do not fill their lines and are not streamed.
LARGE = [
    ((3, 7, 317, 331), "contiguous"),
    ((60, 200, 14, 14), "contiguous"),
    ((4, 48, 101, 109), "channels_last"),
    ((40, 560, 10, 10), "channels_last"),
    ((3, 16, 211, 213), "channels_last"),
    ((4, 50, 103, 103), "channels_last"),
]


@pytest.mark.parametrize(("shape", "layout"), LARGE)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_tensors_equal_torch(dtype, shape, layout):
    for activation, residual in (("relu", True), (None, False)):
        inputs = case(shape, dtype, layout, residual)
        # sums of 300 thousand values, torch's as well
        compare(ours(*inputs, activation), reference(*inputs, activation), dtype, widened=10)


@pytest.mark.parametrize("shape", [(60, 200, 14, 14), (44_000, 48)])
@pytest.mark.parametrize("start", [0, 1, 4])
def test_large_views_are_overwritten_wherever_they_begin(start, shape):
    base = torch.randn(start + torch.Size(shape).numel())
    x = base[start:].view(shape)
    expected = operators.batch_norm(x.clone(), None, None, None, EPS, 0)[0]
    operators.forward_(x, None, None, None, None, None, None, None, 0.1, EPS, 0)
    assert torch.equal(x, expected)


@given(st.data())
def test_any_shape_and_layout(data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=2, max_size=5)))
    while torch.Size(shape).numel() > 20_000:
        shape = shape[:-1]
    layout, residual = data.draw(st.sampled_from(LAYOUTS)), data.draw(st.booleans())
    activation = data.draw(st.sampled_from(list(ACTIVATION_NUMBERS)))
    inputs = case(shape, dtype, layout, residual, data.draw(st.integers(0, 1000)))
    if shape[0] * torch.Size(shape[2:]).numel() > 2:
        compare(ours(*inputs, activation), reference(*inputs, activation), dtype)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 4), (4, 3, 0), (4, 0), (4, 0, 3), (1, 3), (1, 1, 1, 1)])
def test_nothing_and_a_single_value(shape):
    x = torch.randn(shape)
    y, statistics, var = operators.batch_norm(x, None, None, None, EPS, 0)
    assert y.shape == x.shape
    assert statistics.shape == (3, shape[1])
    assert (var == 0).all()
    assert (y == 0).all()
    dx, _, dgamma, dbeta = operators.backward(x, x, None, None, None, statistics, 0, False, True, False)
    assert dx.shape == x.shape
    assert dgamma.shape == dbeta.shape == (shape[1],)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_gradient_may_lie_otherwise_than_the_input(layout):
    x, r, gamma, beta, dy = case((4, 6, 5, 3), torch.float32, layout, True)
    expected = ours(x, r, gamma, beta, dy, "silu")
    for other in (laid_out(dy, "channels_last"), laid_out(dy, "strided"), laid_out(dy, "transposed")):
        assert_close(ours(x, r, gamma, beta, other, "silu"), expected, rtol=0, atol=0)
    ones = torch.ones(()).expand(x.shape)  # what sum() hands back
    assert_close(ours(x, r, gamma, beta, ones, "relu"), ours(x, r, gamma, beta, ones.contiguous(), "relu"))


@pytest.mark.parametrize("shape", [(64, 7), (8, 40, 14, 14), (8, 5, 30, 30)])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_the_parts_make_the_whole(shape, activation):
    x, r, gamma, beta, dy = case(shape, torch.float32, "contiguous", activation != "relu")
    number = ACTIVATION_NUMBERS[activation]
    y, statistics, var = operators.batch_norm(x, r, gamma, beta, EPS, number)
    mean, wide_var = operators.moments(x)
    assert torch.equal(wide_var.float(), var)
    again = operators.normalize(x, r, gamma, beta, mean, wide_var, EPS, number)
    assert torch.equal(again[0], y)
    assert torch.equal(again[1], statistics)
    saved = r if number else None
    dx, *_ = operators.backward(dy, x, saved, gamma, beta, statistics, number, False, True, False)
    _, _, dgamma, dbeta = operators.backward(dy, x, saved, gamma, beta, statistics, number, False, False, False)
    n = x.numel() / x.shape[1]
    again = operators.backward_apply(dy, x, saved, gamma, beta, statistics, number, dgamma, dbeta, n)
    assert_close(again, dx, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 7), (8, 40, 14, 14), (8, 5, 30, 30)])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("activation", [None, "leaky_relu", "silu"])
def test_y_in_the_place_of_x(shape, layout, dtype, activation):
    x, r, gamma, beta, _ = case(shape, dtype, layout, activation == "silu")
    number, none = ACTIVATION_NUMBERS[activation], (None,) * 5
    y, statistics = operators.forward(x, r, gamma, beta, *none, EPS, number)
    place = x.clone()
    assert torch.equal(operators.forward_(place, r, gamma, beta, *none, EPS, number), statistics)
    assert torch.equal(place, y)
    if activation in INVERTIBLE:
        back = operators.recover(y, gamma, beta, statistics, number)
        wide = {torch.float32: 1e-4, torch.float64: 1e-12, torch.bfloat16: 0.3}[dtype]  # γ here may be 0.02
        assert_close(back, x, rtol=wide, atol=wide)
    else:
        with pytest.raises(RuntimeError, match="has no inverse"):
            operators.recover(y, gamma, beta, statistics, number)


def test_what_is_overwritten_must_be_dense():
    with pytest.raises(RuntimeError, match="contiguous or channels_last"):
        operators.forward_(torch.randn(4, 6)[:, ::2], *(None,) * 8, EPS, 0)


@pytest.mark.parametrize("shape", [(64, 5, 20, 20), (2000, 5), (3, 70, 40, 40), (1, 2, 300, 300)])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_statistics_far_from_zero(shape, layout):
    x = laid_out((torch.randn(shape, dtype=torch.float64) * 1e-2 + 1e4).float(), layout)
    exact = batch_moments(x.double())
    y, (mean, rest, inv_std), var = operators.batch_norm(x, None, None, None, EPS, 0)
    assert_close(mean.double() + rest.double(), exact.mean, rtol=1e-10, atol=0)
    assert_close(var.double(), exact.var, rtol=1e-4, atol=0)
    assert_close(inv_std.double(), (exact.var + EPS).rsqrt(), rtol=1e-4, atol=0)
    assert_close(y.double(), F.batch_norm(x.double(), None, None, training=True, eps=EPS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(16, 48, 24, 24), (6, 2, 90, 90), (300, 70)])
def test_the_number_of_threads_does_not_matter(shape, layout):
    inputs = case(shape, torch.float32, layout, True)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 7, 1):
            torch.set_num_threads(threads)
            found.append(ours(*inputs, "silu"))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


# --- activations ------------------------------------------------------------------------------------------------------


def activated(z, activation):
    """The activation alone, and its slope: statistics 0 and 1."""
    none, one = torch.zeros(1, dtype=z.dtype), torch.ones(1, dtype=z.dtype)
    number = ACTIVATION_NUMBERS[activation]
    y, statistics = operators.normalize(z[:, None], None, None, None, none, one, 0.0, number)
    slope, *_ = operators.backward(
        torch.ones_like(y), z[:, None], None, None, None, statistics, number, True, True, False
    )
    return y[:, 0], slope[:, 0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_activations_are_accurate(activation, dtype):
    z = torch.cat([torch.linspace(-30, 30, 20011, dtype=dtype), torch.logspace(-30, 1.5, 999, dtype=dtype)])
    z = torch.cat([z, -z])
    wide = z.double().requires_grad_()
    expected = apply(activation, wide)
    (slope,) = torch.autograd.grad(expected.sum(), wide)
    units = 4 if dtype == torch.float32 else 16  # in float64 the reference has errors of its own
    for found, exact in zip(activated(z, activation), (expected, slope), strict=True):
        error = (found.double() - exact).detach().abs() / exact.detach().abs().clamp(min=1)
        assert float(error.max()) < units * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sigmoid_and_tanh_to_a_few_units_in_the_last_place(dtype):
    z = torch.linspace(-80, 80, 40001, dtype=dtype)
    for activation in ("sigmoid", "tanh", "silu"):
        value = activated(z, activation)[0].double()
        exact = apply(activation, z.double())
        assert float(((value - exact) / exact.abs().clamp(min=1e-300)).abs().max()) < 6 * torch.finfo(dtype).eps


@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_special_values_are_torchs(activation, dtype):
    z = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e30, -1e30, 1e-42, -1e-42, 200.0, -200.0])
    z = torch.cat([z, torch.zeros(40), z]).to(dtype)  # in whole vectors, and at the end
    value, slope = activated(z, activation)
    wide = z.clone().requires_grad_()
    expected = apply(activation, wide)
    (expected_slope,) = torch.autograd.grad(expected.sum(), wide)
    expected = expected.detach()
    if activation == "gelu":  # torch's vectors give NaN, its scalars infinity
        expected[z == torch.inf] = torch.inf
    if activation == "hardswish":  # torch's vectors give NaN, its scalars 1
        expected_slope[z.isnan()] = torch.nan
    if activation == "relu6":  # torch's vectors give 0, its scalars 1
        expected_slope[z.isnan()] = 1
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-6
    assert_close(value, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert_close(slope, expected_slope, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_loading_the_library_leaves_the_processor_as_it_was():
    code = """
import torch
from steadynorm import kernels
assert kernels.load()
tiny = torch.tensor([1e-42, 3e-310], dtype=torch.float64)
assert (tiny * 0.5 > 0).all() and float(tiny.float()[0] * 0.5) > 0     # no flush to zero
layer = torch.ops.steadynorm.normalize
zero, one = torch.zeros(1), torch.ones(1)
x = torch.tensor([[1e-42], [float("nan")], [float("inf")]])
y, _ = layer(x, None, None, None, zero, one, 0.0, 0)
print(float(y[0]) > 0, torch.isnan(y[1]).item(), torch.isinf(y[2]).item())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3


# --- what torch asks of an operator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
def test_schemas_fakes_and_autograd(residual):
    x, r, gamma, beta, dy = case((4, 3, 5, 2), torch.float32, "channels_last", residual)
    leaves = [None if v is None else v.clone().requires_grad_() for v in (x, r, gamma, beta)]
    _, statistics, _ = operators.batch_norm(x, r, gamma, beta, EPS, 3)
    torch.library.opcheck(operators.batch_norm, (*leaves, EPS, 3))
    torch.library.opcheck(operators.inference, (*leaves, torch.zeros(3), torch.ones(3), EPS, 3))
    torch.library.opcheck(operators.normalize, (x, r, gamma, beta, torch.zeros(3), torch.ones(3), EPS, 3))
    torch.library.opcheck(operators.backward, (dy, x, r, gamma, beta, statistics, 3, False, True, residual))
    torch.library.opcheck(operators.moments, (x,))
    torch.library.opcheck(operators.backward_apply, (dy, x, r, gamma, beta, statistics, 3, gamma, beta, 40.0))
    running = torch.zeros(3), torch.ones(3), torch.zeros((), dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    torch.library.opcheck(operators.forward, (x, r, gamma, beta, *running, 0.1, EPS, 3))
    torch.library.opcheck(operators.forward, (x, r, gamma, beta, None, None, None, None, None, EPS, 3))
    torch.library.opcheck(operators.forward_, (x.clone(), r, gamma, beta, *running, 0.1, EPS, 3))
    torch.library.opcheck(operators.recover, (x, gamma, beta, statistics, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (4, 3, 5), (4, 3), (4, 1, 5, 2), (2, 3, 4, 2, 3)])
def test_results_lie_as_the_fakes_say(shape, layout):
    x = laid_out(torch.randn(shape), layout)
    expected = operators.normalize(x, None, None, None, torch.zeros(shape[1]), torch.ones(shape[1]), EPS, 0)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
        zero, one = torch.zeros(shape[1]), torch.ones(shape[1])
        found = operators.normalize(fake, None, None, None, zero, one, EPS, 0)
    assert [v.stride() for v in found] == [v.stride() for v in expected]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.ones(4)}, r"\(N, C, \*S\)"),
        ({"x": torch.ones(4, 3).half()}, "float32, float64 or bfloat16"),
        ({"residual": torch.ones(4, 2)}, "share shape and dtype"),
        ({"residual": torch.ones(4, 3).double()}, "share shape and dtype"),
        ({"weight": torch.ones(4)}, "3 numbers"),
        ({"weight": torch.ones(3, dtype=torch.int32)}, "float32, float64 or bfloat16"),
        ({"activation": 9}, "no activation has the number 9"),
        ({"activation": -1}, "no activation has the number -1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(change, words):
    arguments = {"x": torch.randn(4, 3), "residual": None, "weight": None, "bias": None, "eps": EPS, "activation": 0}
    with pytest.raises(RuntimeError, match=words):
        operators.batch_norm(**(arguments | change))


def test_running_statistics_are_refused_before_they_move():
    x, mean, var = torch.randn(4, 3), torch.zeros(3), torch.ones(3)
    count, skipped = torch.zeros((), dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    for running, words in (
        ((mean, None, count, skipped), "all four, or none"),
        ((mean.double(), var.double(), count, skipped), "a number for each feature"),
        ((mean[:2], var, count, skipped), "a number for each feature"),
        ((mean, var, count.int(), skipped), "must be an int64"),
        ((mean, var, count, skipped[:2]), "an int64 for each feature"),
    ):
        with pytest.raises(RuntimeError, match=words):
            operators.forward(x, None, None, None, *running, 0.1, EPS, 0)
    assert (mean == 0).all()
    assert (var == 1).all()
    assert not count
