"""Figure 2: the bias that runs away when the gradient through the mean is left out (Eq 1 of the paper's account).

Letters: u the batch, b the bias, x = u + b, x̂ = x − E[x] (centring alone, as the paper tells it), t the target, ℓ the
loss, η the learning rate.
"""

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import BLUE, ORANGE, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["RATE", "STEP", "TARGET", "batch", "build", "descend", "stall"]

RATE = 0.1
TARGET = 1.0
STEP = Slider("step", "training step", 0, 200, 1, 60)
NAIVE, AWARE = 0, 1


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
    b = torch.zeros(1, requires_grad=True)
    one = torch.ones(1)
    trace: dict[str, list[Tensor]] = {name: [] for name in ("b", "gradient", "loss", "x_hat")}
    for _ in STEP.values:
        x = u + b
        mean = F.batch_moments(x).mean
        x_hat = F.normalize(x, mean if aware else mean.detach(), one, eps=0.0)
        loss = (0.5 * (x_hat - TARGET).square()).mean()
        (gradient,) = torch.autograd.grad(loss, b)
        for values, value in zip(trace.values(), (b[0], gradient[0], loss, x_hat[:, 0]), strict=True):
            values.append(value.detach().clone())
        with torch.no_grad():
            b -= RATE * gradient
    return {name: torch.stack(values) for name, values in trace.items()}


def stall(increment: float) -> float:
    """The power of two at which a float32 no longer grows when ``increment`` is added."""
    b = torch.ones(())
    while b + increment != b:
        b = b * 2
    return float(b)


def build() -> Figure:
    """Return the figure: a frame for every step, with the mean taken as a constant and with its gradient."""
    u = batch()
    traces = [descend(u, aware=aware) for aware in (False, True)]
    arrays = {name: torch.stack([trace[name] for trace in traces], dim=1) for name in traces[0]}
    arrays["moved"] = (arrays["x_hat"] - arrays["x_hat"][0]).abs().amax(-1)
    last = int(STEP.high)
    facts = {
        "rate": f"{RATE:g}",
        "b": f"{arrays['b'][last, NAIVE]:.1f}",
        "gradient": f"{arrays['gradient'][0, NAIVE]:.0f}",
        "steps": str(last),
        "moved": f"{arrays['moved'][:, NAIVE].max():.0e}".replace("e-0", "e-"),
        "loss": f"{arrays['loss'][last, NAIVE]:.3f}",
        "stall": f"{stall(RATE):,.0f}".replace(",", " "),
    }
    return Figure(
        name="bias",
        caption="Above, the bias b at every step; below, the eight outputs of the layer (thin) and the loss (thick). "
        "Drag either chart sideways to scrub through training.",
        sentence=f"With the mean taken as a constant, b is at {facts['b']} after {last} steps while the loss is still "
        f"{facts['loss']}. With the gradient through the mean, b stays at 0.",
        picture=_picture(arrays["b"]),
        controls=(STEP, Choice("gradient", "the mean is", ("a constant", "differentiated too"))),
        arrays=arrays,
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

    lines = (line(b[:, NAIVE], ORANGE, "mean taken as a constant"), line(b[:, AWARE], BLUE, "differentiated too"))
    return draw(alt.layer(*lines).properties(width=340, height=180))
