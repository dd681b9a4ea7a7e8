"""The network of the batch-normalization paper, from its own layer table (:mod:`.table`), at any width.

Ours, because the paper does not say: padding keeps the size (halves it, rounded up, at stride 2); average pools do not
count the padding; nothing stands between the two halves of the separable convolution; the weights of the last, linear
layer are Glorot's, biases start at 0.

Letters: N images, C maps, H×W positions.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..nn import BatchNorm2d
from .table import STEMS, TABLES, Module, Reading, Stem, stem_for

__all__ = ["Activation", "Initialization", "Network", "NetworkOptions", "stem_for"]

Activation = Literal["relu", "sigmoid"]
Initialization = Literal["glorot", "he"]


@dataclass(frozen=True)
class NetworkOptions:
    """Everything that distinguishes one network of the ladder from another.

    Args:
        classes: number of classes, at least 2.
        channels: of the input images: 1 grey, 3 colour.
        stem: see :data:`.table.STEMS`.
        table: how the table is read where it contradicts itself, see :mod:`.table`.
        width: multiplies the number of maps of every layer; every product must be a whole number.
        batch_norm: normalize between every convolution and its nonlinearity; those convolutions have no bias.
        cancelled_biases: those convolutions have one nevertheless, which batch norm cancels.
        local_response_norm: at the two places of GoogLeNet, after the nonlinearity.
        dropout: probability that a feature is dropped in front of the linear layer.
        activation: the nonlinearity after every convolution.
        initialization: of the convolutions' weights: normal, of variance 2/(fan_in + fan_out) or 2/fan_in.
    """

    classes: int
    channels: int = 3
    stem: Stem = "paper"
    table: Reading = "literal"
    width: Fraction = Fraction(1)
    batch_norm: bool = True
    cancelled_biases: bool = False
    local_response_norm: bool = False
    dropout: float = 0.0
    activation: Activation = "relu"
    initialization: Initialization = "he"


def _scale(maps: int, width: Fraction) -> int:
    scaled = maps * width
    if scaled.denominator != 1:
        raise ArgumentError(
            f"width must give every layer a whole number of maps, received {width}, which makes {scaled} of {maps}; "
            "use 1/32, 1/16, 1/8, 1/4, 1/2 or a whole number"
        )
    return int(scaled)


def _unit(inputs: int, outputs: int, options: NetworkOptions, *, kernel: int = 1, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm or bias, nonlinearity: z = g(BN(Wu)), or g(Wu + b)."""
    bias = options.cancelled_biases or not options.batch_norm
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)
    if options.batch_norm:
        return [convolution, BatchNorm2d(outputs, activation=options.activation)]
    return [convolution, nn.ReLU(inplace=True) if options.activation == "relu" else nn.Sigmoid()]


class _Inception(nn.Module):
    """Four branches over one input, concatenated: 1×1; 3×3; 3×3 twice; a pool."""

    def __init__(self, inputs: int, row: Module, options: NetworkOptions) -> None:
        super().__init__()
        one, three_reduce, three, double_reduce, double, projection = (
            _scale(maps, options.width)
            for maps in (row.one, row.three_reduce, row.three, row.double_reduce, row.double, row.projection)
        )
        pool: nn.Module
        if row.pool == "max":
            pool = nn.MaxPool2d(3, row.stride, padding=1)
        else:
            pool = nn.AvgPool2d(3, row.stride, padding=1, count_include_pad=False)
        branches = [
            _unit(inputs, one, options) if one else [],
            _unit(inputs, three_reduce, options) + _unit(three_reduce, three, options, kernel=3, stride=row.stride),
            _unit(inputs, double_reduce, options)
            + _unit(double_reduce, double, options, kernel=3)
            + _unit(double, double, options, kernel=3, stride=row.stride),
            [pool, *(_unit(inputs, projection, options) if projection else [])],
        ]
        self.branches = nn.ModuleList(nn.Sequential(*branch) for branch in branches if branch)
        self.outputs = one + three + double + (projection or inputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class _LocalResponseNorm(nn.LocalResponseNorm):
    """torch's layer, its window over the maps summed by one banded 1×1 convolution: several times faster on a
    processor."""

    def forward(self, x: Tensor) -> Tensor:
        maps, reach = x.shape[1], self.size // 2
        band = x.new_full((maps, maps), self.alpha / self.size).tril(reach).triu(-reach)
        return x * (nn.functional.conv2d(x.square(), band[:, :, None, None]) + self.k).pow(-self.beta)


def _stem(options: NetworkOptions) -> tuple[list[nn.Module], int]:
    layers: list[nn.Module] = []
    maps = options.channels
    for row in STEMS[options.stem]:
        if row == "pool":
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        elif row == "lrn":
            if options.local_response_norm:
                layers.append(_LocalResponseNorm(5, alpha=1e-4, beta=0.75))  # GoogLeNet's constants
        else:
            outputs = _scale(row.maps, options.width)
            if row.depth_multiplier is None:
                layers += _unit(maps, outputs, options, kernel=row.kernel, stride=row.stride)
            else:
                filters = maps * row.depth_multiplier
                layers.append(
                    nn.Conv2d(maps, filters, row.kernel, row.stride, row.kernel // 2, groups=maps, bias=False)
                )
                layers += _unit(filters, outputs, options)
            maps = outputs
    return layers, maps


class Network(nn.Module):
    """The paper's network: stem, ten inception modules, mean over positions, dropout, one linear layer.

    Args:
        options: which of its variants.
        generator: draws the weights, in the order of the layers, so that variants of one shape start from equal
            weights.

    Shape: x (N, channels, H, W), result (N, classes), not normalized.
    Raises: ArgumentError when the width gives a layer a fraction of a map.
    """

    def __init__(self, options: NetworkOptions, generator: torch.Generator | None = None) -> None:
        super().__init__()
        stem, maps = _stem(options)
        modules: list[_Inception] = []
        for row in TABLES[options.table]:
            modules.append(_Inception(maps, row, options))
            maps = modules[-1].outputs
        self.stem = nn.Sequential(*stem)
        self.body = nn.Sequential(*modules)
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(maps, options.classes)
        _initialize_(self.modules(), options.initialization, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the classes' scores."""
        features: Tensor = self.body(self.stem(x)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


def _initialize_(modules: Iterable[nn.Module], how: Initialization, generator: torch.Generator | None) -> None:
    for module in modules:
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            fan_out, fan_in = weight.shape[0], weight[0].numel()
            if isinstance(module, nn.Conv2d):
                fan_out = fan_out * weight[0, 0].numel() // module.groups
            glorot = how == "glorot" or isinstance(module, nn.Linear)
            variance = 2 / (fan_in + fan_out) if glorot else 2 / fan_in
            nn.init.normal_(weight, std=math.sqrt(variance), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
