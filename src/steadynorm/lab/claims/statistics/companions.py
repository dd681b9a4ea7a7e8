"""The noise that an example's companions are."""

import math

import torch

from ....functional import batch_norm
from ...claim import NOISY, Chart, Drawn, Line, Part, generator

SIZES = (8, 16, 32, 64, 128, 256, 512)
BATCHES = 4000  # a size; a feature stands for a batch


def variances(seed: int) -> dict[int, float]:
    """Return the variance of one example's x̂ over random companions, by batch size."""
    random, found = generator(seed), {}
    for m in SIZES:
        x = torch.randn(m, BATCHES, generator=random)
        x[0] = 1.0
        found[m] = float(batch_norm(x, eps=1e-5)[0][0].var())
    return found


def measure(seed: int) -> dict[str, float]:
    """The slope of a straight line through the logarithms, and batches that stay together."""
    found = variances(seed)
    x, y = (torch.tensor([math.log(v) for v in values]) for values in (found.keys(), found.values()))
    x, y = x - x.mean(), y - y.mean()
    together = torch.randn(32, 1, generator=generator(seed)).expand(-1, 50)
    return {
        "exponent of the variance against m": float((x * y).sum() / x.square().sum()),
        "variance at m = 32": found[32],
        "variance with fixed companions": float(batch_norm(together, eps=1e-5)[0][0].var()),
    }


def draw() -> dict[str, Line]:
    """Variance against m."""
    return {"measured": list(variances(0).items())}


CLAIM = Drawn(
    id="statistics/companions",
    order=507,
    statement="An example's normalized value is noisy, since its companions in the batch are drawn anew, with a "
    "variance that falls like 1/m.",
    source="Ioffe & Szegedy 2015, Sec. 3.4, for the noise; the article, regularizing noise",
    literature="exponent −1 (elementary)",
    covers=("S19",),
    protocol=f"One value of 1 among m−1 normal ones, m of {', '.join(map(str, SIZES))}, {BATCHES} batches each; the "
    "exponent by least squares on logarithms. Whether this noise helps a network is another claim.",
    parts=(
        Part("exponent of the variance against m", -1.1, -0.9, literature=-1.0, by="mean"),
        Part("variance at m = 32", role="shown", by="mean"),
        Part("variance with fixed companions", at_most=1e-12, role="control"),
    ),
    measure=measure,
    draws=NOISY,
    chart=Chart("Variance of one example's x̂", "m", "variance", draw, log_x=True, log_y=True),
)
