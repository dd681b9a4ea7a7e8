"""Networks of the usual kinds train alike with torch's batch norm and with ours, and load each other's checkpoints."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import steadynorm as sn

pytestmark = pytest.mark.usefixtures("either_way")


class Residual(nn.Module):
    """Bottleneck of a ResNet, with a projected shortcut."""

    def __init__(self, norm, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.bn3 = norm(2 * width)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, 2 * width, 1, stride, bias=False), norm(2 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class Dense(nn.Module):
    """Layers of a DenseNet: normalization first, everything concatenated."""

    def __init__(self, norm, inputs, growth, layers):
        super().__init__()
        widths = range(inputs, inputs + layers * growth, growth)
        self.layers = nn.ModuleList(
            nn.Sequential(norm(w), nn.ReLU(inplace=True), nn.Conv2d(w, growth, 3, padding=1, bias=False))
            for w in widths
        )
        self.out = nn.Sequential(norm(inputs + layers * growth), nn.ReLU(), nn.AvgPool2d(2))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.out(x)


class Inverted(nn.Module):
    """Inverted residual of a MobileNetV2: expand, depthwise, project."""

    def __init__(self, norm, width, expansion):
        super().__init__()
        wide = width * expansion
        self.body = nn.Sequential(
            nn.Conv2d(width, wide, 1, bias=False),
            norm(wide, momentum=0.01, eps=1e-3),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            norm(wide, momentum=None),
            nn.ReLU6(),
            nn.Conv2d(wide, width, 1, bias=False),
            norm(width, affine=False),
        )

    def forward(self, x):
        return x + self.body(x)


def resnet(norm):
    return Residual(norm, 4, 4, 2), Residual(norm, 8, 4, 1)


def densenet(norm):
    return Dense(norm, 4, 3, 3), Dense(norm, 13, 3, 2)


def mobilenet(norm):
    return Inverted(norm, 4, 3), Inverted(norm, 4, 2)


def network(kind, norm2d, norm1d):
    torch.manual_seed(1)
    stem = nn.Conv2d(3, 4, 3, padding=1, bias=False), norm2d(4), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(8), norm1d(8), nn.ReLU(), nn.Linear(8, 5)
    model = nn.Sequential(*stem, *kind(norm2d), *head).double()
    model.eval()(torch.zeros(1, 3, 8, 8).double())
    return model.train()


@pytest.mark.parametrize("kind", [resnet, densenet, mobilenet])
def test_training_is_the_same(kind):
    ours = network(kind, sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)
    theirs = network(kind, nn.BatchNorm2d, nn.BatchNorm1d)
    theirs.load_state_dict(ours.state_dict())
    models = (ours, theirs)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4) for m in models]
    start = ours.state_dict()["0.weight"].clone()
    for _ in range(20):
        x, labels = torch.randn(6, 3, 8, 8).double(), torch.randint(5, (6,))
        losses = []
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            losses.append(F.cross_entropy(model(x), labels))
            losses[-1].backward()
            optimizer.step()
        assert_close(*losses, rtol=0, atol=1e-10)
    assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=1e-10)
    assert not torch.allclose(ours.state_dict()["0.weight"], start)
    x = torch.randn(3, 3, 8, 8).double()
    assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [resnet, densenet, mobilenet])
def test_checkpoints_load_both_ways(kind):
    ours = network(kind, sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)
    theirs = network(kind, nn.BatchNorm2d, nn.BatchNorm1d)
    x = torch.randn(4, 3, 8, 8).double()
    for source, target in ((ours, theirs), (theirs, ours)):
        source.train()(x)
        target.load_state_dict(source.state_dict())
        assert list(source.state_dict()) == list(target.state_dict())
        assert_close(target.eval()(x), source.eval()(x), rtol=0, atol=1e-12)
