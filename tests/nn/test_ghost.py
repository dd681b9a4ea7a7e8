import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from surgery_models import NOTHING_DONE


def test_what_composer_does():
    """Its ghost batch norm nests the layer under another name, so that checkpoints do not load; it raises for a batch
    smaller than the ghost size in evaluation, too; and it refuses momentum=None (B16)."""
    plain = nn.BatchNorm2d(3, momentum=None)
    layer = sn.nn.GhostBatchNorm2d(3, momentum=None, ghost_batch_size=16)
    assert list(layer.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, 3, 5, 5)  # fewer examples than the ghost size
    plain(x)
    layer.load_state_dict(plain.state_dict())
    assert_close(layer.eval()(x), plain.eval()(x))
    assert_close(layer.eval()(x[:1]), plain.eval()(x[:1]))
    assert_close(layer.train()(x), plain.train()(x))
    assert_close(layer.state_dict(), plain.state_dict())


def test_a_model_there_and_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    model(torch.randn(6, 3, 5, 5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sn.convert_(model, "ghost", ghost_batch_size=2)
    assert isinstance(model[1], sn.nn.GhostBatchNorm2d)
    sn.convert_(model, "torch")
    assert type(model[1]) is nn.BatchNorm2d
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@NOTHING_DONE
@pytest.mark.parametrize("name", ["ghost", "renorm", "lp", "noisy", "domain", "whitening", "iternorm"])
def test_frozen_methods_compute_as_in_evaluation_or_say_why_not(name):
    options = {"ghost": {"ghost_batch_size": 2}, "domain": {"domains": ["a"]}, "lp": {"p": 2}}.get(name, {})
    layer = nn.BatchNorm2d(4)
    (row,) = sn.convert_(layer, name, **options)
    assert row["done"] == "converted"
    with torch.no_grad():
        for _ in range(3):
            with sn.nn.domain("a"):
                layer(torch.randn(40, 4, 5, 5) * 2 + 1)
    with sn.nn.domain("a"):
        expected = layer.eval()(torch.ones(2, 4, 3, 3))
        (row,) = sn.freeze_(layer.train())
        if row["done"] == "skipped":
            assert "otherwise" in row["why"] or "keeps no running" in row["why"]
        else:
            assert_close(layer(torch.ones(2, 4, 3, 3)), expected)
