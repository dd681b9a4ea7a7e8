"""The slope that is left to a batch drifted to +4."""

import torch

from ...claim import NOISY, Drawn, Part, generator
from .slopes import slope


def measure(seed: int) -> dict[str, float]:
    """A batch of 4096 values of deviation 1, at drift 4 and at home."""
    noise = torch.randn(4096, generator=generator(seed), dtype=torch.float64)
    drifted, home = (float(slope(noise + drift).mean()) for drift in (4, 0))
    at_4, at_5, at_6 = slope(torch.tensor([4.0, 5.0, 6.0])).tolist()
    return {
        "slope at 4": at_4,
        "mean slope of a batch around 4": drifted,
        "slope at 5": at_5,
        "slope at 6": at_6,
        "mean slope of a batch around 0": home,
        "times less slope at 4 than at 0": home / drifted,
    }


CLAIM = Drawn(
    id="saturation/drift",
    order=102,
    statement="When the batch's mean has drifted to +4, the sigmoid's slope there is a few thousandths.",
    source="the article, drifting inputs",
    literature="a few thousandths",
    covers=("S1", "E4"),
    protocol="The sigmoid's derivative at the point and averaged over 4096 normal values of deviation 1, in float64. "
    "A few thousandths: no more than 0.0075.",
    parts=(
        Part("slope at 4", at_most=0.0075),
        Part("mean slope of a batch around 4", at_most=0.0075, by="mean"),
        Part("slope at 5", role="shown"),
        Part("slope at 6", role="shown"),
        Part("mean slope of a batch around 0", role="shown", by="mean"),
        Part("times less slope at 4 than at 0", role="shown", by="mean"),
    ),
    measure=measure,
    draws=NOISY,
    instead="At 4 the slope is {slope at 4}; it comes to thousandths at 5 ({slope at 5}). A batch of deviation 1 "
    "around 4 keeps {mean slope of a batch around 4} on the mean, {times less slope at 4 than at 0} times less than "
    "around 0.",
)
