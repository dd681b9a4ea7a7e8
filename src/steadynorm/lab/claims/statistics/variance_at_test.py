"""What the choice of variance does to normalized values at test."""

import torch

from ....functional import batch_moments, normalize
from ...claim import NOISY, Drawn, Part, generator

VALUES = 400_000


def measure(seed: int) -> dict[str, float]:
    """Statistics of batches of 2 and 32, averaged, and new values normalized with them."""
    random = generator(seed)
    values: dict[str, float] = {}
    fresh = torch.randn(VALUES, 1, generator=random, dtype=torch.float64)
    for m in (2, 32):
        moments = batch_moments(torch.randn(m, VALUES // m, generator=random, dtype=torch.float64))
        for name, var in (("unbiased", moments.unbiased_var), ("biased", moments.var)):
            x_hat = normalize(fresh, moments.mean.mean()[None], var.mean()[None], eps=0.0)
            values[f"mean square of x̂ with the {name} average, m = {m}"] = float(x_hat.square().mean())
    return values


CLAIM = Drawn(
    id="statistics/variance-at-test",
    order=503,
    statement="With the unbiased variance the normalized values keep at test the mean square 1 that they have in "
    "training; with an average of the biased one it is m/(m−1), the double at m = 2.",
    source="from Eq 5; the evidence's correction of the article's rationale",
    literature="1, and m/(m−1)",
    covers=("S8", "E7"),
    protocol=f"Statistics averaged over batches of {VALUES:,} normal values, then {VALUES:,} fresh ones normalized "
    "with them; ε = 0. Right: within 2 %.",
    parts=(
        Part("mean square of x̂ with the unbiased average, m = 2", 0.98, 1.02, literature=1.0, by="mean"),
        Part("mean square of x̂ with the unbiased average, m = 32", 0.98, 1.02, literature=1.0, by="mean"),
        Part("mean square of x̂ with the biased average, m = 2", 1.96, 2.04, literature=2.0, by="mean"),
        Part("mean square of x̂ with the biased average, m = 32", 1.0119, 1.0532, literature=32 / 31, by="mean"),
    ),
    measure=measure,
    draws=NOISY,
)
