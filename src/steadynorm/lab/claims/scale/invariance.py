"""Eq 7: the output, the gradient below, and the gradient of the weights, under a·W."""

import torch
from torch import Tensor

from ....functional import batch_norm
from ...claim import Drawn, Part, generator, relative

FACTORS = (0.1, 0.5, 2.0, 10.0, 100.0)


def layer(weight: Tensor, u: Tensor, upstream: Tensor, *, eps: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return BN(Wu), and the gradients of u and W under a smooth loss of it."""
    weight, u = weight.detach().requires_grad_(), u.detach().requires_grad_()
    y, _ = batch_norm(u @ weight.T, eps=eps)
    du, dweight = torch.autograd.grad((upstream * y.tanh()).sum(), (u, weight))
    return y.detach(), du, dweight


def measure(seed: int) -> dict[str, float]:
    """One layer, its weights multiplied by several positive numbers."""
    random = generator(seed)
    weight = torch.randn(5, 8, generator=random, dtype=torch.float64)
    u = torch.randn(32, 8, generator=random, dtype=torch.float64)
    upstream = torch.randn(32, 5, generator=random, dtype=torch.float64)
    y, du, dweight = layer(weight, u, upstream)
    scaled = {a: layer(a * weight, u, upstream) for a in FACTORS}
    return {
        "change of the output": max(relative(s[0], y) for s in scaled.values()),
        "change of the gradient below": max(relative(s[1], du) for s in scaled.values()),
        "change of a times the weights' gradient": max(relative(a * s[2], dweight) for a, s in scaled.items()),
    }


CLAIM = Drawn(
    id="scale/invariance",
    order=401,
    statement="Multiplying the weights by a > 0 changes neither the output nor the gradient that goes on below, and "
    "makes the gradient of the weights a times smaller.",
    source="Ioffe & Szegedy 2015, Sec. 3.3; the article, Eq 7",
    literature="exact",
    covers=("S10",),
    protocol="A linear layer 8 → 5 with batch norm, a batch of 32, ε = 0, float64, a of "
    f"{', '.join(map(str, FACTORS))}.",
    parts=(
        Part("change of the output", at_most=1e-9, literature=0.0),
        Part("change of the gradient below", at_most=1e-9, literature=0.0),
        Part("change of a times the weights' gradient", at_most=1e-9, literature=0.0),
    ),
    measure=measure,
)
