"""The layer table of the batch-normalization paper: what it says, and the two ways to read where it contradicts itself.

The table is Figure 5 of Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift" (ICML 2015, arXiv:1502.03167): an Inception network whose 5×5 convolutions are two 3×3 ones. Its widths
contradict its printed output sizes: the branches of 4c and 4d add up to 608 maps (printed 576), and what 4e passes
through makes it 1056 (printed 1024). The reading *literal* takes every width as it stands; *printed* makes the
projections of 4c and 4d 96 maps wide in place of 128, which gives the printed 576 and 1024. (3c and 4e are also printed
with the size before their stride; that changes no weight.)

For 1000 classes a literal reading has 11,295,240 parameters, counted with a full first convolution and a bias in every
convolution, and a printed one 11,204,936. Without the biases, which batch norm cancels, they are 11,285,224 and
11,194,984; the separable first convolution that the table's footnote asks for has 6,696 fewer. The 13.6 million that
the paper's text states cannot be derived from its table.
"""

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["MODULES", "STEMS", "TABLES", "Module", "Reading", "Stem", "StemConvolution", "stem_for"]

Reading = Literal["literal", "printed"]
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


#: The modules by reading.
TABLES: dict[Reading, tuple[Module, ...]] = {
    "literal": MODULES,
    "printed": tuple(replace(row, projection=96) if row.name in ("4c", "4d") else row for row in MODULES),
}


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
