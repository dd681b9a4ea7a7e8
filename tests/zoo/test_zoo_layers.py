"""The makers' own layers and models, where timm and torchvision are installed: convert, freeze, fold."""

import copy

import pytest
import torch
from torch import nn

import steadynorm as sn

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def statistics_drawn(model):
    """Give every layer with running statistics some that are not 0 and 1, and parameters that are not 1 and 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "running_var", None) is not None:
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.3, 2.3)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return model.double().eval()


def timm_model(name):
    return statistics_drawn(timm.create_model(name, num_classes=5))


@pytest.mark.parametrize("name", ["regnety_004", "darknet53", "mixnet_s", "efficientnet_lite0"])
def test_timms_models_are_converted_and_hold_still(name):
    model = timm_model(name)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    kinds = {"BatchNormAct2d", "BatchNorm2d"}
    layers = [m for m in model.modules() if type(m).__name__ in kinds]
    expected = model(x)
    report = sn.convert_(model, "batch")
    assert [row["why"] for row in report if row["done"] != "converted"] == []
    assert len(report) == len(layers) > 0
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
    assert all(row["done"] == "statistics" for row in sn.freeze_(model))
    before = copy.deepcopy(dict(model.named_buffers()))
    model.train()(x)
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)


def test_torchvisions_frozen_layer():
    model = statistics_drawn(nn.Sequential(nn.Conv2d(3, 4, 3), torchvision.ops.FrozenBatchNorm2d(4)))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = model(x)
    assert sn.convert_(model, "batch").rows[0]["done"] == "converted"
    torch.testing.assert_close(model.eval()(x), expected, rtol=1e-9, atol=1e-9)
    folded, _ = sn.fold(model, x)
    torch.testing.assert_close(folded(x), expected, rtol=1e-9, atol=1e-9)


def test_timms_frozen_layer():
    from timm.layers import FrozenBatchNormAct2d

    layer = statistics_drawn(FrozenBatchNormAct2d(4, act_layer=nn.SiLU))
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    expected = layer(x)
    sn.convert_(layer, "batch")
    assert layer.activation == "silu"
    torch.testing.assert_close(layer.eval()(x), expected, rtol=1e-9, atol=1e-9)


def test_activations_that_ours_do_not_have_are_left_with_the_reason():
    model = statistics_drawn(timm.create_model("regnety_002", num_classes=5, act_layer=nn.ELU))
    report = sn.convert_(model, "batch")
    left = {row["why"] for row in report if row["done"] != "converted"}
    assert left == {"what follows in it has no like among our activations: ELU(alpha=1.0, inplace=True)"}
    assert any(row["done"] == "converted" for row in report)


def test_timms_converters_keep_an_activation_or_raise():
    from timm.layers import convert_sync_batchnorm
    from timm.utils.model import freeze_batch_norm_2d

    def ours():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), sn.nn.BatchNorm2d(4, activation="relu")).eval()

    x = torch.randn(2, 3, 6, 6)
    with pytest.raises(sn.errors.ArgumentError, match="convert_"):
        convert_sync_batchnorm(ours())
    for converter in (convert_sync_batchnorm, freeze_batch_norm_2d):
        model = ours()
        sn.convert_(model, "torch")
        torch.testing.assert_close(converter(model).eval()(x), ours()(x))
