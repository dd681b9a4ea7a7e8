"""y in the place of x: the same gradients, x untouched wherever somebody could miss it."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import steadynorm as sn
from steadynorm.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("kernels_loaded")


def layer_of(activation="leaky_relu", inplace=True, dtype=torch.float32, **options):
    layer = sn.nn.BatchNorm2d(6, activation=activation, inplace=inplace, dtype=dtype, **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_().add_(p.sign())
    return layer


def twin(layer):
    other = copy.deepcopy(layer)
    other.inplace = False
    return other


def gradients(net, x, dy):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x), [x, *net.parameters()], dy)


@pytest.mark.parametrize("activation", [None, "leaky_relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"affine": False}], ids=str)
def test_gradients_are_those_of_the_layer_that_keeps_x(activation, dtype, layout, options):
    layer = layer_of(activation, dtype=dtype, **options)
    nets = [
        nn.Sequential(nn.Conv2d(3, 6, 3), v, nn.Conv2d(6, 4, 3)).to(dtype, memory_format=layout)
        for v in (layer, twin(layer))
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    x, dy = torch.randn(5, 3, 9, 8, dtype=dtype), torch.randn(5, 4, 5, 4, dtype=dtype)
    x = x.to(memory_format=layout)
    assert_close(gradients(nets[0], x, dy), gradients(nets[1], x, dy), rtol=1e-4, atol=1e-5)
    assert_close(nets[0].state_dict(), nets[1].state_dict())


def test_y_lies_where_x_lay():
    x = torch.randn(4, 6, 5, 5, requires_grad=True) * 2
    y = layer_of()(x)
    assert y.data_ptr() == x.data_ptr()
    assert y.grad_fn is x.grad_fn


@pytest.mark.parametrize("gamma", [0.0, 1e-9, -1e-9, 1e-4, float("nan")])
def test_features_that_y_does_not_hold_are_kept(gamma):
    layer = layer_of()
    with torch.no_grad():
        layer.weight[2:4] = gamma
        layer.bias[2], layer.bias[3] = 0, 5
    x, dy = torch.randn(2, 4, 6, 5, 5)
    found, expected = (gradients(nn.Sequential(nn.Dropout(0.0), v), x, dy) for v in (layer, twin(layer)))
    assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_whoever_else_needs_x_hears_of_it():
    x = torch.randn(4, 6, 5, 5, requires_grad=True) * 2
    z = x.square() + layer_of()(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_y_that_was_changed_is_noticed():
    y = layer_of()(torch.randn(4, 6, 5, 5, requires_grad=True) * 2)
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_where_x_is_not_overwritten():
    base = torch.randn(4, 6, 5, 5)
    layer, record = layer_of(), base.clone().requires_grad_()
    made = record * 2
    cases = {
        "data": (base, {}),
        "leaf": (record, {}),
        "detached": (made.detach(), {}),
        "view": ((record * 2)[:2], {}),
        "strided": ((record * 2).transpose(2, 3), {}),
        "residual": (made, {"residual": base}),
        "mask": (made, {"mask": torch.ones(4, 1, 1, 1, dtype=torch.bool)}),
        "bfloat16": (made.bfloat16(), {}),
    }
    for name, (x, further) in cases.items():
        before = x.detach().clone()
        layer(x, **further)
        assert torch.equal(x, before), name
    with torch.no_grad():
        layer(made)
    layer.eval()(made)
    assert torch.equal(made, record * 2)


def test_no_second_derivatives():
    x = torch.randn(4, 6, 5, 5, requires_grad=True)
    y = layer_of()(x * 2)
    with pytest.raises(RuntimeError, match="set inplace=False"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_backward_twice_and_under_a_dispatch_mode():
    from torch.utils.flop_counter import FlopCounterMode

    layer, x = layer_of(), torch.randn(4, 6, 5, 5, requires_grad=True)
    y = layer(x * 2)
    dy = torch.randn_like(y)
    first, second = (torch.autograd.grad(y, x, dy, retain_graph=True) for _ in range(2))
    assert torch.equal(first[0], second[0])
    with FlopCounterMode(display=False):
        third = torch.autograd.grad(y, x, dy)
    assert_close(first, third)


@pytest.mark.parametrize("reentrant", [True, False])
def test_under_checkpoints(reentrant):
    layer = layer_of()
    x, dy = torch.randn(2, 4, 6, 5, 5)

    def checkpointed(v):
        return checkpoint(lambda u: layer(u * 2), v, use_reentrant=reentrant)

    other = twin(layer)
    v, w = (x.clone().requires_grad_() for _ in range(2))
    checkpointed(v).backward(dy)
    other(w * 2).backward(dy)
    assert_close(v.grad, w.grad, rtol=1e-4, atol=1e-5)
    assert layer.num_batches_tracked == other.num_batches_tracked == 1


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh"])
def test_activations_that_lose_their_input_are_refused(activation):
    for layer in (sn.nn.BatchNorm2d, lambda _, **kwargs: sn.nn.LazyBatchNorm2d(**kwargs)):
        with pytest.raises(ArgumentError, match="inplace=True needs an activation that loses nothing"):
            layer(3, activation=activation, inplace=True)
    assert "inplace=True" in repr(sn.nn.BatchNorm2d(3, inplace=True))
    assert sn.nn.LazyBatchNorm1d(inplace=True).inplace
