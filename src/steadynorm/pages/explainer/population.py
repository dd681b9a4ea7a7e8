"""Figure: the population's variance, estimated from batches (Eq 5).

Letters: m the examples of a batch, k the number of batches, σ²_B a batch's biased variance.
"""

import math
from itertools import pairwise
from typing import Any

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from ..common import DASHES
from .drawing import INK, QUIET, draw, rows
from .frames import Choice, Figure, Slider

__all__ = [
    "BATCHES",
    "DATA",
    "ESTIMATORS",
    "MAP",
    "MEAN",
    "REPEATS",
    "SIZES",
    "VARIANCE",
    "batch",
    "build",
    "estimates",
]

MEAN, VARIANCE = 2.0, 4.0
SIZES = (2, 4, 8, 16, 32, 64)
BATCHES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
MAP = 4  # pixels of a map's side
REPEATS = (1000, 250)  # of either kind of data
DATA = ("independent values", f"maps of {MAP}×{MAP} pixels")
ESTIMATORS: dict[str, F.Estimator[Any]] = {
    "mean of σ²": F.MovingAverage(None, unbiased=False),
    "Eq 5": F.PaperEstimator(),
    "all values": F.PooledEstimator(),
    "moving average": F.MovingAverage(0.1),
}
SIZE = Slider("size", "examples in a batch, m", 0, len(SIZES) - 1, 1, SIZES.index(4))
COUNT = Slider("count", "number of batches", 0, len(BATCHES) - 1, 1, BATCHES.index(10))
EQ5 = 1


def batch(m: int, kind: int, generator: torch.Generator) -> Tensor:
    """m examples of :data:`REPEATS` features, each of mean 2 and variance 4: single values, or maps of which half the
    variance is between images and half within."""
    repeats = REPEATS[kind]
    if kind == 0:
        z = torch.randn(m, repeats, generator=generator)
    else:
        between = torch.randn(m, repeats, 1, 1, generator=generator)
        z = (between + torch.randn(m, repeats, MAP, MAP, generator=generator)) / 2**0.5
    return MEAN + math.sqrt(VARIANCE) * z


def estimates(m: int, kind: int) -> Tensor:
    """The variance by every estimator after every number of batches, (estimators, counts, repeats)."""
    generator = torch.Generator().manual_seed(1000 * kind + m)
    states: dict[str, Any] = dict.fromkeys(ESTIMATORS)
    found = []
    for before, count in pairwise((0, *BATCHES)):
        for _ in range(count - before):
            moments = F.batch_moments(batch(m, kind, generator).double())
            states = {name: one.update(states[name], moments) for name, one in ESTIMATORS.items()}
        found.append(torch.stack([one.finish(states[name])[1] for name, one in ESTIMATORS.items()]))
    return torch.stack(found, dim=1)


def _summary(found: Tensor) -> Tensor:
    """Return the mean over the repeats, and between which two values nine tenths of them lie, (…, 3)."""
    return torch.stack([found.mean(-1), *found.quantile(found.new_tensor([0.05, 0.95]), dim=-1)], dim=-1)


def build() -> Figure:
    """Return the figure: for every size and number of batches, each estimate's mean and 90 % of its repeats."""
    shown = torch.stack([torch.stack([_summary(estimates(m, kind)) for m in SIZES]) for kind in range(len(DATA))])
    size, count = int(SIZE.start), int(COUNT.start)  # shown: (data, sizes, estimators, counts, 3)
    at_start = dict(zip(ESTIMATORS, shown[0, size, :, count, 0].tolist(), strict=True))
    told = ", ".join(f"{name} {value:.2f}" for name, value in at_start.items())
    two = shown[:, SIZES.index(2), :, -1, 0]
    facts = {
        "variance": f"{VARIANCE:g}",
        "biased_2": f"{two[0, 0]:.2f}",
        "paper_2": f"{two[0, EQ5]:.2f}",
        "pixels_2": f"{two[1, EQ5]:.2f}",
        "pixels_share_2": f"{100 * two[1, EQ5] / VARIANCE:.0f}",
        "pooled_2": f"{two[1, 2]:.2f}",
        "moving_10": f"{at_start['moving average']:.2f}",
    }
    return Figure(
        name="population",
        caption=f"Four estimates of a variance that is {VARIANCE:g}, each the mean over {REPEATS[0]} repeats "
        f"({REPEATS[1]} of the maps); the band holds 90 % of the repeats of one of them. On the left more and more "
        "batches of one size, on the right as many batches of another size. “All values” is the variance of everything "
        "seen, taken at once; the moving average has momentum 0.1 and starts at 1. In the maps half of the variance "
        "lies between images. Drag either chart sideways.",
        sentence=f"After {BATCHES[count]} batches of {SIZES[size]} independent values of variance {VARIANCE:g}: "
        f"{told}.",
        picture=_picture(shown[0, size, ..., 0]),
        controls=(
            Choice("data", "data", DATA),
            Choice("band", "band", ("mean σ²", "Eq 5", "all values", "moving"), EQ5),
            COUNT,
            SIZE,
        ),
        arrays={"estimates": shown},
        values={
            "sizes": SIZES,
            "batches": BATCHES,
            "variance": VARIANCE,
            "names": list(ESTIMATORS),
            "dashes": DASHES,
        },
        facts=facts,
    )


def _picture(means: Tensor) -> Markup:
    names = list(ESTIMATORS)
    colours, dashes = [f"var(--arm-{i})" for i in range(len(names))], list(DASHES[: len(names)])
    x = alt.X("batches:Q", title="batches", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=4))
    y = alt.Y("variance:Q", title="estimate of the variance", scale=alt.Scale(domain=[0, 5]))
    legend = alt.Legend(orient="bottom", columns=2, labelFontSize=13, labelColor=INK, symbolSize=500)
    lines = rows(
        batches=list(BATCHES) * len(names), variance=means.flatten(), name=[name for name in names for _ in BATCHES]
    ).mark_line()
    return draw(
        alt.layer(
            rows(variance=[VARIANCE]).mark_rule(color=QUIET).encode(y="variance:Q"),
            lines.encode(
                x,
                y,
                alt.Color("name:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=colours)),
                alt.StrokeDash("name:N", title=None, scale=alt.Scale(domain=names, range=dashes)),
            ),
        ).properties(width=340, height=200)
    )
