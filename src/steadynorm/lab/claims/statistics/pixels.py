"""Eq 5 on feature maps, whose values are not independent."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ....functional import PaperEstimator, PooledEstimator, batch_moments, population_statistics
from ... import data
from ...claim import NOISY, Chart, Drawn, Line, Part, generator

SIZES = (2, 4, 8, 16, 32)
BATCHES = 1500  # a size; a feature stands for a batch


def estimates(m: int, random: torch.Generator) -> tuple[float, float]:
    """Return Eq 5's estimate and that of the law of total variance, on 8×8 maps of variance 1, half between images."""
    between = torch.randn(m, BATCHES, 1, 1, generator=random)
    within = torch.randn(m, BATCHES, 8, 8, generator=random)
    moments = batch_moments((between + within) / 2**0.5)
    return float(moments.unbiased_var.mean()), float(moments.var.mean() + moments.mean.var())


@cache
def digits() -> Tensor:
    """The digits, (N, 1, 8, 8), of deviation near 1."""
    images = data.load("digits", 0).train.images.float()
    return (images - images.mean()) / images.std()


def on_digits(m: int, random: torch.Generator) -> float:
    """Return Eq 5's estimate over the variance of all values, on digits behind a random convolution, by maps."""
    maps = F.conv2d(digits(), torch.randn(16, 1, 3, 3, generator=random))
    maps = maps[torch.randperm(len(maps), generator=random)]
    batches = [batch_moments(maps[i : i + m]) for i in range(0, len(maps) - m + 1, m)]
    _, paper = population_statistics(batches, PaperEstimator())
    _, pooled = population_statistics(batches, PooledEstimator())
    return float((paper / pooled).mean())


def measure(seed: int) -> dict[str, float]:
    """Batches of every size."""
    random = generator(seed)
    values = {f"Eq 5 at m = {m}": estimates(m, random)[0] for m in SIZES}
    values["law of total variance at m = 2"] = estimates(2, random)[1]
    return values | {f"Eq 5 on digits at m = {m}": on_digits(m, random) for m in (2, 32)}


def draw() -> dict[str, Line]:
    """The two estimates against m."""
    found = {m: estimates(m, generator(0)) for m in SIZES}
    return {
        "Eq 5": [(m, paper) for m, (paper, _) in found.items()],
        "law of total variance": [(m, total) for m, (_, total) in found.items()],
    }


CLAIM = Drawn(
    id="statistics/pixels",
    order=502,
    statement="In convolutional layers Eq 5, with m·p·q in place of m, gives the population's variance.",
    source="Ioffe & Szegedy 2015, Sec. 3.1 and 3.2; the article, Eq 5",
    literature="1",
    covers=("S8", "E7"),
    protocol=f"8×8 maps, half of the variance between images and half within, {BATCHES} batches each of "
    f"{', '.join(map(str, SIZES))} images; right: within 2 %. Beside it real images: scikit-learn's digits behind a "
    "random 3×3 convolution of 16 maps, Eq 5 over the variance of all values.",
    parts=(
        *(Part(f"Eq 5 at m = {m}", 0.98, 1.02, literature=1.0, by="mean") for m in SIZES),
        Part("law of total variance at m = 2", role="shown", by="mean"),
        Part("Eq 5 on digits at m = 2", role="shown", by="mean"),
        Part("Eq 5 on digits at m = 32", role="shown", by="mean"),
    ),
    measure=measure,
    draws=NOISY,
    instead="Pixels of one image are not independent, so that a batch of m images holds fewer than m·p·q values "
    "worth the name: the variance comes out at {Eq 5 at m = 2} of the truth for two images, {Eq 5 at m = 4} for "
    "four. The law of total variance, E[σ²_B] + Var[μ_B], gives {law of total variance at m = 2}. How much is lost "
    "is the data's matter: digits behind a random convolution differ more by position than by image, and Eq 5 is "
    "right for them ({Eq 5 on digits at m = 2} at m = 2).",
    chart=Chart(
        "Estimates of a variance of 1, half of it between images", "images in a batch", "estimate", draw, log_x=True
    ),
)
