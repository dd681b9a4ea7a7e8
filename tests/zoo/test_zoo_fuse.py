"""The makers' own models fused for training: what is taken, what is left, and that they train as before."""

import copy
import pickle

import pytest
import torch

import steadynorm as sn

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

MODELS = {
    # how many batch norms there are, take an activation, take a residual
    (torchvision.models.get_model, "resnet18"): (20, 17, 8),
    (torchvision.models.get_model, "resnet50"): (53, 49, 16),
    (torchvision.models.get_model, "mobilenet_v2"): (52, 35, 10),
    (torchvision.models.get_model, "googlenet"): (57, 57, 0),
    (torchvision.models.get_model, "mobilenet_v3_small"): (34, 23, 6),
    (torchvision.models.get_model, "regnet_x_400mf"): (71, 45, 22),
    (timm.create_model, "resnet18"): (20, 17, 8),
    (timm.create_model, "res2net50_26w_4s"): (85, 81, 16),
    (timm.create_model, "mobilenetv3_small_100"): (34, 23, 6),
    (timm.create_model, "efficientnet_lite0"): (49, 33, 9),
    (timm.create_model, "regnety_004"): (53, 33, 16),
}


def losses(model, x, count=2):
    torch.manual_seed(1)  # for the dropout of some heads
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01)
    found = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model(x.clone()).square().mean()
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
    return torch.stack(found)


@pytest.mark.parametrize(("made", "expected"), MODELS.items(), ids=lambda v: v[1] if isinstance(v[1], str) else "")
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_makers_models(made, expected):
    make, name = made
    torch.manual_seed(0)
    model = make(name, num_classes=5, **({"aux_logits": False} if name == "googlenet" else {})).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    fused, report = sn.fuse(model, x)
    taken = [(row.get("activation") is not None, bool(row.get("residual"))) for row in report]
    assert (len(taken), *map(sum, zip(*taken, strict=True))) == expected
    assert all(row["why"] for row in report if row["done"] == "kept")
    assert list(fused.state_dict()) == list(model.state_dict())
    again = pickle.loads(pickle.dumps(fused))
    theirs = losses(copy.deepcopy(model), x)
    torch.testing.assert_close(losses(fused, x), theirs, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(losses(again, x), theirs, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(again.eval()(x), fused.eval()(x), rtol=1e-9, atol=1e-9)
