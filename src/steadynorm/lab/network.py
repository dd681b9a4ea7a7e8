"""The network of the batch-normalization paper, from its own layer table, at any width.

The table is Figure 5 of Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift" (ICML 2015, arXiv:1502.03167): an Inception network whose 5×5 convolutions are two 3×3 ones. Its widths
are taken literally. They contradict the printed output sizes in three places: 4c and 4d add up to 608 maps (printed
576), 4e to 1056 (printed 1024); and 3c and 4e are printed with the size before their stride.

From the table follow, for 1000 classes, 11,285,224 parameters with batch norm and a full first convolution
(convolutions in front of batch norm have no bias; 11,295,240 if they keep it; 11,265,192 without batch norm and without
biases), and 6,696 fewer with the separable first convolution that the table's footnote asks for. The 13.6 million that
the paper's text states cannot be derived from its table.

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

__all__ = [
    "MODULES",
    "STEMS",
    "Activation",
    "Initialization",
    "Module",
    "Network",
    "NetworkOptions",
    "Stem",
    "stem_for",
]

Activation = Literal["relu", "sigmoid"]
Initialization = Literal["glorot", "he"]
Stem = Literal["paper", "paper-full", "small", "small-pool"]


@dataclass(frozen=True)
class Module:
    """One inception module, a row of the table: the number of maps of each convolution.

    A module of stride 2 has no 1×1 branch and passes its pooled input through unprojected.
    """

    name: str
    one: int  # "#1×1"
    three_reduce: int  # "#3×3 reduce"
    three: int  # "#3×3"
    double_reduce: int  # "double #3×3 reduce"
    double: int  # "double #3×3", both convolutions
    pool: Literal["avg", "max"]
    projection: int  # after the pool; 0 passes through
    stride: int = 1


MODULES = (
    Module("3a", 64, 64, 64, 64, 96, "avg", 32),
    Module("3b", 64, 64, 96, 64, 96, "avg", 64),
    Module("3c", 0, 128, 160, 64, 96, "max", 0, stride=2),
    Module("4a", 224, 64, 96, 96, 128, "avg", 128),
    Module("4b", 192, 96, 128, 96, 128, "avg", 128),
    Module("4c", 160, 128, 160, 128, 160, "avg", 128),
    Module("4d", 96, 128, 192, 160, 192, "avg", 128),
    Module("4e", 0, 128, 192, 192, 256, "max", 0, stride=2),
    Module("5a", 352, 192, 320, 160, 224, "avg", 128),
    Module("5b", 352, 192, 320, 192, 224, "max", 128),
)


@dataclass(frozen=True)
class StemConvolution:
    """A convolution of the stem; with a depth multiplier it is separable, after so many depthwise filters a map."""

    kernel: int
    maps: int
    stride: int = 1
    depth_multiplier: int | None = None


#: What stands before the modules. "pool" is a 3×3 max pool of stride 2, "lrn" the place of local response norm.
STEMS: dict[Stem, tuple[StemConvolution | Literal["pool", "lrn"], ...]] = {
    # for 224×224 images: the table, with its separable first convolution
    "paper": (
        StemConvolution(7, 64, stride=2, depth_multiplier=8),
        "pool",
        "lrn",
        StemConvolution(1, 64),
        StemConvolution(3, 192),
        "lrn",
        "pool",
    ),
    # the same with a full first convolution, as public ports have it
    "paper-full": (
        StemConvolution(7, 64, stride=2),
        "pool",
        "lrn",
        StemConvolution(1, 64),
        StemConvolution(3, 192),
        "lrn",
        "pool",
    ),
    # for images of 8×8: nothing is strided or pooled before 3c
    "small": (StemConvolution(3, 64), "lrn", StemConvolution(1, 64), StemConvolution(3, 192), "lrn"),
    # for images of 32×32: pooled once
    "small-pool": (StemConvolution(3, 64), "lrn", StemConvolution(1, 64), StemConvolution(3, 192), "lrn", "pool"),
}


def stem_for(size: int) -> Stem:
    """Return the stem for square images of ``size`` pixels a side, so that 3a sees between 8×8 and 28×28 positions."""
    return "small" if size <= 16 else "small-pool" if size <= 64 else "paper"


@dataclass(frozen=True)
class NetworkOptions:
    """Everything that distinguishes one network of the ladder from another.

    Args:
        classes: number of classes, at least 2.
        channels: of the input images: 1 grey, 3 colour.
        stem: see :data:`STEMS`.
        width: multiplies the number of maps of every layer; every product must be a whole number.
        batch_norm: normalize between every convolution and its nonlinearity; those convolutions have no bias.
        local_response_norm: at the two places of GoogLeNet, after the nonlinearity.
        dropout: probability that a feature is dropped in front of the linear layer.
        activation: the nonlinearity after every convolution.
        initialization: of the convolutions' weights: normal, of variance 2/(fan_in + fan_out) or 2/fan_in.
    """

    classes: int
    channels: int = 3
    stem: Stem = "paper"
    width: Fraction = Fraction(1)
    batch_norm: bool = True
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
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=not options.batch_norm)
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
        for row in MODULES:
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
