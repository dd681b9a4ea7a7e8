"""What is kept for backward, in bytes, beside torch's layers in the same network."""

import pytest
import torch
from torch import nn

import steadynorm as sn

pytestmark = pytest.mark.usefixtures("kernels_loaded")

TORCHS = {
    None: nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
    "relu6": nn.ReLU6,
}


def saved(model, *inputs):
    """Bytes of the distinct tensors that autograd keeps, parameters aside."""
    parameters = {p.data_ptr() for p in model.parameters()}
    sizes = {}

    def note(t):
        if t.data_ptr() not in parameters:
            sizes[t.data_ptr()] = t.numel() * t.element_size()
        return t

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        y = model(*inputs)
    assert y.requires_grad
    return sum(sizes.values())


def stack(block, depth=8):
    return nn.Sequential(*(module for _ in range(depth) for module in block()))


@pytest.fixture
def x():
    return torch.randn(4, 16, 16, 16, requires_grad=True)


def test_the_measure_sees_what_torch_keeps(x):
    tensor = x.numel() * 4
    theirs = saved(stack(lambda: (nn.BatchNorm2d(16), nn.SiLU())), x)
    assert 16 * tensor <= theirs < 16.2 * tensor  # the inputs of each layer and of each activation


@pytest.mark.parametrize("activation", TORCHS, ids=str)
def test_never_more_than_torch(x, activation):
    ours, theirs = sn.nn.BatchNorm2d(16, activation=activation), nn.BatchNorm2d(16)
    after = TORCHS[activation]()
    assert saved(ours, x) <= saved(nn.Sequential(theirs, after), x)

    class Residual(nn.Module):
        norm = theirs

        def forward(self, v, r):
            return after(self.norm(v) + r)

    residual = torch.randn_like(x).requires_grad_()
    assert saved(ours, x, residual) <= saved(Residual(), x, residual)


@pytest.mark.parametrize("activation", ["silu", "gelu", "hardswish"])
def test_stacks_keep_half(x, activation):
    theirs = saved(stack(lambda: (nn.BatchNorm2d(16), TORCHS[activation]())), x)
    ours = saved(stack(lambda: (sn.nn.BatchNorm2d(16, activation=activation),)), x)
    assert ours <= 0.55 * theirs


@pytest.mark.parametrize("activation", ["silu", "gelu", "hardswish"])
def test_with_convolutions_two_thirds(x, activation):
    theirs = saved(stack(lambda: (nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), TORCHS[activation]())), x)
    ours = saved(stack(lambda: (nn.Conv2d(16, 16, 1), sn.nn.BatchNorm2d(16, activation=activation))), x)
    assert ours <= 0.7 * theirs


@pytest.mark.parametrize("activation", [None, "leaky_relu"])
def test_in_place_about_half(x, activation):
    theirs = saved(stack(lambda: (nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), TORCHS[activation]())), x)
    ours = saved(stack(lambda: (nn.Conv2d(16, 16, 1), sn.nn.BatchNorm2d(16, activation=activation, inplace=True))), x)
    assert ours <= 0.6 * theirs
