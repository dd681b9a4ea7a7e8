"""Moments and normalization apart, and the methods that put something in between: against their formulas."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import steadynorm as sn
from steadynorm import functional, kernels
from steadynorm.kernels.operators import ACTIVATION_NUMBERS
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("kernels_loaded")

EPS = 1e-3


def leaves(*shapes):
    return [torch.randn(shape).double().requires_grad_() for shape in shapes]


@pytest.mark.parametrize("shape", [(4, 3, 5), (9, 2), (1, 12, 2, 2)], ids=str)
def test_moments(shape):
    (x,) = leaves(shape)
    found, expected = kernels.measure(x), functional.batch_moments(x)
    assert_close(found, expected)
    gradients = torch.randn(2, shape[1]).double().unbind()
    assert_close(torch.autograd.grad(found[1:], x, gradients), torch.autograd.grad(expected[1:], x, gradients))
    assert gradcheck(lambda x: kernels.measure(x)[1:], x, check_batched_grad=True)
    assert gradgradcheck(lambda x: kernels.measure(x)[1:], x)


@pytest.mark.parametrize("activation", ACTIVATION_NUMBERS, ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_normalization(activation, residual):
    x, r, gamma, beta, mean, var = leaves((4, 3, 5), (4, 3, 5), 3, 3, 3, 3)
    inputs = [x, r if residual else None, gamma, beta, mean, var.detach().exp().requires_grad_()]
    given = [v for v in inputs if v is not None]

    def ours(*inputs):
        return kernels.normalize_by(*inputs, EPS, activation)

    def theirs(x, r, gamma, beta, mean, var):
        z = functional.normalize(x, mean, var, gamma, beta, eps=EPS)
        z = z if r is None else z + r
        return z if activation is None else ACTIVATIONS[activation](z)

    dy = torch.randn_like(x)
    y, expected = ours(*inputs), theirs(*inputs)
    assert_close(y, expected)
    assert_close(torch.autograd.grad(y, given, dy), torch.autograd.grad(expected, given, dy))
    assert gradcheck(ours, inputs, check_batched_grad=True)
    assert gradgradcheck(ours, inputs)


def calls_of(function):
    """The names of our operators that a call runs."""
    with torch.profiler.profile() as profile:
        function()
    return {event.key for event in profile.key_averages() if event.key.startswith("steadynorm::")}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (sn.nn.ExampleWeightedBatchNorm2d, {"alpha": 0.3}),
        (sn.nn.VirtualBatchNorm2d, {"reference_size": 3}),
        (sn.nn.ConditionalBatchNorm2d, {"num_classes": 4}),
        (sn.nn.GhostBatchNorm2d, {"ghost_batch_size": 3}),
        (sn.nn.BatchRenorm2d, {"r_max": 1.2, "d_max": 0.2}),
        (sn.nn.LpBatchNorm2d, {"p": 1}),
        (sn.nn.NoisyBatchNorm2d, {}),
        (sn.nn.WhiteningNorm2d, {}),
        (sn.nn.IterNorm2d, {"groups": 2}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("affine", [False, True])
def test_layers_with_and_without_kernels(kind, options, training, layout, affine, monkeypatch):
    layer = kind(6, activation="silu", affine=affine, **options).double().train(training)
    for v in layer.parameters():
        nn.init.normal_(v)
    start = {name: v.clone() for name, v in layer.state_dict().items()}
    x, r = (torch.randn(7, 6, 8, 5).double().to(memory_format=layout).requires_grad_() for _ in range(2))
    dy, inputs = torch.randn_like(x), [x, r, *layer.parameters()]

    def run():
        layer.load_state_dict(start)
        torch.manual_seed(0)
        with sn.nn.condition(torch.arange(7) % 4):
            y = layer(x, r)
        return y, torch.autograd.grad(y, inputs, dy), {name: v.clone() for name, v in layer.state_dict().items()}

    got = run()
    monkeypatch.setattr(kernels, "ready", lambda: False)
    assert_close(got, run())


def test_where_they_would_be_slower_torch_serves():
    x = torch.randn(6, 4, 2)
    for layer in (sn.nn.VirtualBatchNorm1d(4, reference_size=2), sn.nn.WhiteningNorm1d(4), sn.nn.IterNorm1d(4)):
        assert not calls_of(lambda layer=layer: layer(x)) & {"steadynorm::normalize", "steadynorm::mix"}
        assert not calls_of(lambda layer=layer: layer.eval()(x)) & {"steadynorm::normalize", "steadynorm::mix"}


def test_they_do_run():
    x = torch.randn(6, 4, 40)
    layer = sn.nn.VirtualBatchNorm1d(4, reference_size=2)
    assert {"steadynorm::moments", "steadynorm::normalize"} <= calls_of(lambda: layer(x))
    assert {"steadynorm::moments", "steadynorm::normalize"} <= calls_of(lambda: layer.eval()(x))
    layer = sn.nn.ConditionalBatchNorm1d(4, num_classes=2)
    for classes in (1, torch.tensor(1), torch.tensor([0, 1, 1, 0, 0, 1])):
        with sn.nn.condition(classes):
            assert "steadynorm::forward" in calls_of(lambda: layer.train()(x))
            assert "steadynorm::normalize" in calls_of(lambda: layer.eval()(x))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("classes", [2, torch.tensor([0, 2, 1, 2])], ids=["one", "each"])
def test_sixteen_bit_tables_get_gradients(classes, bias):
    layer = sn.nn.ConditionalBatchNorm1d(3, num_classes=3, bias=bias).half()
    with sn.nn.condition(classes):
        layer(torch.randn(4, 3, 50)).square().sum().backward()
    assert layer.class_weight.grad.dtype is torch.float16
    assert (layer.class_weight.grad[2] != 0).all()
