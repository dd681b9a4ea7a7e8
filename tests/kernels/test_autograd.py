"""Derivatives with the kernels on: their own first ones, torch's operators for whatever asks for more."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.testing import assert_close

import steadynorm as sn
from steadynorm import kernels
from steadynorm.functional import RunningStatistics
from steadynorm.kernels.operators import ACTIVATION_NUMBERS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-3


def leaves(shape, residual, dtype=torch.float64):
    x, r = (torch.randn(shape, dtype=dtype).requires_grad_() for _ in range(2))
    gamma, beta = (torch.randn(shape[1], dtype=dtype).requires_grad_() for _ in range(2))
    return [x, r, gamma, beta] if residual else [x, gamma, beta]


def by_batch(activation, residual):
    def call(x, *rest):
        r = rest[0] if residual else None
        return kernels.batch_norm(x, r, *rest[-2:], None, 0.1, EPS, activation)

    return call


def normalize_by_constants(activation, residual):
    mean, var = torch.randn(3).double(), torch.rand(3).double() + 0.5

    def call(x, *rest):
        r = rest[0] if residual else None
        return kernels.normalize(x, r, *rest[-2:], mean, var, EPS, activation)

    return call


@pytest.mark.parametrize("kind", [by_batch, normalize_by_constants])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
def test_gradients_and_theirs(kind, residual, activation):
    call, inputs = kind(activation, residual), leaves((3, 3, 2, 2), residual)
    assert "._BatchNorm" in str(call(*inputs).grad_fn) or "._Normalize" in str(call(*inputs).grad_fn)
    assert gradcheck(call, inputs, check_batched_grad=True)
    assert gradgradcheck(call, inputs)


def test_a_tensor_that_outlived_a_transform():
    escaped = []

    def keep(x):
        escaped.append(x)
        return x.sum()

    torch.func.grad(keep)(torch.randn(6, 3))
    layer, same = sn.nn.BatchNorm1d(3, activation="silu"), sn.nn.BatchNorm1d(3, activation="silu")
    plain = escaped[0].detach().clone()
    ours, expected = layer(escaped[0]), same(plain)
    assert_close(ours, expected)
    assert_close(
        torch.autograd.grad(ours.square().sum(), layer.weight),
        torch.autograd.grad(expected.square().sum(), same.weight),
    )


def test_a_transform_over_the_kernels_themselves_is_refused():
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda x: by_batch("relu", False)(x, torch.ones(3), torch.zeros(3)).sum())(torch.randn(6, 3))


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (3,), (0, 1), (2, 3), (0, 1, 2), (1, 2, 3)])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_only_the_gradients_that_are_needed(frozen, activation):
    inputs = leaves((4, 3, 5), residual=True)
    y = by_batch(activation, True)(*inputs)
    full = torch.autograd.grad(y.square().sum(), inputs)
    some = [v.detach().requires_grad_(i not in frozen) for i, v in enumerate(inputs)]
    by_batch(activation, True)(*some).square().sum().backward()
    for i, v in enumerate(some):
        assert (v.grad is None) == (i in frozen)
        if v.grad is not None:
            assert_close(v.grad, full[i])


def layer_of(dtype=torch.float64, **options):
    layer = sn.nn.BatchNorm2d(3, activation="silu", dtype=dtype, **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_()
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_transforms_and_tangents_take_torchs_operators(training):
    layer = layer_of(track_running_stats=not training).train(training)  # under grad they could not move
    plain = nn.BatchNorm2d(3, dtype=torch.float64, track_running_stats=not training).train(training)
    plain.load_state_dict(layer.state_dict())

    def reference(v):
        return nn.functional.silu(plain(v))

    x, t = torch.randn(2, 4, 3, 2, 2).double()
    expected = torch.func.jvp(reference, (x,), (t,))
    assert_close(torch.func.jvp(layer, (x,), (t,)), expected)
    with forward_ad.dual_level():
        y = layer(forward_ad.make_dual(x, t))
        assert_close(tuple(forward_ad.unpack_dual(y)), expected)
    for transform in (torch.func.grad, lambda f: torch.func.vmap(torch.func.grad(f))):
        if transform is not torch.func.grad and training:
            continue  # torch refuses to change running statistics there
        rows = x[:, None] if transform is not torch.func.grad else x
        assert_close(
            transform(lambda v: layer(v).square().sum())(rows), transform(lambda v: reference(v).square().sum())(rows)
        )


def test_a_tangent_of_a_gradient():
    x, t = torch.randn(2, 4, 3, 2, 2).double()
    layer = layer_of(track_running_stats=False)

    def slope(v):
        return torch.func.grad(lambda u: layer(u).square().sum())(v)

    _, tangent = torch.func.jvp(slope, (x,), (t,))
    step = 1e-6
    assert_close(tangent, (slope(x + step * t) - slope(x - step * t)) / (2 * step), rtol=1e-5, atol=1e-6)


def test_a_saved_input_that_was_changed_is_noticed():
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    inner = x * 1
    y = sn.nn.BatchNorm2d(3)(inner)
    inner.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_running_statistics_move_their_version():
    layer = sn.nn.BatchNorm2d(3)
    before = layer.running_mean._version
    layer(torch.randn(4, 3, 2, 2))
    assert layer.running_mean._version > before
    with torch.inference_mode():
        layer(torch.randn(4, 3, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_are_those_of_the_equations(dtype, momentum):
    ours = RunningStatistics.initial(torch.zeros(3, dtype=dtype))
    theirs = RunningStatistics.initial(torch.zeros(3, dtype=dtype))
    for step in range(5):
        x = torch.randn(8, 3, 4, 4, dtype=dtype) * (step + 1) + step
        if step == 2:
            x[0, 1] = torch.inf
        if step == 3:
            x[:, 2] = 3e38 if dtype == torch.float32 else 1e308  # the variance overflows
            x[0, 2] *= -1
        kernels.batch_norm(x, None, None, None, ours, momentum, EPS, None)
        moments = sn.functional.batch_moments(x)
        theirs = sn.functional.update_running_statistics(theirs, moments.mean, moments.unbiased_var, momentum=momentum)
        assert_close(tuple(ours), tuple(theirs), rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_compiled_the_operator_stays_whole(training):
    layer = layer_of(torch.float32).train(training)
    reference = copy.deepcopy(layer)
    x, residual = torch.randn(2, 4, 3, 8, 8)
    graphs = []

    def backend(module, _):
        graphs.append(module)
        return module

    torch.compile(layer, backend=backend, fullgraph=True)(x, residual)
    called = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    assert f"steadynorm.{'batch_norm' if training else 'inference'}.default" in called
    torch._dynamo.reset()
    layer = copy.deepcopy(reference)
    inputs = [v.clone().requires_grad_() for v in (x, x, residual, residual)]
    torch.compile(layer, backend="aot_eager", fullgraph=True)(inputs[0], inputs[2]).square().sum().backward()
    reference(inputs[1], inputs[3]).square().sum().backward()
    assert_close(inputs[0].grad, inputs[1].grad)
    assert_close(inputs[2].grad, inputs[3].grad)
    assert_close([p.grad for p in layer.parameters()], [p.grad for p in reference.parameters()])
    assert_close(layer.state_dict(), reference.state_dict())
    torch._dynamo.reset()


def test_an_exported_program_needs_no_operator_of_ours():
    program = torch.export.export(layer_of(torch.float32).eval(), (torch.randn(2, 3, 4, 4),))
    assert not [node for node in program.graph.nodes if "steadynorm" in str(node.target)]
