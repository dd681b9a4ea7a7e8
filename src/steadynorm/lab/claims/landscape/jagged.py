"""The same on a loss that is no quadratic."""

import math

import torch

from ...claim import Drawn, Part, generator
from .quadratic import threshold

RIPPLE = 8.0


def measure(seed: int) -> dict[str, float]:
    """A bowl of curvature 1 with ripples, whose height is drawn."""
    height = 0.05 + 0.15 * float(torch.rand((), generator=generator(seed)))

    def slope(theta: float) -> float:
        return theta + height * RIPPLE * math.sin(RIPPLE * theta)

    greatest = 1 + height * RIPPLE**2
    found = threshold(slope, 2.0, 4.0)
    return {"rate of divergence × greatest curvature / 2": found * greatest / 2, "rate of divergence": found}


CLAIM = Drawn(
    id="landscape/jagged",
    order=703,
    statement="On a jagged loss, too, descent diverges above 2 over the curvature, so a smoother one raises the "
    "ceiling.",
    source="the article, Figure 4",
    literature="2/curvature",
    covers=("S13", "E12"),
    protocol=f"½θ² + a(1 − cos {RIPPLE:g}θ), a drawn from 0.05 to 0.2, 5000 steps from 2; diverges: |θ| grows "
    "tenfold. Right: within 10 % of 2 over the greatest curvature.",
    parts=(
        Part("rate of divergence × greatest curvature / 2", 0.9, 1.1, literature=1.0),
        Part("rate of divergence", literature=2.0, role="shown"),
    ),
    measure=measure,
    instead="The rule is exact for quadratics only. Above it the rippled loss makes descent jump about, but what "
    "diverges is settled by the bowl: the rate is {rate of divergence × greatest curvature / 2} times what the "
    "greatest curvature says. The figure illustrates; it is no evidence about networks.",
)
