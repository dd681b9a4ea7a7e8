"""Four networks of the field at full size, on one image: what folds, and why the rest does not."""

import pytest
import torch
from benchmarks.foreign import NETWORKS, at_work

import steadynorm as sn
from folding import error_of, outcome, why

# How many batch norms there are, and how many have a convolution to go to. DenseNet's first norm of each layer stands
# between a concatenation and a ReLU.
EXPECTED = {"ResNet-50": (53, 53), "MobileNetV2": (52, 52), "DenseNet-121": (121, 59), "VGG-16-BN": (13, 13)}


@pytest.mark.parametrize("name", NETWORKS)
def test_full_size(name):
    model = at_work(NETWORKS[name])
    image = torch.randn(1, 3, 224, 224)
    folded, report = sn.fold(model, image)
    norms, into = EXPECTED[name]
    assert len(report) == norms
    assert sum(target is not None for target in outcome(report).values()) == into
    assert all(row["error"] < 1e-5 for row in report if row["done"] == "folded")
    for reason in why(report).values():
        assert "comes from" in reason
        assert "goes to relu" in reason
    assert error_of(folded, model, torch.randn(1, 3, 224, 224)) < 1e-4


def test_what_densenet_keeps_are_the_norms_before_a_relu():
    _, report = sn.fold(at_work(NETWORKS["DenseNet-121"]), torch.randn(1, 3, 64, 64))
    kept = [name for name, into in outcome(report).items() if into is None]
    assert len([name for name in kept if name.endswith("norm1")]) == 58
    assert [name for name in kept if not name.endswith("norm1")] == ["8.0", "21.0", "46.0", "63"]
