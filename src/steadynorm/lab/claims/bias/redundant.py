"""A bias in front of batch norm has no gradient and no effect."""

import torch
from torch import Tensor, nn

from ....nn import BatchNorm1d, BatchNorm2d
from ...claim import Drawn, Part, relative


def effects(linear: nn.Linear | nn.Conv2d, norm: nn.Module, u: Tensor) -> tuple[float, float]:
    """Return the bias's largest gradient over the weight's, and how far the output moves without the bias."""
    linear, norm, u = linear.double(), norm.double(), u.double()
    bias = linear.get_parameter("bias")
    loss = norm(linear(u)).sigmoid().square().sum()
    of_bias, of_weight = torch.autograd.grad(loss, (bias, linear.weight))
    with torch.no_grad():
        with_bias = norm(linear(u))
        bias.zero_()
        return float(of_bias.abs().max() / of_weight.abs().max()), relative(norm(linear(u)), with_bias)


def measure(seed: int) -> dict[str, float]:
    """A linear layer and a convolution, each followed by batch norm and a sigmoid."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear, convolution = nn.Linear(8, 5), nn.Conv2d(3, 5, 3, padding=1)
        rows, images = torch.randn(32, 8), torch.randn(8, 3, 6, 6)
    found = [effects(linear, BatchNorm1d(5), rows), effects(convolution, BatchNorm2d(5), images)]
    gradients, changes = zip(*found, strict=True)
    return {
        "gradient of the bias over that of the weight": max(gradients),
        "change of the output without the bias": max(changes),
    }


CLAIM = Drawn(
    id="bias/redundant",
    order=204,
    statement="A layer that is followed by batch norm needs no bias: its gradient is 0, and leaving it out changes "
    "nothing.",
    source="Ioffe & Szegedy 2015, Sec. 3.2; the article, Eq 1 and placement",
    literature="exactly 0",
    covers=("S2", "S6"),
    protocol="A linear layer and a padded convolution before batch norm and sigmoid, training mode, float64. Exact "
    "up to rounding: 1e-12 of the weight's gradient, and of the output.",
    parts=(
        Part("gradient of the bias over that of the weight", at_most=1e-12, literature=0.0),
        Part("change of the output without the bias", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
)
