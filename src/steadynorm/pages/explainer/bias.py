"""Figure 2: the bias that runs away when the gradient through the mean is left out, and what happens to a scale (Eq 1).

Letters: u the batch, b the bias, x = u + b, x̂ = x − E[x] (centring alone, as the paper tells it), t the target, ℓ the
loss, η the learning rate. For the scale: w a weight, x = w(u − E[u]), x̂ = x/σ, a the share of û that is asked for.
"""

from collections.abc import Callable

import altair as alt
import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import BLUE, ORANGE, draw, rows
from .frames import Choice, Figure, Slider
from .numerals import grouped, scientific

__all__ = [
    "RATE",
    "SCALE_RATE",
    "SHARE",
    "STEP",
    "TARGET",
    "batch",
    "build",
    "climb",
    "descend",
    "descend_scale",
    "stall",
]

RATE = 0.1
TARGET = 1.0
SCALE_RATE, SHARE = 0.01, 0.5
STEP = Slider("step", "training step", 0, 200, 1, 60)
NAIVE, AWARE, SCALE = range(3)


def batch() -> Tensor:
    """Eight values, (8, 1), float32."""
    return torch.randn(8, 1, generator=torch.Generator().manual_seed(7))


def descend(u: Tensor, *, aware: bool) -> dict[str, Tensor]:
    r"""Train b alone by gradient descent on :math:`\ell = \tfrac1m \sum_i \tfrac12 (\hat x_i - t)^2`.

    .. math:: \hat x = (u + b) - E[u + b], \qquad b \leftarrow b - \eta \frac{\partial\ell}{\partial b}

    Args:
        aware: take the gradient through E[x] too; otherwise E[x] counts as a constant.

    Returns: ``b``, ``gradient``, ``loss`` (201,) and the layer's output ``x_hat`` (201, 8), of every step.
    """

    def layer(b: Tensor) -> Tensor:
        x = u + b
        mean = F.batch_moments(x).mean
        return F.normalize(x, mean if aware else mean.detach(), torch.ones(1), eps=0.0)

    return _train(torch.zeros(1), layer, torch.tensor(TARGET), RATE)


def descend_scale(u: Tensor) -> dict[str, Tensor]:
    r"""Train a weight w alone, with σ taken for a constant.

    .. math:: \ell = \tfrac1m \sum_i \tfrac12 (\hat x_i - a\hat u_i)^2

    .. math:: \hat x = w(u - E[u])/\sigma, \qquad \sigma^2 = \mathrm{Var}[w(u - E[u])]

    The output has no part in w but its sign, yet the gradient points at 0 and grows like 1/|w|.
    """
    u = u - F.batch_moments(u).mean
    target = SHARE * F.normalize(u, torch.zeros(1), F.batch_moments(u).var, eps=0.0)

    def layer(w: Tensor) -> Tensor:
        x = w * u
        return F.normalize(x, torch.zeros(1), F.batch_moments(x).var.detach(), eps=0.0)

    return _train(torch.ones(1), layer, target, SCALE_RATE)


def _train(start: Tensor, layer: Callable[[Tensor], Tensor], target: Tensor, rate: float) -> dict[str, Tensor]:
    parameter = start.requires_grad_()
    trace: dict[str, list[Tensor]] = {name: [] for name in ("b", "gradient", "loss", "x_hat")}
    for _ in STEP.values:
        x_hat = layer(parameter)
        loss = (0.5 * (x_hat - target).square()).mean()
        (gradient,) = torch.autograd.grad(loss, parameter)
        for values, value in zip(trace.values(), (parameter[0], gradient[0], loss, x_hat[:, 0]), strict=True):
            values.append(value.detach().clone())
        with torch.no_grad():
            parameter -= rate * gradient
    return {name: torch.stack(values) for name, values in trace.items()}


def stall(increment: float) -> float:
    """The power of two at which a float32 no longer grows when ``increment`` is added."""
    b = torch.ones(())
    while b + increment != b:
        b = b * 2
    return float(b)


def climb(increment: float, marks: int = 60) -> tuple[Tensor, Tensor]:
    """Add ``increment`` to a float32 again and again until it no longer grows.

    Returns: some of the counts of additions, evenly spread on a logarithmic axis, and the values after them; the last
    are those at which it stalls.
    """
    parts, stalled = [np.zeros(1, np.float32)], False
    while not stalled:
        terms = np.full(1_000_000, increment, np.float32)
        terms[0] = parts[-1][-1]
        parts.append(np.add.accumulate(terms)[1:])  # one rounded addition after the other, as descent makes them
        stalled = parts[-1][0] == parts[-1][-1]
    curve = np.concatenate(parts)
    end = int(np.argmax(curve == curve[-1]))
    counts = np.unique(np.geomspace(1, end, marks).round().astype(int))
    return torch.from_numpy(counts), torch.from_numpy(curve[counts])


def build() -> Figure:
    """Return the figure: a frame for every step, in three modes."""
    u = batch()
    traces = [descend(u, aware=False), descend(u, aware=True), descend_scale(u)]
    arrays = {name: torch.stack([trace[name] for trace in traces], dim=1) for name in traces[0]}
    arrays["moved"] = (arrays["x_hat"] - arrays["x_hat"][0]).abs().amax(-1)
    counts, climbed = climb(RATE)
    last = int(STEP.high)
    facts = {
        "rate": f"{RATE:g}",
        "b": f"{arrays['b'][last, NAIVE]:.1f}",
        "gradient": f"{arrays['gradient'][0, NAIVE]:.0f}".replace("-", "−"),
        "steps": str(last),
        "moved": scientific(float(arrays["moved"][:, NAIVE].max())),
        "loss": f"{arrays['loss'][last, NAIVE]:.3f}",
        "stall": grouped(stall(RATE)),
        "stall_steps": f"{counts[-1] / 1e6:.0f}",
    }
    return Figure(
        name="bias",
        caption="Above, the bias b at every step; below, the eight outputs of the layer (thin) and the loss (thick). "
        "Drag either chart sideways to scrub through training. In the third mode a weight w takes the place of b.",
        sentence=f"With the mean taken as a constant, b is at {facts['b']} after {last} steps while the loss is still "
        f"{facts['loss']}. With the gradient through the mean, b stays at 0.",
        picture=_picture(arrays["b"]),
        controls=(
            STEP,
            Choice("gradient", "descent takes", ("E[x] for a constant", "nothing for a constant", "σ for a constant")),
        ),
        arrays=arrays | {"climb_steps": counts, "climb": climbed},
        facts=facts,
    )


def _picture(b: Tensor) -> Markup:
    steps = torch.arange(len(b))

    def line(values: Tensor, colour: str, text: str) -> alt.LayerChart | alt.FacetChart:
        x, y = alt.X("step:Q", title="training step"), alt.Y("b:Q", title="bias b")
        curve = rows(step=steps, b=values)
        label = rows(step=[steps[-60].item()], b=[values[-60].item()], text=[text])
        return alt.layer(
            curve.mark_line(color=colour).encode(x, y),
            label.mark_text(align="right", dx=-8, dy=-8).encode(x, y, text="text:N"),
        )

    lines = (line(b[:, NAIVE], ORANGE, "E[x] for a constant"), line(b[:, AWARE], BLUE, "nothing for a constant"))
    return draw(alt.layer(*lines).properties(width=340, height=180))
