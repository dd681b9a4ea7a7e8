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


def pruned(norm, told):
    """A small network of which a script has removed two channels; it may have told the layer."""
    model, keep = (
        nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).double(),
        torch.tensor([1, 3]),
    )
    model(torch.randn(4, 3, 6, 6).double())
    with torch.no_grad():
        model[0].weight, model[0].bias = (nn.Parameter(v[keep]) for v in (model[0].weight, model[0].bias))
        model[3].weight = nn.Parameter(model[3].weight[:, keep])
        model[1].weight, model[1].bias = (nn.Parameter(v[keep]) for v in (model[1].weight, model[1].bias))
        model[1].running_mean, model[1].running_var = model[1].running_mean[keep], model[1].running_var[keep]
    if told:
        model[1].num_features = 2
    return model


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, sn.nn.BatchNorm2d, sn.nn.BatchRenorm2d])
def test_tools_on_a_pruned_network(norm, told):
    x = torch.randn(4, 3, 6, 6).double()
    model = pruned(norm, told).eval()
    expected = model(x)

    folded, report = sn.fold(model, x)
    assert_close(folded(x), expected)
    assert isinstance(folded[1], nn.Identity), report

    sn.recalibrate_(model, [x])
    given = model[0](x)
    assert_close(model[1].running_mean, given.mean((0, 2, 3)).to(model[1].running_mean.dtype))
    expected = model(x)

    sn.freeze_(model)
    model.train()
    assert_close(model(x), expected)


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
