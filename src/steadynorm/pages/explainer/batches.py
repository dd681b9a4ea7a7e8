"""Figure: test accuracy against the examples that are normalized together, from the record of ``benchmarks``.

Letters: m the examples that share statistics; the optimizer's batch is the same at every m.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ...files import results
from ..common import DASHES
from .drawing import INK, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["ARMS", "GROUPS", "RECORD", "accuracies", "build", "committed_record", "sizes"]

RECORD = "small-batches.json"
BATCH = "batch norm"
# what the page calls it: the record's arm, and which of its accuracies
ARMS = {
    BATCH: ("batch", "test"),
    "recalibrated": ("batch", "test recalibrated"),
    "example weighted": ("batch", "test weighted"),
    "renorm": ("renorm", "test"),
    "by L1": ("l1", "test"),
    "noise behind": ("noisy", "test"),
    "whitening": ("whitening", "test"),
    "IterNorm": ("iternorm", "test"),
    "group norm": ("group", "test"),
    "layer norm": ("layer", "test"),
    "instance norm": ("instance", "test"),
    "no statistics": ("frozen", "test"),
}
GROUPS = {
    "at evaluation": ("recalibrated", "example weighted", "renorm"),
    "other statistics": ("by L1", "noise behind", "whitening", "IterNorm"),
    "no batch": ("group norm", "layer norm", "instance norm", "no statistics"),
}
AT_START = "no batch"

Record = Mapping[str, Any]


def committed_record() -> dict[str, Any]:
    """Read the record that the figure shows."""
    return dict(json.loads((results() / "bench" / RECORD).read_text(encoding="utf-8")))


def sizes(record: Record) -> list[int]:
    """Return the values of m, from the smallest on."""
    return sorted({result["m"] for result in record["results"] if result["m"] is not None})


def accuracies(record: Record) -> Tensor:
    """Return mean, lowest and highest over the seeds, in per cent, (arms, sizes, 3).

    A method that does not look at other examples has one value, at every size.
    """
    found = []
    for arm, kind in ARMS.values():
        for m in sizes(record):
            runs = [result for result in record["results"] if result["arm"] == arm and result["m"] in (m, None)]
            values = [100 * run[kind] for run in runs if kind in run] or [math.nan]
            found.append([math.fsum(values) / len(values), min(values), max(values)])
    return torch.tensor(found, dtype=torch.float64).view(len(ARMS), -1, 3)


def build() -> Figure:
    """Return the figure: three groups of methods beside batch norm."""
    record = committed_record()
    ms, shown = sizes(record), accuracies(record)
    size = Slider("size", "examples normalized together, m", 0, len(ms) - 1, 1, 1)
    names = list(ARMS)
    means = {name: dict(zip(ms, row.tolist(), strict=True)) for name, row in zip(names, shown[..., 0], strict=True)}
    least, most = ms[0], ms[-1]
    groups = {name: (BATCH, *members) for name, members in GROUPS.items()}
    start = ms[int(size.start)]
    told = ", ".join(f"{name} {means[name][start]:.1f} %" for name in groups[AT_START])
    seeds = len({result["seed"] for result in record["results"]})
    return Figure(
        name="batches",
        caption=f"Test accuracy of a small convolutional network on CIFAR-10 after {record['steps']} steps of 64 "
        "images, of which m at a time are normalized together; each method at the best of "
        f"{len(record['rates'])} learning rates for its m. A dot is the mean over {seeds} seeds, the line through it "
        "reaches from the worst to the best of them. A method that looks at no other example has one value. Drag the "
        "chart sideways.",
        sentence=f"With {start} images normalized together: {told}.",
        picture=_picture(groups[AT_START], ms, means),
        controls=(Choice("group", "beside batch norm", tuple(groups), list(groups).index(AT_START)), size),
        arrays={"accuracies": shown},
        values={
            "names": names,
            "sizes": ms,
            "groups": [[names.index(name) for name in members] for members in groups.values()],
            "dashes": DASHES,
        },
        facts={
            "least": str(least),
            "most": str(most),
            "batch_most": f"{means[BATCH][most]:.1f}",
            "batch_least": f"{means[BATCH][least]:.1f}",
            "renorm_least": f"{means['renorm'][least]:.1f}",
            "recalibrated_least": f"{means['recalibrated'][least]:.1f}",
            "group": f"{means['group norm'][least]:.1f}",
            "conditions": f"{seeds} seeds, measured {record['created'][:10]}",
        },
    )


def _picture(names: tuple[str, ...], ms: list[int], means: Mapping[str, Mapping[int, float]]) -> Markup:
    colours, dashes = [f"var(--arm-{i})" for i in range(len(names))], list(DASHES[: len(names)])
    legend = alt.Legend(orient="bottom", columns=2, labelFontSize=13, labelColor=INK, symbolSize=500)
    lines = rows(
        m=ms * len(names),
        accuracy=[means[name][m] for name in names for m in ms],
        name=[name for name in names for _ in ms],
    ).mark_line(point=False)
    return draw(
        lines.encode(
            alt.X(
                "m:Q",
                title="examples normalized together, m",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(values=ms),
            ),
            alt.Y("accuracy:Q", title="test accuracy (%)", scale=alt.Scale(zero=False)),
            alt.Color("name:N", title=None, legend=legend, scale=alt.Scale(domain=list(names), range=colours)),
            alt.StrokeDash("name:N", title=None, scale=alt.Scale(domain=list(names), range=dashes)),
        ).properties(width=340, height=200)
    )
