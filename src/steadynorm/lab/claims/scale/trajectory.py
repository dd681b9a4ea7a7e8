"""Weights ten times as large at a rate a hundred times as large: the same function at every step."""

import torch
from torch import Tensor

from ....functional import batch_norm
from ...claim import Drawn, Part, generator

STEPS, RATE = 100, 0.1


def outputs(seed: int, factor: float, rate_factor: float) -> Tensor:
    """Return the outputs of all steps of a two-layer network whose first weights and their rate are multiplied."""
    random = generator(seed)
    u = torch.randn(64, 8, generator=random, dtype=torch.float64)
    target = torch.randn(64, 3, generator=random, dtype=torch.float64)
    first = (factor * torch.randn(16, 8, generator=random, dtype=torch.float64)).requires_grad_()
    second = (torch.randn(3, 16, generator=random, dtype=torch.float64) / 4).requires_grad_()
    seen = []
    for _ in range(STEPS):
        y = batch_norm(u @ first.T, eps=0.0)[0].relu() @ second.T
        seen.append(y.detach())
        slopes = torch.autograd.grad((y - target).square().mean(), (first, second))
        first = (first - rate_factor * RATE * slopes[0]).detach().requires_grad_()
        second = (second - RATE * slopes[1]).detach().requires_grad_()
    return torch.stack(seen)


def measure(seed: int) -> dict[str, float]:
    """Three trainings from one draw."""
    plain = outputs(seed, 1.0, 1.0)

    def distance(other: Tensor) -> float:
        return float((other - plain).abs().max() / plain.abs().max())

    return {
        "change with weights × 10 and rate × 100": distance(outputs(seed, 10.0, 100.0)),
        "change with weights × 10 at the same rate": distance(outputs(seed, 10.0, 1.0)),
    }


CLAIM = Drawn(
    id="scale/trajectory",
    order=405,
    statement="What counts is the effective rate η/‖w‖²: weights ten times as large, trained at a hundred times the "
    "rate, are the same function at every step.",
    source="van Laarhoven 2017 (arXiv:1706.05350), Sec. 3; the article, scale invariance",
    literature="exact",
    covers=("S10",),
    protocol=f"Two layers 8 → 16 → 3, batch norm (ε = 0) and ReLU between them, {STEPS} steps of plain descent in "
    "float64; the largest difference of outputs over all steps. As a control, the same weights at the old rate must "
    "differ.",
    parts=(
        Part("change with weights × 10 and rate × 100", at_most=1e-8, literature=0.0),
        Part("change with weights × 10 at the same rate", at_least=1e-3, role="control"),
    ),
    measure=measure,
)
