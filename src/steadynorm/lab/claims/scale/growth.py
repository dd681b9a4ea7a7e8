"""How the norm of scale-invariant weights grows."""

import math
from itertools import pairwise

import torch

from ....functional import batch_norm
from ...claim import Chart, Drawn, Line, Part, generator

STEPS, RATE = 1500, 5.0


def norms(seed: int) -> list[float]:
    """Return ‖w‖ before each step of descent on a new random batch and a new random loss each time."""
    random = generator(seed)
    w = torch.randn(16, generator=random, dtype=torch.float64) / 4
    sizes = []
    for _ in range(STEPS):
        u, upstream = torch.randn(2, 64, 16, generator=random, dtype=torch.float64)
        at = w.requires_grad_()
        y, _ = batch_norm((u @ at)[:, None], eps=0.0)
        (slope,) = torch.autograd.grad((y[:, 0] * upstream[:, 0]).mean(), at)
        sizes.append(float(w.detach().norm()))
        w = (w - RATE * slope).detach()
    return sizes


def measure(seed: int) -> dict[str, float]:
    """The norm's growth in its last nine tenths."""
    sizes = norms(seed)
    late = range(STEPS // 10, STEPS)
    x = torch.tensor([math.log(step) for step in late])
    y = torch.tensor([math.log(sizes[step]) for step in late])
    x, y = x - x.mean(), y - y.mean()
    falls = sum(after < before for before, after in pairwise(sizes))
    return {
        "norm at the end over that half way": sizes[-1] / sizes[STEPS // 2],
        "exponent of ‖w‖ against the step": float((x * y).sum() / x.square().sum()),
        "steps at which the norm fell": falls,
        "growth in the first tenth over that in the last": (sizes[STEPS // 10] - sizes[0])
        / (sizes[-1] - sizes[-STEPS // 10]),
    }


def draw() -> dict[str, Line]:
    """‖w‖ against the step."""
    sizes = norms(0)
    points = sorted({round(10 ** (k / 20)) for k in range(20, 20 * 4)} & set(range(STEPS)))
    return {"measured": [(step, sizes[step]) for step in points]}


CLAIM = Drawn(
    id="scale/growth",
    order=404,
    statement="Batch norm stabilizes the growth of the weights: larger weights grow less, until they stop.",
    source="Ioffe & Szegedy 2015, Sec. 3.3 (“will stabilize the parameter growth”); the article, Eq 7",
    literature="no number",
    covers=("S10", "E6"),
    protocol=f"One unit of 16 weights, batch norm at ε = 0, {STEPS} steps of rate {RATE:g} without decay or "
    "momentum, each on a new random batch of 64 and a new random linear loss, so that only the weights' size "
    "changes the gradient. Stop: less than 1 % from half way to the end.",
    parts=(
        Part("growth in the first tenth over that in the last", at_least=2.0, by="mean"),
        Part("norm at the end over that half way", at_most=1.01, by="mean"),
        Part("exponent of ‖w‖ against the step", literature=0.25, role="shown", by="mean"),
        Part("steps at which the norm fell", literature=0.0, role="shown"),
    ),
    measure=measure,
    draws={"smoke": 2, "quick": 5, "full": 10},
    instead="Growth slows but does not stop: without decay the norm never falls, and grows like the step to the "
    "power {exponent of ‖w‖ against the step}; from half way to the end by {norm at the end over that half way} "
    "times.",
    chart=Chart("Growth of the weights' norm", "step", "‖w‖", draw, log_x=True, log_y=True),
)
