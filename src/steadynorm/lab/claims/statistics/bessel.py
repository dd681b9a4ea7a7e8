"""Eq 5 on independent values."""

import torch

from ....functional import batch_moments
from ...claim import NOISY, Chart, Drawn, Line, Part, generator

SIZES = (2, 4, 16, 64, 256)
VALUES = 400_000  # a size, dealt out to batches; a feature stands for a batch


def estimates(m: int, random: torch.Generator) -> tuple[float, float, float]:
    """Return the means of m/(m−1)·σ²_B and σ²_B, and Var[μ_B], over batches from a population of variance 1."""
    moments = batch_moments(torch.randn(m, VALUES // m, generator=random, dtype=torch.float64))
    return float(moments.unbiased_var.mean()), float(moments.var.mean()), float(moments.mean.var())


def measure(seed: int) -> dict[str, float]:
    """Batches of every size."""
    random = generator(seed)
    values: dict[str, float] = {}
    for m in SIZES:
        unbiased, biased, of_means = estimates(m, random)
        values |= {f"Eq 5 at m = {m}": unbiased, f"without the factor at m = {m}": biased}
        values |= {f"Eq 5 and Var[μ] on top at m = {m}": unbiased + of_means}
    return values


def draw() -> dict[str, Line]:
    """The three estimates against m."""
    found = {m: estimates(m, generator(0)) for m in SIZES}
    return {
        "Eq 5": [(m, unbiased) for m, (unbiased, _, _) in found.items()],
        "without the factor": [(m, biased) for m, (_, biased, _) in found.items()],
        "Eq 5 and Var[μ] on top": [(m, unbiased + of_means) for m, (unbiased, _, of_means) in found.items()],
    }


CLAIM = Drawn(
    id="statistics/bessel",
    order=501,
    statement="Of independent values, the mean of m/(m−1)·σ²_B over batches is the population's variance.",
    source="Ioffe & Szegedy 2015, Algorithm 2, line 10; the article, Eq 5",
    literature="1 with the factor, (m−1)/m without",
    covers=("S8", "E7"),
    protocol=f"{VALUES:,} normal values of variance 1, in batches of {', '.join(map(str, SIZES))}. Right: within 2 "
    "%. The factor already makes up for what the batches' own means take away: whoever adds Var[μ_B] counts it "
    "twice.",
    parts=(
        *(Part(f"Eq 5 at m = {m}", 0.98, 1.02, literature=1.0, by="mean") for m in SIZES),
        Part("without the factor at m = 2", 0.49, 0.51, literature=0.5, by="mean"),
        Part("Eq 5 and Var[μ] on top at m = 2", role="shown", by="mean"),
    ),
    measure=measure,
    draws=NOISY,
    chart=Chart("Estimates of a variance of 1", "m", "estimate", draw, log_x=True),
)
