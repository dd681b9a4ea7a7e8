"""What scripts do to a model behind a layer's back, or around a tool: torch trains on, and so do we."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn


def cut(layer, features):
    """Cut channels by assignment, as pruning scripts do; the layer still says how many it had."""
    with torch.no_grad():
        layer.weight, layer.bias = nn.Parameter(layer.weight[:features]), nn.Parameter(layer.bias[:features])
        layer.running_mean, layer.running_var = layer.running_mean[:features], layer.running_var[:features]
    return layer


@pytest.mark.parametrize("features", [2, 1])
def test_cut_channels_train_as_torchs(features):
    x = torch.randn(4, features, 3, 3)
    ours, torchs = cut(sn.nn.BatchNorm2d(4), features), cut(nn.BatchNorm2d(4), features)
    assert_close(ours(x), torchs(x))
    assert_close(ours.running_var, torchs.running_var)
    assert ours.skipped_updates.shape == (features,)


@pytest.mark.parametrize("to", ["batch", "renorm", "group"])
def test_a_cut_layer_converts(to):
    layer = cut(nn.BatchNorm2d(4), 2)
    x = torch.randn(4, 2, 3, 3)
    expected = layer.eval()(x)
    sn.convert_(layer, to)
    if to != "group":
        assert layer.num_features == 2
        assert_close(layer(x), expected)
    layer.train()(x).sum().backward()


@pytest.mark.parametrize("to", ["batch", "renorm", "whitening", "sync"])
def test_converted_in_inference_mode_it_trains_later(to):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with torch.inference_mode():
        sn.convert_(model, to)
        assert torch.is_inference_mode_enabled(), "the caller's own mode stays"
    assert not any(t.is_inference() for t in (*model.parameters(), *model.buffers()))
    model(torch.randn(4, 3, 3, 3)).square().sum().backward()
    assert model[0].weight.grad is not None
    assert int(model[1].num_batches_tracked) == 1


@pytest.mark.parametrize("grad", [True, False])
def test_a_tool_leaves_the_callers_grad_mode(grad):
    with torch.set_grad_enabled(grad):
        sn.convert_(nn.BatchNorm2d(3), "batch")
        assert torch.is_grad_enabled() is grad
