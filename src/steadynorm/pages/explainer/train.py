r"""Figure: two small networks trained as one watches, with and without batch norm, on the same batches.

Letters: h a layer's input (m, features), W its weights, z = hWᵀ, y = BN(z) or z + b, act(y) the next layer's input;
ℓ the logistic loss on one batch, η the rate of :math:`\theta \leftarrow \theta - \eta\,\partial\ell/\partial\theta`.
The script computes the same in float64, as fast as it is asked to.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ... import functional as F
from .drawing import BLUE, ORANGE, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["ACTIVATIONS", "BATCHES", "DEPTHS", "EPS", "RATES", "STEPS", "WIDTH", "build", "data", "descend", "weights"]

WIDTH, EXAMPLES, STEPS, EPS = 12, 256, 200, 1e-5
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DEPTHS, BATCHES = (2, 4, 8), (4, 16, 64)
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
STEP = Slider("step", "step", 0, STEPS, 1, 120)
RATE = Slider("rate", "learning rate η", 0, len(RATES) - 1, 1, RATES.index(1.0))


class Run(NamedTuple):
    """What came of one network: ℓ before each step, and its parameters after the last."""

    losses: list[float]
    parameters: list[Tensor]


def data() -> tuple[Tensor, Tensor]:
    """Points of two spirals, shuffled, (256, 2), in float32; and on which of the two each lies."""
    random = torch.Generator().manual_seed(6)
    turn = torch.linspace(0.3, 2.0, EXAMPLES // 2).repeat(2) * math.pi
    t = torch.arange(EXAMPLES) // (EXAMPLES // 2)
    angle = turn + t * math.pi
    x = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 3 + 0.08 * torch.randn(EXAMPLES, 2, generator=random)
    order = torch.randperm(EXAMPLES, generator=random)
    return x[order], t[order]


def weights() -> list[Tensor]:
    """Normal weights in float32: of the first layer, of as many hidden ones as the deepest network has, of the last."""
    random = torch.Generator().manual_seed(7)
    shapes = [(WIDTH, 2), *[(WIDTH, WIDTH)] * (max(DEPTHS) - 1), (1, WIDTH)]
    return [torch.randn(shape, generator=random) / shape[1] ** 0.5 for shape in shapes]


def descend(depth: int, activation: str, m: int, rate: float, batch_norm: bool, steps: int) -> Run:
    """Train one network by gradient descent on batch after batch, in float64.

    Weights have variance 2/features before ReLUs (He) and 1/features else; γ = 1, β = b = 0.
    """
    x, t = (value.double() for value in data())
    drawn = [w.double() for w in weights()]
    gain = 2**0.5 if activation == "ReLU" else 1.0
    hidden = [gain * w for w in drawn[:depth]]
    scales = [torch.ones(WIDTH, dtype=torch.float64) for _ in hidden] if batch_norm else []
    shifts = [torch.zeros(WIDTH, dtype=torch.float64) for _ in hidden]
    parameters = [*hidden, *shifts, *scales, drawn[-1], torch.zeros(1, dtype=torch.float64)]
    losses = []
    for step in range(steps):
        parameters = [p.detach().requires_grad_() for p in parameters]
        rows_of = torch.arange(step * m, (step + 1) * m) % EXAMPLES
        h = x[rows_of]
        for k in range(depth):
            z, shift = h @ parameters[k].T, parameters[depth + k]
            y = F.batch_norm(z, parameters[2 * depth + k], shift, eps=EPS)[0] if batch_norm else z + shift
            h = ACTIVATIONS[activation](y)
        loss = binary_cross_entropy_with_logits((h @ parameters[-2].T + parameters[-1])[:, 0], t[rows_of])
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        parameters = [p - rate * g for p, g in zip(parameters, gradients, strict=True)]
    return Run(losses, [p.detach() for p in parameters])


def build() -> Figure:
    """Return the figure: the points and the weights, from which the script trains."""
    x, t = data()
    depth, activation, m, rate = 4, "sigmoid", 64, RATES[int(RATE.start)]
    shown = {bn: descend(depth, activation, m, rate, bn, STEPS).losses for bn in (False, True)}
    end = {bn: math.fsum(losses[-20:]) / 20 for bn, losses in shown.items()}
    return Figure(
        name="train",
        caption=f"Two networks learn to tell two spirals apart, {EXAMPLES} points, from the same weights on the same "
        f"batches at the same rate; each hidden layer has {WIDTH} features. Above, the loss on each batch before its "
        "step, and the mean of the last ten. Below, for every layer from the last to the first, how the inputs of its "
        "nonlinearity are spread, from −4 to 4, and the sizes of an example’s gradient there, from 10⁻⁸ to 10. Drag "
        "the upper chart sideways.",
        sentence=f"{depth} layers of sigmoids, batches of {m}, rate {rate:g}: in the last 20 of {STEPS} steps the loss "
        f"is {end[False]:.3f} without batch norm and {end[True]:.3f} with it.",
        picture=_picture(shown),
        controls=(
            Choice("activation", "nonlinearity", tuple(ACTIVATIONS), list(ACTIVATIONS).index(activation)),
            Choice("depth", "hidden layers", tuple(map(str, DEPTHS)), DEPTHS.index(depth)),
            Choice("batch", "examples in the batch, m", tuple(map(str, BATCHES)), BATCHES.index(m)),
            STEP,
            RATE,
        ),
        arrays={"x": x.T, "t": t, "weights": torch.cat([w.flatten() for w in weights()])},
        values={"width": WIDTH, "rates": RATES, "depths": DEPTHS, "batches": BATCHES, "steps": STEPS, "eps": EPS},
        facts={"without": f"{end[False]:.2f}", "with": f"{end[True]:.2f}", "steps": str(STEPS)},
    )


def _picture(shown: Mapping[bool, list[float]]) -> Markup:
    x, y = alt.X("step:Q", title="step"), alt.Y("loss:Q", title="loss on the batch")
    curves = [
        rows(step=range(STEPS), loss=losses).mark_line(color=BLUE if bn else ORANGE).encode(x, y)
        for bn, losses in shown.items()
    ]
    names = rows(
        step=[20, 120], loss=[shown[False][20] + 0.1, shown[True][120] - 0.1], text=["without batch norm", "with"]
    ).mark_text(align="left")
    return draw(alt.layer(*curves, names.encode(x, y, text="text:N")).properties(width=340, height=200))
