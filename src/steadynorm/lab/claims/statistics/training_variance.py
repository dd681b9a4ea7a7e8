"""Whether training has to divide by the biased variance."""

import torch

from ....functional import batch_moments, normalize
from ...claim import Drawn, Part, generator, relative

SIZES = (2, 8, 32)


def measure(seed: int) -> dict[str, float]:
    """The same batch normalized by either variance, γ taking up the factor."""
    random, differences, raw = generator(seed), [], []
    for m in SIZES:
        x = torch.randn(m, 6, generator=random, dtype=torch.float64)
        gamma, beta = torch.randn(2, 6, generator=random, dtype=torch.float64)
        _, mean, var = moments = batch_moments(x)
        biased = normalize(x, mean, var, gamma, beta, eps=0.0)
        raw.append(relative(normalize(x, mean, moments.unbiased_var, gamma, beta, eps=0.0), biased))
        factor = (m / (m - 1)) ** 0.5
        differences.append(relative(normalize(x, mean, moments.unbiased_var, factor * gamma, beta, eps=0.0), biased))
    return {
        "difference that no γ takes up": max(differences),
        "difference with the same γ": max(raw),
    }


CLAIM = Drawn(
    id="statistics/training-variance",
    order=504,
    statement="Consistency demands the biased variance in training: with the unbiased one the layer would be another.",
    source="the article, Eq 5; the paper gives no such reason",
    literature="no number",
    covers=("S8", "E7"),
    protocol=f"m of {', '.join(map(str, SIZES))}, random γ and β, ε = 0, float64: y with the biased variance, and "
    "with the unbiased one and γ·√(m/(m−1)). Another layer: a difference above 1e-6 of the largest y.",
    parts=(
        Part("difference that no γ takes up", at_least=1e-6),
        Part("difference with the same γ", role="shown"),
    ),
    measure=measure,
    instead="The factor √(m/(m−1)) is a constant, which γ takes up: what remains is rounding, "
    "{difference that no γ takes up}. What matters is the variance at test (statistics/variance-at-test).",
)
