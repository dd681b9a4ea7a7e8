"""Scaling by a deviation taken for a constant: this is what blows up."""

import torch
from torch import Tensor

from ...claim import Chart, Drawn, Line, Part, generator

STEPS, RATE = 1000, 0.02


def descend(seed: int, *, through_statistics: bool) -> tuple[list[float], list[float]]:
    """Return |w| and the loss at each step of x̂ = w u / σ(w u) under ½ E[(x̂ − a û)²], where a < 1."""
    random = generator(seed)
    u = torch.randn(32, generator=random, dtype=torch.float64)
    target = (u / u.square().mean().sqrt()) * torch.empty((), dtype=torch.float64).uniform_(0.3, 0.7, generator=random)
    w: Tensor = torch.ones((), dtype=torch.float64, requires_grad=True)
    sizes, losses = [], []
    for _ in range(STEPS):
        x = w * u
        deviation = x.square().mean().sqrt()
        loss = (x / (deviation if through_statistics else deviation.detach()) - target).square().mean() / 2
        (slope,) = torch.autograd.grad(loss, w)
        sizes.append(float(w.detach().abs()))
        losses.append(float(loss.detach()))
        w = (w - RATE * slope).detach().requires_grad_()
    return sizes, losses


def measure(seed: int) -> dict[str, float]:
    """Naive and aware descents."""
    sizes, losses = descend(seed, through_statistics=False)
    aware, _ = descend(seed, through_statistics=True)
    steps = torch.tensor(sizes).diff().abs()
    return {
        "largest change of |w| over the first": float(steps.max() / steps[0]),
        "largest loss over the first": max(losses) / losses[0],
        "movement of w with the gradient through σ": max(abs(size - 1) for size in aware),
    }


def draw() -> dict[str, Line]:
    """|w| against the step."""
    return {
        name: list(enumerate(descend(0, through_statistics=through)[0]))[:600:2]
        for name, through in (("σ taken for a constant", False), ("gradient through σ", True))
    }


CLAIM = Drawn(
    id="bias/scaling",
    order=203,
    statement="If a step also ignores how the scale depends on the weights, training blows up.",
    source="Ioffe & Szegedy 2015, Sec. 2",
    literature="observed in initial experiments: the model blows up",
    covers=("S2", "E5"),
    protocol=f"x̂ = w u/σ(w u), loss ½ E[(x̂ − a û)²] with a drawn from 0.3 to 0.7, one fixed batch of 32, {STEPS} "
    f"steps of rate {RATE:g}. The naive gradient grows like 1/|w| and points at 0: w shrinks faster and faster, then "
    "is thrown. Blows up: a change of |w| a hundred times the first, and a loss above the first one.",
    parts=(
        Part("largest change of |w| over the first", at_least=100),
        Part("largest loss over the first", at_least=1.5),
        Part("movement of w with the gradient through σ", at_most=1e-10),
    ),
    measure=measure,
    chart=Chart("The weight under scaling, step by step", "step", "|w|", draw),
)
