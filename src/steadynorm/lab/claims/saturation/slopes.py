"""The sigmoid's slope at 0 and at 5."""

import torch
from torch import Tensor

from ...claim import Drawn, Part


def slope(x: Tensor) -> Tensor:
    """Return the sigmoid's derivative at each x, by differentiation."""
    at = x.detach().double().requires_grad_()
    return torch.autograd.grad(torch.sigmoid(at).sum(), at)[0]


def measure(seed: int) -> dict[str, float]:
    """Nothing is drawn: every draw is the same."""
    at_0, at_5 = slope(torch.tensor([0.0, 5.0])).tolist()
    return {"slope at 0": at_0, "slope at 5": at_5}


CLAIM = Drawn(
    id="saturation/slopes",
    order=101,
    statement="A sigmoid's slope is 0.25 in the middle and about 0.0066 at 5.",
    source="the article, drifting inputs; Ioffe & Szegedy 2015, Sec. 2.1, on saturation",
    literature="0.25 and 0.0066",
    covers=("S1",),
    protocol="The derivative of torch's sigmoid in float64, by automatic differentiation; held to the digits printed.",
    parts=(
        Part("slope at 0", 0.2495, 0.2505, literature=0.25),
        Part("slope at 5", 0.00655, 0.00665, literature=0.0066),
    ),
    measure=measure,
    draws={"smoke": 1, "quick": 1, "full": 1},
)
