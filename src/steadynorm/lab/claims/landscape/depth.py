"""How gradients grow over depth at initialization, beside the closed-form law."""

from collections.abc import Callable
from math import acos, asin, cos, pi, sin

import torch
from torch import Tensor

from ....functional import batch_norm, whitening_matrix
from ...claim import NOISY, Chart, Drawn, Line, Part, generator

WIDTH, LAYERS = 384, 24
NARROW = 64  # of the whitened chain

Nonlinearity = Callable[[Tensor], Tensor]


def linear_law(m: int) -> float:
    """Return the growth of the squared gradient a layer without nonlinearity: (m − 2)/(m − 3)."""
    return (m - 2) / (m - 3)


def relu_law(m: int) -> float:
    r"""Return the growth of the squared gradient a layer with ReLU, in wide networks; it falls to π/(π − 1).

    A centred feature is √m·u with u uniform on a sphere of m − 1 dimensions, whose length is that of a normal vector of
    variance λ. With G = 1 − 11ᵀ/m, which takes the mean away, and D, which is 1 where u > 0 and 0 elsewhere,

    .. math:: \frac{m}{\lambda (m-3)} \cdot \frac{E\,\mathrm{tr}((G - uu^T) D G D)}{m-1}, \qquad
              \lambda = \frac12 - \frac{J}{2\pi}, \quad J = \sin\theta + (\pi - \theta)\cos\theta, \quad
              \cos\theta = \rho = \frac{-1}{m-1}
    """
    rho = -1 / (m - 1)
    theta = acos(rho)
    j = sin(theta) + (pi - theta) * cos(theta)
    both = 1 / 4 + asin(rho) / (2 * pi)  # the chance that two values are positive
    of_g = m / 2 * (1 - 1 / m) ** 2 + (m - 1) / m * both
    of_u = 1 / 2 - (1 / 2 + (m - 1) * j / (2 * pi)) / m
    return m / ((1 / 2 - j / (2 * pi)) * (m - 3)) * (of_g - of_u) / (m - 1)


def gradients(seed: int, m: int, nonlinearity: Nonlinearity) -> list[float]:
    """Return the squared gradient of a random linear function of the last layer's output, by layer."""
    random = generator(seed)
    h = torch.randn(m, WIDTH, generator=random, dtype=torch.float64, requires_grad=True)
    layers = [h]
    for _ in range(LAYERS):
        weight = torch.randn(WIDTH, WIDTH, generator=random, dtype=torch.float64) / WIDTH**0.5
        h = nonlinearity(batch_norm(h, eps=0.0)[0]) @ weight.T
        layers.append(h)
    direction = torch.randn(m, WIDTH, generator=random, dtype=torch.float64)
    return [float(g.square().sum()) for g in torch.autograd.grad((h * direction).sum(), layers)]


def growth(squares: list[float]) -> float:
    """Return the factor a layer, the first and the last two layers left out."""
    return float((squares[2] / squares[-3]) ** (1 / (len(squares) - 5)))


def whitened(seed: int) -> list[float]:
    """Return the squared gradients of a chain of linear layers, each whitened with the statistics of white inputs."""
    random = generator(seed)
    g = torch.randn(NARROW, generator=random, dtype=torch.float64)
    squares = [float(g.square().sum())]
    for _ in range(LAYERS):
        weight = torch.randn(NARROW, NARROW, generator=random, dtype=torch.float64)
        g = (whitening_matrix((weight @ weight.T)[None], eps=0.0)[0] @ weight).T @ g
        squares.append(float(g.square().sum()))
    return squares[::-1]


def measure(seed: int) -> dict[str, float]:
    """Networks of one draw."""
    return {
        **{f"ReLU, batch of {m}": growth(gradients(seed, m, torch.relu)) for m in (8, 32, 128)},
        "linear, batch of 8": growth(gradients(seed, 8, torch.positive)),
        "tanh, batch of 32": growth(gradients(seed, 32, torch.tanh)),
        "sigmoid, batch of 32": growth(gradients(seed, 32, torch.sigmoid)),
        "linear, whitened": growth(whitened(seed)),
    }


def draw() -> dict[str, Line]:
    """Squared gradients by layer, relative to the last."""
    lines = {f"ReLU, batch of {m}": gradients(0, m, torch.relu) for m in (8, 32, 128)} | {"whitened": whitened(0)}
    return {name: [(i, s / squares[-1]) for i, s in enumerate(squares)] for name, squares in lines.items()}


def of_law(name: str, law: float) -> Part:
    """Return the part that asks for a law's growth, within 2 %."""
    return Part(name, 0.98 * law, 1.02 * law, literature=round(law, 4), by="mean")


CLAIM = Drawn(
    id="landscape/depth",
    order=704,
    statement="At initialization batch norm makes the squared gradient grow by a constant factor a layer, by "
    "π/(π − 1) = 1.467 and more with ReLU and above 1 with every nonlinearity, while whitening keeps its length.",
    source="Yang et al. 2019 (arXiv:1902.08129), Theorems 8 and 9; the article, Jacobian",
    literature="by the batch's size m: ReLU 1.788 at 8, 1.522 at 32, 1.480 at 128; linear (m − 2)/(m − 3)",
    covers=("S11",),
    protocol=f"{LAYERS} layers of {WIDTH} features, normal weights of variance 1/{WIDTH}, ε = 0, float64; the factor a "
    "layer between the third layer and the third from the end. The laws are those of infinite width, the finite batch "
    f"worked out in the code; within 2 %. Whitened: linear layers of {NARROW}, statistics of the population, within "
    "1e-6 of 1. This is initialization: what steps of training change is not judged here.",
    parts=(
        *(of_law(f"ReLU, batch of {m}", relu_law(m)) for m in (8, 32, 128)),
        of_law("linear, batch of 8", linear_law(8)),
        Part("tanh, batch of 32", at_least=1.0, by="mean"),
        Part("sigmoid, batch of 32", at_least=1.0, by="mean"),
        Part("linear, whitened", 1 - 1e-6, 1 + 1e-6, literature=1.0),
    ),
    measure=measure,
    draws=NOISY,
    instead="The squared gradient grows a layer by {ReLU, batch of 8}, {ReLU, batch of 32} and {ReLU, batch of 128} "
    "with ReLU, by {linear, batch of 8} without.",
    chart=Chart(
        "Squared gradient by layer at initialization", "layer", "relative to the last layer's", draw, log_y=True
    ),
)
