"""Figure 1: a mini-batch on a sigmoid, pushed into the flat tail by a drift and fetched back by batch norm.

Letters: u the batch before the drift, μ the drift, x = u + μ, g the sigmoid.
"""

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import ORANGE, QUIET, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["DRIFT", "EPS", "batch", "build", "slopes"]

EPS = 1e-5
DRIFT = Slider("drift", "drift μ of the batch mean", -6.0, 6.0, 0.1, 3.2, letter="mu")
LAYERS = 10  # of the small chart: each multiplies the gradient by the mean slope once more


def batch() -> Tensor:
    """40 draws from a normal distribution, (40, 1), shifted and scaled to mean 0 and variance 1."""
    draws = torch.randn(40, 1, generator=torch.Generator().manual_seed(2015), dtype=torch.float64)
    return F.batch_norm(draws, eps=0.0)[0]


def slopes(z: Tensor) -> Tensor:
    r"""g′(z) of the sigmoid, by autograd: 0.25 at 0, and falling like :math:`e^{-|z|}` on either side."""
    z = z.detach().requires_grad_()
    return torch.autograd.grad(torch.sigmoid(z).sum(), z)[0]


def build() -> Figure:
    """Return the figure: a frame for every drift, without batch norm and with it."""
    u = batch()
    plain = torch.stack([(u + mu).flatten() for mu in DRIFT.values])
    normed = torch.stack([F.batch_norm(u + mu, eps=EPS)[0].flatten() for mu in DRIFT.values])
    z = torch.stack([plain, normed], dim=1)  # (drifts, 2, 40)
    slope = slopes(z)
    mean = slope.mean(-1)
    left = mean[..., None] ** torch.arange(LAYERS + 1)  # (drifts, 2, 11)
    start, centre, at_4 = map(DRIFT.frame, (DRIFT.start, 0.0, 4.0))
    facts = {
        "start": f"{mean[start, 0]:.3f}",
        "centre": f"{mean[centre, 0]:.3f}",
        "normed": f"{mean[start, 1]:.3f}",
        "at_4": f"{mean[at_4, 0]:.3f}",
        "share_at_4": f"{mean[centre, 0] / mean[at_4, 0]:.0f}",
        "value_at_4": f"{slopes(torch.tensor(4.0)):.4f}",
        "value_at_5": f"{slopes(torch.tensor(5.0)):.4f}",
        "value_at_0": f"{slopes(torch.tensor(0.0)):.2f}",
    }
    curve = torch.linspace(-9, 9, 121, dtype=torch.float64)
    return Figure(
        name="saturation",
        caption="Each dot is one pre-activation of a mini-batch of 40, above on the sigmoid, below on its slope. Drag "
        "the batch sideways. The mean slope is what one layer leaves of the gradient; where there is room, the chart "
        "on the right multiplies it layer by layer.",
        sentence=f"A batch that has drifted to {DRIFT.start} has a mean slope of {facts['start']}; centred it has "
        f"{facts['centre']}, and behind batch norm {facts['normed']} at every drift.",
        picture=_picture(curve[::2], z[start, 0], slope[start, 0]),
        controls=(DRIFT, Choice("norm", "before the sigmoid", ("no normalization", "batch norm"))),
        arrays={
            "z": z[:, 0],
            "z_normed": z[start, 1],  # at every drift the same to within rounding; a test holds them to that
            "mean": mean,
            "share": mean / mean[centre, 0],
            "left": left,
        },
        places={
            "g": torch.sigmoid(z[:, 0]),
            "g_normed": torch.sigmoid(z[start, 1]),
            "slope": slope[:, 0],
            "slope_normed": slope[start, 1],
            "curve_g": torch.sigmoid(curve),
            "curve_slope": slopes(curve),
            "curve": curve,
        },
        facts=facts,
    )


def _picture(curve: Tensor, z: Tensor, slope: Tensor) -> Markup:
    x = alt.X("z:Q", title="pre-activation", scale=alt.Scale(domain=[-9, 9]))

    def panel(line: Tensor, points: Tensor, title: str, top: float) -> alt.LayerChart | alt.FacetChart:
        y = alt.Y("y:Q", title=title, scale=alt.Scale(domain=[0, top]), axis=alt.Axis(tickCount=3))
        return alt.layer(
            rows(z=curve, y=line).mark_line(color=QUIET).encode(x, y),
            rows(z=z, y=points).mark_point(filled=True, size=40, color=ORANGE, opacity=0.7).encode(x, y),
        ).properties(width=340, height=110)

    return draw(
        panel(torch.sigmoid(curve), torch.sigmoid(z), "sigmoid g", 1) & panel(slopes(curve), slope, "slope g′", 0.25)
    )
