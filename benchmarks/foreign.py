"""Four networks of the field at full size in torch's layers, as their papers have them, with drawn weights."""

import torch
from torch import Tensor, nn

RESNET_50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, count and first stride of each stage."""
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, features, count and first stride of each stage."""
DENSENET_121 = (6, 12, 24, 16)
"""How many layers each block has."""


def conv_norm(inputs, outputs, kernel=1, stride=1, groups=1, activation=nn.ReLU):
    """Convolution, batch norm, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        *([activation(inplace=True)] if activation else []),
    )


class Bottleneck(nn.Module):
    """He et al. 2016, Figure 5 right."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.branch = nn.Sequential(
            conv_norm(inputs, width),
            conv_norm(width, width, 3, stride),
            conv_norm(width, 4 * width, activation=None),
        )
        changes = stride != 1 or inputs != 4 * width
        self.shortcut = conv_norm(inputs, 4 * width, stride=stride, activation=None) if changes else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.relu(self.branch(x) + self.shortcut(x))


def resnet50():
    """He et al. 2016, arXiv:1512.03385, Table 1, the stride on the 3×3 convolution."""
    blocks, inputs = [], 64
    for width, count, stride in RESNET_50:
        for i in range(count):
            blocks.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return nn.Sequential(conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, *head)


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, Table 1."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        expand = [conv_norm(inputs, hidden, activation=nn.ReLU6)] if expansion != 1 else []
        self.branch = nn.Sequential(
            *expand,
            conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            conv_norm(hidden, outputs, activation=None),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return x + self.branch(x) if self.adds else self.branch(x)


def mobilenet_v2():
    """Sandler et al. 2018, arXiv:1801.04381, Table 2."""
    layers, inputs = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)], 32
    for expansion, outputs, count, stride in MOBILENET_V2:
        for i in range(count):
            layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
            inputs = outputs
    layers.append(conv_norm(320, 1280, activation=nn.ReLU6))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers, *head)


class DenseLayer(nn.Module):
    """Huang et al. 2017, Sec. 3, with a bottleneck."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


def densenet121():
    """Huang et al. 2017, arXiv:1608.06993, Table 1, growth 32."""
    layers, features = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for number, count in enumerate(DENSENET_121):
        if number:
            half = features // 2
            down = (nn.BatchNorm2d(features), nn.ReLU(), nn.Conv2d(features, half, 1, bias=False), nn.AvgPool2d(2))
            layers.append(nn.Sequential(*down))
            features = half
        for _ in range(count):
            layers.append(DenseLayer(features, 32))
            features += 32
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 1000)]
    return nn.Sequential(*layers, nn.BatchNorm2d(features), nn.ReLU(), *head)


def vgg16_bn():
    """Simonyan & Zisserman 2015, arXiv:1409.1556, Table 1, column D, with batch norm."""
    layers, inputs = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(4096, 1000))


NETWORKS = {"ResNet-50": resnet50, "MobileNetV2": mobilenet_v2, "DenseNet-121": densenet121, "VGG-16-BN": vgg16_bn}


def at_work(build):
    """Return a network in evaluation, with statistics of random images and affine parameters that do something."""
    torch.manual_seed(0)
    model = build()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(2, 3, 64, 64) if build is not vgg16_bn else torch.randn(1, 3, 224, 224))
    return model.eval()
