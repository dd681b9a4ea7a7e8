"""The gradient is orthogonal to the weights, so steps only lengthen them."""

import torch

from ...claim import Drawn, Part, generator
from .invariance import layer


def measure(seed: int) -> dict[str, float]:
    """Each unit's weights and their gradient, and one step of descent."""
    random = generator(seed)
    weight = torch.randn(5, 8, generator=random, dtype=torch.float64)
    u = torch.randn(32, 8, generator=random, dtype=torch.float64)
    upstream = torch.randn(32, 5, generator=random, dtype=torch.float64)

    def cosine(slope: torch.Tensor) -> float:
        return float(torch.cosine_similarity(slope, weight).abs().max())

    slope = layer(weight, u, upstream)[2]
    rate = 0.5
    after = (weight - rate * slope).square().sum(1)
    pythagoras = weight.square().sum(1) + rate**2 * slope.square().sum(1)
    return {
        "cosine between gradient and weights": cosine(slope),
        "‖w‖² after a step less ‖w‖² + η²‖g‖²": float((after - pythagoras).abs().max() / after.max()),
        "cosine with ε = 1e-5": cosine(layer(weight, u, upstream, eps=1e-5)[2]),
    }


CLAIM = Drawn(
    id="scale/orthogonality",
    order=403,
    statement="The gradient of the weights before batch norm is orthogonal to them, so that a step of gradient "
    "descent adds η²‖g‖² to ‖w‖².",
    source="van Laarhoven 2017 (arXiv:1706.05350), Sec. 2; the article, scale invariance",
    literature="exact",
    covers=("S10", "E6"),
    protocol="Each unit of a linear layer 8 → 5, batch of 32, ε = 0, float64; plain descent, no decay, no momentum.",
    parts=(
        Part("cosine between gradient and weights", at_most=1e-12, literature=0.0),
        Part("‖w‖² after a step less ‖w‖² + η²‖g‖²", at_most=1e-12, literature=0.0),
        Part("cosine with ε = 1e-5", role="shown"),
    ),
    measure=measure,
)
