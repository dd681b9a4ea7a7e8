"""With two values batch norm is a sign function."""

import torch

from ....functional import batch_norm
from ...claim import Chart, Drawn, Line, Part, generator

EPS = 1e-5


def measure(seed: int) -> dict[str, float]:
    """Pairs whose differences range over six powers of ten."""
    random = generator(seed)
    x = torch.randn(2, 600, generator=random, dtype=torch.float64)
    x = x * torch.logspace(-4, 2, 600, dtype=torch.float64)
    difference = x[0] - x[1]
    formula = difference.sign() / (1 + 4 * EPS / difference.square()).sqrt()
    exact, _ = batch_norm(x, eps=0.0)
    with_eps, _ = batch_norm(x, eps=EPS)
    return {
        "distance of |x̂| from 1 without ε": float((exact.abs() - 1).abs().max()),
        "distance from the formula with ε": float((with_eps[0] - formula).abs().max()),
    }


def draw() -> dict[str, Line]:
    """x̂ of the larger value against the difference."""
    differences = torch.logspace(-4, 1, 101, dtype=torch.float64)
    x_hat = batch_norm(torch.stack([differences, torch.zeros_like(differences)]), eps=EPS)[0][0]
    return {"ε = 1e-5": list(zip(differences.tolist(), x_hat.tolist(), strict=True))}


CLAIM = Drawn(
    id="transform/two-values",
    order=304,
    statement="In a batch of two, x̂ is ±1/√(1 + 4ε/D²), where D is the difference: a sign, whatever was put in.",
    source="elementary, from Eq 2; it is why fully connected layers fail at batches of two",
    literature="±1/√(1 + 4ε/D²)",
    covers=("S18", "E7"),
    protocol="600 pairs whose size ranges from 1e-4 to 1e2, ε = 0 and ε = 1e-5, float64.",
    parts=(
        Part("distance of |x̂| from 1 without ε", at_most=1e-9, literature=0.0),
        Part("distance from the formula with ε", at_most=1e-9, literature=0.0),
    ),
    measure=measure,
    chart=Chart("The larger of two values, normalized", "difference", "x̂", draw, log_x=True),
)
