"""The doctor on the makers' own models: silent on fresh ones, exact on their own layers."""

import pytest
import torch

import steadynorm as sn

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

FRESH = [
    (torchvision.models.get_model, name)
    for name in ("resnet18", "mobilenet_v3_small", "densenet121", "googlenet", "shufflenet_v2_x1_0")
] + [(timm.create_model, name) for name in ("regnety_002", "efficientnet_lite0", "repvgg_a0", "mixnet_s", "levit_128s")]


@pytest.mark.parametrize(("make", "name"), FRESH, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_fresh_models_are_healthy(make, name, training):
    assert not sn.diagnose(make(name).train(training)).at_least("warning")


def data(count=4):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(16, 3, 64, 64, generator=draw) for _ in range(count)]


def test_timms_own_layers_are_examined():
    torch.manual_seed(0)
    model = timm.create_model("regnety_002", num_classes=5)
    layers = [name for name, module in model.named_modules() if type(module).__name__ == "BatchNormAct2d"]
    batches = data()
    sn.recalibrate_(model, batches)
    with torch.no_grad():
        target = [model.eval()(x) for x in batches]
    bad = dict(model.named_modules())[layers[0]]
    bad.running_mean -= 10 * bad.running_var.sqrt()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = sn.diagnose(model, batches).at_least("error")
    assert {(one.rule, one.layer) for one in found} == {("far-from-data", layers[0])}
    pairs = list(zip(batches, target, strict=True))
    gap = sn.explain_gap(model, pairs, lambda out, batch: (out - batch[1]).square().mean())
    assert gap.shares[0].layers == [layers[0]]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_torchvisions_frozen_layers_are_no_finding_and_have_no_share():
    model = torchvision.models.resnet18(num_classes=5, norm_layer=torchvision.ops.FrozenBatchNorm2d)
    batches = data(2)
    assert not sn.diagnose(model, batches).at_least("warning")
    gap = sn.explain_gap(model, batches, lambda out, batch: out.mean())
    assert gap.gap == 0
    assert "no share, since frozen: bn1" in str(gap)
