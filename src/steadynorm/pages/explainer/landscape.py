r"""Figure: the loss along the gradient, with and without batch norm, plainly and relative to the weights.

Letters: W the weights of a layer, g = ∂ℓ/∂W on one batch, η how far the walk goes. All on the batch of g:

.. math:: W \leftarrow W - \eta g \qquad\text{or, layer by layer,}\qquad W \leftarrow W - \eta \|W\| \, g / \|g\|
"""

from itertools import pairwise
from typing import NamedTuple

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor
from torch.nn.functional import cross_entropy

from ... import functional as F
from .drawing import BLUE, ORANGE, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["ARMS", "MEASURES", "STEP", "Arm", "build", "data", "descend", "loss", "walk", "weights"]

SIZES, EXAMPLES, BATCH, RATE = (16, 32, 32, 32, 32, 4), 512, 64, 0.2
STEP = Slider("step", "step of training", 0, 160, 10, 40)
POINTS = 17
MEASURES = {"W − ηg": 4 * RATE, "relative to ‖W‖": 0.1}  # how far the walk goes

Weights = list[Tensor]


class Arm(NamedTuple):
    """A network: has it batch norm, and by what its hidden layers' weights are multiplied before training."""

    batch_norm: bool
    scale: float


ARMS = {
    "without batch norm": Arm(False, 1.0),
    "with batch norm": Arm(True, 1.0),
    "with, weights ×4": Arm(True, 4.0),
}


def data() -> tuple[Tensor, Tensor]:
    """Normal inputs (512, 16), and of which of four classes a random network says that they are."""
    random = torch.Generator().manual_seed(3)
    x, first, second = (
        torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((EXAMPLES, 16), (16, 24), (24, 4))
    )
    return x, ((x @ first / 4).tanh() @ second).argmax(1)


def weights(scale: float) -> Weights:
    """He's weights, those of the hidden layers multiplied; the last layer has no batch norm behind it."""
    random = torch.Generator().manual_seed(4)
    drawn = [torch.randn(o, i, generator=random, dtype=torch.float64) * (2 / i) ** 0.5 for i, o in pairwise(SIZES)]
    return [scale * w for w in drawn[:-1]] + drawn[-1:]


def loss(ws: Weights, x: Tensor, t: Tensor, batch_norm: bool) -> Tensor:
    """Cross-entropy of a network of linear layers and ReLUs; ε = 0, so that the length of hidden weights is nothing."""
    h = x
    for w in ws[:-1]:
        z = h @ w.T
        h = (F.batch_norm(z, eps=0.0)[0] if batch_norm else z).relu()
    return cross_entropy(h @ ws[-1].T, t)


def walk(ws: Weights, x: Tensor, t: Tensor, batch_norm: bool) -> tuple[Tensor, Weights]:
    """The loss along the gradient by both measures, (measures, POINTS), and the gradient."""
    ws = [w.detach().requires_grad_() for w in ws]
    gradients = list(torch.autograd.grad(loss(ws, x, t, batch_norm), ws))
    with torch.no_grad():
        units = [w.norm() * g / g.norm() for w, g in zip(ws, gradients, strict=True)]
        found = [
            loss([w - eta * d for w, d in zip(ws, directions, strict=True)], x, t, batch_norm)
            for directions, far in zip((gradients, units), MEASURES.values(), strict=True)
            for eta in torch.linspace(0, far, POINTS, dtype=torch.float64)
        ]
    return torch.stack(found).view(len(MEASURES), POINTS), gradients


def descend(arm: Arm) -> Tensor:
    """Train by stochastic gradient descent, and walk at every step that is shown, (steps, measures, POINTS)."""
    (x, t), ws, found = data(), weights(arm.scale), []
    for step in range(int(STEP.high) + 1):
        rows_of = torch.arange(step * BATCH, (step + 1) * BATCH) % EXAMPLES
        along, gradients = walk(ws, x[rows_of], t[rows_of], arm.batch_norm)
        if step % STEP.step == 0:
            found.append(along)
        ws = [w - RATE * g for w, g in zip(ws, gradients, strict=True)]
    return torch.stack(found)


def build() -> Figure:
    """Return the figure: three networks, walked from at every tenth step."""
    along = torch.stack([descend(arm) for arm in ARMS.values()], dim=2)  # (steps, measures, arms, POINTS)
    spread = along.amax(-1) - along.amin(-1)
    start, means = STEP.frame(STEP.start), spread.mean(0)
    told = ", ".join(f"{name} by {float(value):.2f}" for name, value in zip(ARMS, spread[start, 0], strict=True))
    names = ("without", "with", "scaled")
    return Figure(
        name="landscape",
        caption=f"Three networks of {len(SIZES) - 1} layers in training, from the same weights on the same batches, at "
        f"rate {RATE:g}; one begins with hidden weights four times as long, which batch norm makes the same function. "
        "On the left the loss as one walks from the present weights along the gradient, up to four times the training "
        "step, or up to a tenth of each layer’s length. On the right by how much it varies on the way, at every tenth "
        "step. Drag the right chart sideways.",
        sentence=f"At step {STEP.start:g} the loss varies along the gradient, {told}.",
        picture=_picture(spread[:, 0]),
        controls=(Choice("measure", "how far to walk", tuple(MEASURES)), STEP),
        arrays={"along": along, "spread": spread},
        values={"names": list(ARMS), "ends": list(MEASURES.values()), "points": POINTS},
        facts={
            f"{kind}_{name}": f"{float(means[k, i]):.2f}"
            for k, kind in enumerate(("plain", "relative"))
            for i, name in enumerate(names)
        },
    )


def _picture(spread: Tensor) -> Markup:
    x = alt.X("step:Q", title="step of training")
    y = alt.Y("range:Q", title="range of the loss along the gradient", scale=alt.Scale(type="log"))
    looks = ((ORANGE, [1, 0]), (BLUE, [1, 0]), (BLUE, [9, 3]))
    curves = [
        rows(step=STEP.values, range=values).mark_line(color=colour, strokeDash=dash).encode(x, y)
        for values, (colour, dash) in zip(spread.T, looks, strict=True)
    ]
    names = rows(step=[60.0] * len(ARMS), range=spread[6], text=list(ARMS)).mark_text(align="left", dy=-10)
    return draw(alt.layer(*curves, names.encode(x, y, text="text:N")).properties(width=340, height=200))
