"""Figure: the gradient through the batch, by its three paths (Eq 4).

Letters: x eight values of one feature, x̂ the normalized, y = x̂ (γ = 1, β = 0); a d before a name stands for ∂ℓ/∂ of
it. The script computes both passes itself, in float64, so that any value may be pulled anywhere.
"""

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import BLUE, INK, QUIET, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["CHOSEN", "EPS", "PUSHES", "START", "build", "paths", "push"]

EPS = 1e-5
START = (-1.9, -1.2, -0.6, -0.1, 0.4, 1.0, 1.7, 2.7)
CHOSEN = 5  # which of them is chosen at first, from 0
PUSHES = ("one y", "all alike", "outwards", "mixed")
_GREEN, _PURPLE = "var(--arm-3)", "var(--arm-4)"


def push(x: Tensor, chosen: int, kind: int) -> Tensor:
    """∂ℓ/∂y of each kind in :data:`PUSHES`, (8, 1): 1 for the chosen; 1 for all; x̂; eight draws."""
    if kind == 0:
        return torch.eye(len(x), dtype=x.dtype)[:, chosen : chosen + 1]
    if kind == 1:
        return torch.ones_like(x)
    if kind == 2:
        return F.batch_norm(x, eps=EPS)[0]
    return torch.randn(len(x), 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(x.dtype)


def paths(x: Tensor, dy: Tensor) -> Tensor:
    """∂ℓ/∂x by its paths, (3, 8): direct, through σ², through μ. Each holds the other two constant, under autograd."""
    parts = []
    for path in range(3):
        at = x.clone().requires_grad_()
        moments = F.batch_moments(at)
        value = at if path == 0 else at.detach()
        var = moments.var if path == 1 else moments.var.detach()
        mean = moments.mean if path == 2 else moments.mean.detach()
        y = F.normalize(value, mean, var, eps=EPS)
        parts.append(torch.autograd.grad((y * dy).sum(), at)[0].flatten())
    return torch.stack(parts)


def build() -> Figure:
    """Return the figure: the batch at first, and what pushes it."""
    x = torch.tensor(START, dtype=torch.float64)[:, None]
    start = paths(x, push(x, CHOSEN, 0))
    sliders = [Slider(f"x{k + 1}", f"x of example {k + 1}", -4.0, 4.0, 0.05, value) for k, value in enumerate(START)]
    others = start[:, [k for k in range(len(START)) if k != CHOSEN]].sum(0)
    facts = {
        "direct": f"{start[0, CHOSEN]:.2f}",
        "total": f"{start[:, CHOSEN].sum():.2f}",
        "least": f"{others.abs().min():.2f}",
        "most": f"{others.abs().max():.2f}",
        "lost": f"{100 * (1 - start[:, CHOSEN].sum() / start[0, CHOSEN]):.0f}",
    }
    return Figure(
        name="gradient",
        caption="A batch of eight examples of one feature. On the left their values x, with the batch’s mean and "
        "spread; on the right ∂ℓ/∂x of each: the direct path, then what comes through the variance σ², then what comes "
        "through the mean μ, each bar from where the one above it ends; the diamond is their sum, the ring what it is "
        "for the batch at first. The loss pushes the chosen example’s y alone, all alike, each away from 0 "
        "(∂ℓ/∂y = x̂), or each by a number of its own. Drag a dot sideways.",
        sentence=f"When the loss pushes the output of example {CHOSEN + 1} alone, its input receives "
        f"{facts['total']} of a direct {facts['direct']}, and each of the other seven receives something too, from "
        f"{facts['least']} to {facts['most']} in size. The eight sum to 0.",
        picture=_picture(start),
        controls=(
            Choice("push", "the loss pushes", PUSHES),
            Choice("example", "example", tuple(str(k + 1) for k in range(len(START))), CHOSEN),
            *sliders,
        ),
        arrays={},
        values={"eps": EPS, "draws": push(x, 0, 3).flatten().tolist()},
        facts=facts,
    )


def _picture(start: Tensor) -> Markup:
    ends = start.cumsum(0)
    begins = ends - start
    names = ["direct", "through σ²", "through μ"]
    examples = [str(k + 1) for k in range(start.shape[1])]
    bars = rows(
        example=examples * 3,
        path=[name for name in names for _ in examples],
        begin=begins.flatten(),
        end=ends.flatten(),
    )
    sums = rows(example=examples, path=[names[1]] * len(examples), end=ends[-1])
    x = alt.X("begin:Q", title="∂ℓ/∂x")
    y = alt.Y("example:N", title="example")
    offset = alt.YOffset("path:N", sort=names, scale=alt.Scale(domain=names))
    legend = alt.Legend(orient="bottom", labelFontSize=13, labelColor=INK)
    colour = alt.Color(
        "path:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=[BLUE, _GREEN, _PURPLE])
    )
    return draw(
        alt.layer(
            rows(at=[0]).mark_rule(color=QUIET).encode(x="at:Q"),
            bars.mark_bar().encode(x, y, colour, offset, x2="end:Q"),
            sums.mark_point(shape="diamond", filled=True, size=70, color=INK, opacity=1).encode(x="end:Q", y=y),
        ).properties(width=340, height=280)
    )
