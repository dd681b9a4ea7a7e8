"""Figure: weights before batch norm have a direction that counts and a length that does not (Eq 7).

Letters: u a batch of examples of two features, w two weights, y = BN(uw) at ε = 0, t the targets, ℓ the loss, η the
rate, λ the weight decay. The script computes the same in float64.
"""

import math

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import INK, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["BATCH", "DECAYS", "DIRECTION", "LENGTH", "RATE", "STEPS", "build", "data", "descend", "gradient", "weights"]

BATCH, STEPS = 8, 240
DECAYS = (0.0, 0.02)
LENGTH = Slider("length", "length ‖w‖", 0.25, 4.0, 0.05, 1.0, continuous=True)
DIRECTION = Slider("direction", "direction (°)", 0.0, 359.0, 1.0, 150.0)
RATE = Slider("rate", "learning rate η", 0.1, 3.0, 0.1, 1.0)


def data() -> tuple[Tensor, Tensor]:
    """32 examples: u (32, 2), its features correlated; and t (32,), noisy, of mean 0 and variance 1."""
    draws = torch.randn(32, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    u = draws[:, :2] @ torch.tensor([[1.0, 0.5], [0.0, 0.8]], dtype=torch.float64)
    t = u @ torch.tensor([0.8, 0.6], dtype=torch.float64) + draws[:, 2]
    return u, F.batch_norm(t[:, None], eps=0.0)[0][:, 0]


def weights(length: float, degrees: float) -> Tensor:
    """Return w of a length and a direction, (1, 2)."""
    angle = math.radians(degrees)
    return length * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


def gradient(w: Tensor, u: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""y (m, n), :math:`\ell = \tfrac1m \sum_i \tfrac12 (y_i - t_i)^2` (n,) and ∂ℓ/∂w (n, 2), for each row of w."""
    w = w.detach().requires_grad_()
    y, _ = F.batch_norm(u @ w.T, eps=0.0)
    loss = 0.5 * (y - t[:, None]).square().mean(0)
    return y.detach(), loss.detach(), torch.autograd.grad(loss.sum(), w)[0]


def descend(w: Tensor, rate: float, decay: float | Tensor = 0.0) -> Tensor:
    r"""Each row of w at every step, (STEPS + 1, n, 2), each step on the next eight examples.

    .. math:: w \leftarrow w - \eta(\partial\ell/\partial w + \lambda w)
    """
    u, t = data()
    path = [w]
    for step in range(STEPS):
        rows_of = [(step * BATCH + i) % len(t) for i in range(BATCH)]
        w = w - rate * (gradient(w, u[rows_of], t[rows_of])[2] + decay * w)
        path.append(w)
    return torch.stack(path)


def build() -> Figure:
    """Return the figure: the examples, from which the script computes all."""
    u, t = data()
    start = weights(LENGTH.start, DIRECTION.start)
    slope = float(gradient(start, u, t)[2].norm())
    decay = torch.tensor([[0.0], [0.0], [0.0], [DECAYS[1]]], dtype=torch.float64)
    norms = descend(torch.cat([start / 2, start, 2 * start, start]), RATE.start, decay).norm(dim=-1)
    lengths, decayed = dict(zip((0.5, 1.0, 2.0), norms.T, strict=False)), norms[:, 3]
    facts = {
        "slope": f"{slope:.3f}",
        "slope_twice": f"{float(gradient(2 * start, u, t)[2].norm()):.3f}",
        "end": f"{float(lengths[1.0][-1]):.2f}",
        "decayed": f"{float(decayed[-1]):.2f}",
        "steps": str(STEPS),
    }
    told = ", ".join(f"from {length:g} to {float(path[-1]):.2f}" for length, path in lengths.items())
    return Figure(
        name="scale",
        caption="The two weights of a unit with batch norm, as an arrow. The line around tells the loss by direction, "
        "the further out the higher; length does not enter. The short arrow is the gradient step η·∂ℓ/∂w on all "
        f"examples, at a right angle to w; the dots are {STEPS} steps from there, on eight examples each. On the "
        "right, in grey, the same from length 1. Drag the arrow’s tip.",
        sentence=f"At length 1 the gradient of the weights has length {facts['slope']}, at length 2 "
        f"{facts['slope_twice']}, and the output is the same. In {STEPS} steps of descent the length grows {told}.",
        picture=_picture(lengths),
        controls=(
            LENGTH,
            DIRECTION,
            RATE,
            Choice("decay", "weight decay λ", tuple(f"{decay:g}" if decay else "none" for decay in DECAYS)),
        ),
        arrays={},
        values={
            "u": u.T.tolist(),
            "t": t.tolist(),
            "batch": BATCH,
            "steps": STEPS,
            "decays": DECAYS,
        },
        facts=facts,
    )


def _picture(lengths: dict[float, Tensor]) -> Markup:
    x = alt.X("step:Q", title="step of descent")
    y = alt.Y("length:Q", title="length ‖w‖", scale=alt.Scale(zero=True))
    every = slice(None, None, 4)
    layers = [
        rows(step=list(range(len(norms)))[every], length=norms[every])
        .mark_line(color="var(--with)", strokeDash=dash)
        .encode(x, y)
        for norms, dash in zip(lengths.values(), ([2, 3], [1, 0], [8, 3]), strict=True)
    ]
    labels = rows(
        step=[0] * len(lengths),
        length=[float(norms[0]) for norms in lengths.values()],
        text=[f"from {length:g}" for length in lengths],
    ).mark_text(align="left", dx=24, dy=14, color=INK)
    return draw(alt.layer(*layers, labels.encode(x, y, text="text:N")).properties(width=340, height=200))
