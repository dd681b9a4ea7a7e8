"""Figure 4: two losses of one parameter, descended at one learning rate; the curved and jagged one fails first.

Letters: w the parameter, h the curvature of the bowl, a and k the height and frequency of the ripple on it, η the rate.
"""

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from .drawing import BLUE, ORANGE, draw, rows
from .frames import Figure, Slider

__all__ = ["FAR", "JAGGED", "RATE", "SMOOTH", "START", "STEPS", "build", "descend", "loss"]

RATE = Slider("rate", "learning rate η, the same for both", 0.025, 2.25, 0.025, 0.45, letter="eta")
STEPS = 40  # shown
STEP = Slider("step", "step of descent", 0, STEPS, 1, STEPS)
FATE = 1000  # steps after which the outcome is read
RIPPLE = 1e-3  # a loss above it is not the bottom
START = -1.6
FAR = 1e3  # |w| beyond this counts as diverged
JAGGED = (5.0, 0.5, 10.0)  # h, a, k
SMOOTH = (1.0, 0.0, 0.0)
KINDS = (JAGGED, SMOOTH)
SETTLES, JUMPS, DIVERGES, TRAPPED = range(4)
OUTCOMES = ("settles", "keeps jumping", "diverges", "settles in a ripple")


def loss(w: Tensor, kind: tuple[float, float, float]) -> Tensor:
    r""":math:`f(w) = \tfrac12 h w^2 + a (1 - \cos k w)`, whose curvature lies between :math:`h - ak^2` and
    :math:`h + ak^2`."""
    h, a, k = kind
    return 0.5 * h * w.square() + a * (1 - torch.cos(k * w))


def descend(rates: Tensor, kind: tuple[float, float, float], steps: int = STEPS) -> Tensor:
    """Gradient descent from ``START``, one run a rate: w of every step, (rates, steps + 1), NaN from divergence on."""
    w = torch.full_like(rates, START)
    path = [w]
    for _ in range(steps):
        w = w.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(w, kind).sum(), w)
        w = (w - rates * gradient).detach()
        w = torch.where(w.abs() <= FAR, w, torch.nan)
        path.append(w)
    return torch.stack(path, dim=1)


def build() -> Figure:
    """Return the figure: both descents at every rate, and what became of them."""
    rates = torch.tensor(RATE.values, dtype=torch.float64)
    fate = torch.stack([descend(rates, kind, FATE) for kind in KINDS], dim=1)  # (rates, 2, 1001)
    diverged_at = torch.where(fate.isnan().any(-1), fate.isnan().float().argmax(-1), -1)
    still = (fate[..., -10:] - fate[..., -1:]).abs().amax(-1) < 1e-6
    w = fate[..., : STEPS + 1]
    height = torch.stack([loss(w[:, kind], KINDS[kind]) for kind in range(2)], dim=1)
    low = torch.stack([loss(fate[:, kind, -1], KINDS[kind]) for kind in range(2)], dim=1) <= RIPPLE
    rest = torch.where(low, SETTLES, TRAPPED)
    outcome = torch.where(diverged_at >= 0, DIVERGES, torch.where(still, rest, JUMPS))
    end = height[..., -1]
    axis = torch.linspace(-2.4, 2.4, 241, dtype=torch.float64)
    h, a, k = JAGGED
    facts = {
        "jagged_limit": f"{2 / h:g}",
        "smooth_limit": f"{2 / SMOOTH[0]:g}",
        "jagged_diverges": f"{rates[outcome[:, 0] == DIVERGES].min():g}",
        "smooth_diverges": f"{rates[outcome[:, 1] == DIVERGES].min():g}",
        "jagged_jumps": f"{rates[outcome[:, 0] == JUMPS].min():g}",
        "sharpest": f"{h + a * k * k:g}",
        "sharpest_limit": f"{2 / (h + a * k * k):.2g}",
        "steps": str(STEPS),
    }
    return Figure(
        name="rate",
        caption=f"Gradient descent on two losses of one parameter, {STEPS} steps from the same place at the same rate; "
        "the left one stands for a network without batch norm, the right one for one with it. Below, where the loss is "
        "after the last step, at every rate. Drag the lowest chart for the rate, the upper ones for the step.",
        sentence=f"On the jagged loss descent diverges from a rate of about {facts['jagged_diverges']} on, on the "
        f"smooth one from {facts['smooth_diverges']}.",
        picture=_picture(axis[::2]),
        controls=(RATE, STEP),
        arrays={
            "height": height,
            "end": end,
            # For the chart: from 10⁻⁶ to 10³ and what diverged on its upper edge.
            "log_end": end.nan_to_num(torch.inf).clamp(1e-6, 1e3).log10(),
            "diverged_at": torch.where(diverged_at <= STEPS, diverged_at, -1),  # of the steps shown
            "outcome": outcome,
        },
        places={
            "w": w.clamp(-9, 9),  # the chart ends at 2.4; a chord leads out of it
            "landscape": torch.stack([axis, *(loss(axis, kind) for kind in KINDS)]),
        },
        values={"limits": [2 / kind[0] for kind in KINDS], "outcomes": OUTCOMES, "steps": STEPS},
        facts=facts,
    )


def _picture(axis: Tensor) -> Markup:
    def panel(kind: int, title: str, colour: str) -> alt.LayerChart | alt.FacetChart:
        w = descend(torch.tensor([RATE.start], dtype=torch.float64), KINDS[kind])[0]
        inside = w[: int((w.abs() < axis.max()).long().cumprod(0).sum())]
        x = alt.X("w:Q", title="parameter w", axis=alt.Axis(tickCount=5))
        y = alt.Y("loss:Q", title=title, axis=alt.Axis(tickCount=4))
        path = rows(w=inside, loss=loss(inside, KINDS[kind]), step=range(len(inside)))
        return alt.layer(
            rows(w=axis, loss=loss(axis, KINDS[kind])).mark_line(color="var(--quiet)").encode(x, y),
            path.mark_line(color=colour, strokeWidth=1).encode(x, y, order="step:Q"),
            path.mark_point(color=colour, filled=True, opacity=1).encode(x, y),
        ).properties(width=340, height=120)

    return draw(panel(0, "jagged loss", ORANGE) & panel(1, "smooth loss", BLUE))
