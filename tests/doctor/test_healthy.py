"""Healthy models are silent: no error and no warning, in training and in evaluation."""

from fractions import Fraction

import pytest
import torch
from benchmarks.foreign import densenet121, mobilenet_v2, resnet50, vgg16_bn
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from steadynorm.lab.network import Network, NetworkOptions


def small_vgg():
    """VGG-16 with a head for small images."""
    model = vgg16_bn()
    features = list(model)[: next(i for i, m in enumerate(model) if isinstance(m, nn.Flatten)) - 1]
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


NETWORKS = {"ResNet": resnet50, "MobileNet": mobilenet_v2, "DenseNet": densenet121, "VGG": small_vgg}


def digits(size, batch=32):
    """Shuffled batches of digits in three channels, scaled up."""
    found = load_digits()
    order = torch.randperm(len(found.images), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(found.images, dtype=torch.float32)[order].unsqueeze(1) / 8 - 1
    x = F.interpolate(x, size=size, mode="bilinear").expand(-1, 3, -1, -1).contiguous()
    y = torch.tensor(found.target)[order]
    return list(zip(x.split(batch), y.split(batch), strict=True))[:-1]


def train(model, batches, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(steps):
        x, y = batches[step % len(batches)]
        loss = F.cross_entropy(model.train()(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_field(name):
    torch.manual_seed(0)
    batches = digits(32 if name == "DenseNet" else 16)
    model = train(NETWORKS[name](), batches, 60)
    for training in (True, False):
        diagnosis = sn.diagnose(model.train(training), batches[:8])
        assert not diagnosis.at_least("warning"), diagnosis
        assert diagnosis.not_run.keys() == {"ranks-differ", "stripped-activation", "weight-decay"}, diagnosis
    assert not sn.diagnose(model).findings


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_the_ladders_network(activation):
    batches = [(x[:, :1], y) for x, y in digits(8)]
    options = NetworkOptions(10, 1, "small", width=Fraction(1, 8), activation=activation)
    model = train(Network(options, torch.Generator().manual_seed(1)), batches, 60)
    for training in (True, False):
        diagnosis = sn.diagnose(model.train(training), batches[:8])
        assert not diagnosis.at_least("warning"), diagnosis


@pytest.mark.parametrize("name", NETWORKS)
def test_fresh_networks_without_data(name):
    diagnosis = sn.diagnose(NETWORKS[name]())
    assert {(one.rule, one.severity) for one in diagnosis} == {("never-updated", "note")}
