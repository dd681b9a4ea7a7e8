"""The bound on the gradient's norm that batch norm gives, and the equality behind it."""

import torch

from ....functional import batch_norm
from ...claim import Drawn, Part, generator


def measure(seed: int) -> dict[str, float]:
    """One feature of 32 values, a smooth loss with couplings between the values."""
    random, m = generator(seed), 32
    y = torch.randn(m, 1, generator=random, dtype=torch.float64, requires_grad=True)
    coupling = torch.randn(m, m, generator=random, dtype=torch.float64)
    gamma = torch.rand(1, generator=random, dtype=torch.float64) + 0.5
    z, moments = batch_norm(y, gamma, eps=0.0)
    loss = (coupling @ z).tanh().square().sum() + z.exp().mean()
    g, dy = torch.autograd.grad(loss, (z, y))
    y_hat = (z / gamma).detach()

    factor = float(gamma**2 / moments.var.detach())
    left, whole = float(dy.square().sum()), float(g.square().sum())
    by_ones, by_y_hat = float(g.sum() ** 2), float((g * y_hat).sum() ** 2)
    equality = factor * (whole - by_ones / m - by_y_hat / m)
    printed = factor * (whole - by_ones / m - by_y_hat / m**0.5)
    return {
        "distance from the equality with 1/m": abs(left - equality) / left,
        "left side over the bound with 1/√m": left / printed if printed > 0 else float("inf"),
        "left side over γ²/σ²·‖g‖²": left / (factor * whole),
    }


def measure_finite(seed: int) -> dict[str, float]:
    """As :func:`measure`; a bound that is not positive, which no norm can meet, counts as exceeded a millionfold."""
    values = measure(seed)
    return {name: min(value, 1e6) for name, value in values.items()}


CLAIM = Drawn(
    id="landscape/gradient-norm",
    order=701,
    statement="Batch norm shortens the gradient: ‖∂L̂/∂y‖² is at most γ²/σ² times ‖g‖² less what points along 1 and, "
    "divided by √m, along ŷ.",
    source="Santurkar et al. 2018 (arXiv:1805.11604), Theorem 4.1",
    literature="≤, with 1/m and 1/√m before the two terms, as the text of the PDF can be read",
    covers=("S17",),
    protocol="One feature of 32 values, γ drawn from 0.5 to 1.5, ε = 0, a smooth loss that couples the values, "
    "float64; g = ∂L/∂z at z = γŷ. The 1/√m may belong inside of the square, which makes it the 1/m of the equality.",
    parts=(
        Part("distance from the equality with 1/m", at_most=1e-10, literature=0.0),
        Part("left side over the bound with 1/√m", at_most=1 + 1e-9),
        Part("left side over γ²/σ²·‖g‖²", role="shown"),
    ),
    measure=measure_finite,
    instead="With 1/m before both terms it is an equality. With 1/√m before the second the right side is too small, "
    "and the left exceeds it up to {left side over the bound with 1/√m} times.",
)
