"""The six formulas of the backward pass are the gradient."""

import torch
from torch import Tensor

from ....functional import batch_norm, batch_norm_backward
from ...claim import Drawn, Part, generator, relative

H = 1e-6


def measure(seed: int) -> dict[str, float]:
    """Random input, γ, β and upstream gradient."""
    random = generator(seed)
    x, dy = torch.randn(2, 16, 4, generator=random, dtype=torch.float64)
    gamma, beta = torch.randn(2, 4, generator=random, dtype=torch.float64)
    eps = 1e-5

    def loss(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        total: Tensor = (batch_norm(x, gamma, beta, eps=eps)[0] * dy).sum()
        return total

    ours = batch_norm_backward(dy, x, gamma, batch_norm(x, eps=eps)[1], eps=eps)
    inputs = [v.clone().requires_grad_() for v in (x, gamma, beta)]
    theirs = torch.autograd.grad(loss(*inputs), inputs)
    numeric = torch.empty_like(x)
    for i in range(x.numel()):
        step = torch.zeros_like(x).flatten().index_fill(0, torch.tensor(i), H).reshape(x.shape)
        numeric.view(-1)[i] = (loss(x + step, gamma, beta) - loss(x - step, gamma, beta)) / (2 * H)

    x_hat, moments = batch_norm(x, eps=0.0)
    dx, _, _ = batch_norm_backward(dy, x, gamma, moments, eps=0.0)
    return {
        "error against automatic differentiation": max(relative(a, b) for a, b in zip(ours, theirs, strict=True)),
        "error against finite differences": relative(ours[0], numeric),
        "sum of ∂ℓ/∂x": float(dx.sum(0).abs().max()),
        "sum of ∂ℓ/∂x times x̂": float((dx * x_hat).sum(0).abs().max()),
    }


CLAIM = Drawn(
    id="transform/gradients",
    order=301,
    statement="The six chain-rule formulas are the gradient of the transform.",
    source="Ioffe & Szegedy 2015, Sec. 3; the article, Eq 4",
    literature="exact",
    covers=("S3", "S7"),
    protocol="16 values of 4 features, random γ, β and upstream gradient, float64, ε = 1e-5; the two sums, which "
    f"must vanish since shifting or stretching a batch changes nothing, at ε = 0. Central differences of step {H:g}.",
    parts=(
        Part("error against automatic differentiation", at_most=1e-12),
        Part("error against finite differences", at_most=1e-6),
        Part("sum of ∂ℓ/∂x", at_most=1e-12, literature=0.0),
        Part("sum of ∂ℓ/∂x times x̂", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
)
