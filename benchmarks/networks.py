"""Networks of the field for whole training steps: convolution, batch norm, activation, in three versions.

Built with our layers; :func:`by_torch` and :func:`without_norms` put others in their places.
"""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor, nn

from steadynorm.bench import TorchLayers
from steadynorm.lab.network import Network, NetworkOptions
from steadynorm.nn import BatchNorm2d

from .foreign import DENSENET_121, MOBILENET_V2, RESNET_50

__all__ = ["NETWORKS", "by_torch", "without_norms"]


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, BatchNorm2d(outputs, activation="relu"))


class Bottleneck(nn.Module):
    """He et al. 2016, Figure 5 right."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.branch = nn.Sequential(unit(inputs, width), unit(width, width, 3, stride), nn.Conv2d(width, outputs, 1))
        self.norm = BatchNorm2d(outputs, activation="relu")
        changes = stride != 1 or inputs != outputs
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm2d(outputs))
            if changes
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(norm(branch) + shortcut)."""
        return self.norm(self.branch(x), self.shortcut(x))


def resnet50() -> nn.Module:
    """He et al. 2016, arXiv:1512.03385, Table 1, the stride on the 3×3 convolution."""
    blocks, inputs = [], 64
    for width, count, stride in RESNET_50:
        for i in range(count):
            blocks.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, *_head(inputs))


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, Table 1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [unit(inputs, hidden)] if expansion != 1 else []
        self.branch = nn.Sequential(
            *expand, unit(hidden, hidden, 3, stride, groups=hidden), nn.Conv2d(hidden, outputs, 1, bias=False)
        )
        self.norm = BatchNorm2d(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return norm(branch), and x added where the shapes allow."""
        return self.norm(self.branch(x), x if self.adds else None)


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, arXiv:1801.04381, Table 2, with ReLU for ReLU6."""
    layers, inputs = [unit(3, 32, 3, 2)], 32
    for expansion, outputs, count, stride in MOBILENET_V2:
        for i in range(count):
            layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
            inputs = outputs
    return nn.Sequential(*layers, unit(320, 1280), *_head(1280))


class DenseLayer(nn.Module):
    """Huang et al. 2017, Sec 3: batch norm and ReLU before each convolution, the result concatenated."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            BatchNorm2d(inputs, activation="relu"),
            unit(inputs, 4 * growth),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what is new."""
        return torch.cat([x, self.branch(x)], 1)


def densenet121() -> nn.Module:
    """Huang et al. 2017, arXiv:1608.06993, Table 1, growth 32."""
    layers, features = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for number, count in enumerate(DENSENET_121):
        if number:
            half = features // 2
            norm = BatchNorm2d(features, activation="relu")
            layers.append(nn.Sequential(norm, nn.Conv2d(features, half, 1, bias=False), nn.AvgPool2d(2)))
            features = half
        for _ in range(count):
            layers.append(DenseLayer(features, 32))
            features += 32
    return nn.Sequential(*layers, BatchNorm2d(features, activation="relu"), *_head(features))


def ladder() -> nn.Module:
    """Ioffe & Szegedy 2015, the network of the ladder at an eighth of its width."""
    return Network(NetworkOptions(classes=1000, stem="paper-full", width=Fraction(1, 8)))


def _head(features: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 1000)]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet-50": resnet50,
    "MobileNetV2": mobilenet_v2,
    "DenseNet-121": densenet121,
    "ladder": ladder,
}


def by_torch(model: nn.Module) -> nn.Module:
    """Replace our layers by torch's batch norm, addition and activation."""
    return _replaced(model, lambda m: TorchLayers(nn.BatchNorm2d(m.num_features), m.activation))


def without_norms(model: nn.Module) -> nn.Module:
    """Leave batch norm and activation out; what is left is what no batch norm can take back."""
    return _replaced(model, lambda _: Addition())


class Addition(nn.Module):
    """Of what our layer adds, the residual alone."""

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return x + residual."""
        return x if residual is None else x + residual


def _replaced(model: nn.Module, make: Callable[[BatchNorm2d], nn.Module]) -> nn.Module:
    for name, child in model.named_children():
        setattr(model, name, make(child) if isinstance(child, BatchNorm2d) else _replaced(child, make))
    return model
