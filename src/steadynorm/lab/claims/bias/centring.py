"""Centring alone: the bias grows, the loss stays."""

import torch
from torch import Tensor

from ...claim import Chart, Drawn, Line, Part, generator

STEPS, RATE = 500, 0.1


def descend(seed: int, *, through_mean: bool) -> tuple[list[float], list[float], float]:
    """Return b and the loss at each step, and the first gradient, of x̂ = u + b − E[u + b] under ½ E[(x̂ − t)²]."""
    u, t = torch.randn(2, 64, generator=generator(seed), dtype=torch.float64)
    t = t + 1  # so that the naive gradient is not 0
    b: Tensor = torch.zeros((), dtype=torch.float64, requires_grad=True)
    biases, losses, first = [0.0], [], 0.0
    for step in range(STEPS):
        x = u + b
        mean = x.mean()
        loss = (x - (mean if through_mean else mean.detach()) - t).square().mean() / 2
        (slope,) = torch.autograd.grad(loss, b)
        b = (b - RATE * slope).detach().requires_grad_()
        first = float(slope) if step == 0 else first
        biases.append(float(b.detach()))
        losses.append(float(loss.detach()))
    return biases, losses, first


def measure(seed: int) -> dict[str, float]:
    """Naive and aware descents on one batch."""
    b, losses, slope = descend(seed, through_mean=False)
    aware, _, _ = descend(seed, through_mean=True)
    steps = torch.arange(len(b), dtype=torch.float64)
    correlation = torch.corrcoef(torch.stack([steps, torch.tensor(b, dtype=torch.float64)]))[0, 1]
    return {
        "R² of a straight line through b": float(correlation.square()),
        "growth of b over steps × rate × gradient": abs(b[-1]) / (STEPS * RATE * abs(slope)),
        "change of the loss": max(losses) - min(losses),
        "movement of b with the gradient through the mean": max(map(abs, aware)),
    }


def draw() -> dict[str, Line]:
    """b against the step."""
    return {
        name: list(enumerate(descend(0, through_mean=through)[0]))[::10]
        for name, through in (("mean taken for a constant", False), ("gradient through the mean", True))
    }


CLAIM = Drawn(
    id="bias/centring",
    order=201,
    statement="A step on the bias that ignores how the mean depends on it makes the bias grow for ever, while output "
    "and loss stay as they are; with the gradient taken through the mean the bias does not move.",
    source="Ioffe & Szegedy 2015, Sec. 2; the article, Eq 1",
    literature="b will grow indefinitely while the loss remains fixed",
    covers=("S2",),
    protocol=f"x̂ = u + b − E[u + b], loss ½ E[(x̂ − t)²], one fixed batch of 64, {STEPS} steps of rate {RATE:g}, "
    "float64. Growth is linear, since the gradient is the same at every step.",
    parts=(
        Part("R² of a straight line through b", at_least=0.999),
        Part("growth of b over steps × rate × gradient", 0.999, 1.001),
        Part("change of the loss", at_most=1e-10),
        Part("movement of b with the gradient through the mean", at_most=1e-10),
    ),
    measure=measure,
    chart=Chart("The bias, step by step", "step", "b", draw),
)
