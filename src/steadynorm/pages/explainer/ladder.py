"""Figure 5: steps to a target accuracy, as measured by this project's ladder and as the paper reports it.

The curves and the paper's anchors come from records of the ladder, which have the same arms. Nothing is interpolated:
an arm has reached a target at the first evaluation at which the mean over its seeds is there, as in the record's own
table.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ...errors import DataError
from ...files import results
from ..common import DASHES
from .drawing import INK, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["RECORDS", "build", "committed_records", "crossings", "mean_curves"]

BASELINE = "Inception"
RECORDS = ("cifar10.json", "digits.json")
PAPER = Slider("paper", "target, the paper’s ImageNet (%)", 69.0, 75.5, 0.1, 72.2)
_ROUNDING = 1e-9  # as where the record is made: means of the same accuracies in another order differ by less

Record = Mapping[str, Any]


def committed_records() -> list[dict[str, Any]]:
    """Read the records that the page shows by default."""
    return [json.loads((results() / "ladder" / name).read_text(encoding="utf-8")) for name in RECORDS]


def mean_curves(record: Record) -> tuple[Tensor, Tensor]:
    """Steps of the evaluations, (points,), and each arm's mean validation accuracy there, (arms, points), float64."""
    curves = torch.tensor([arm["curve"] for arm in record["arms"]], dtype=torch.float64)
    return curves[0, :, 0], curves[:, :, 1]


def crossings(steps: Tensor, means: Tensor, targets: Tensor) -> Tensor:
    """Steps at which each arm's curve is first at a target, (targets, arms); NaN where it never is."""
    there = means >= targets[:, None, None] - _ROUNDING
    return torch.where(there.any(-1), steps[there.float().argmax(-1)], torch.nan)


def build(record: Record | None = None) -> Figure:
    """Return the figure: curves, and for every target, a tenth of a per cent apart, who reaches it when.

    Args:
        record: a record of the ladder; None for those that come with the package, to be switched between.

    Raises: DataError when the record is of another claim.
    """
    records = committed_records() if record is None else [record]
    for one in records:
        if one.get("claim") != "ladder":
            raise DataError(f"the figure needs a record of the claim ladder, received one of {one.get('claim')!r}")
    first = records[0]
    data = [one["data"]["name"] for one in records]
    paper = [arm["paper"] for arm in first["arms"]]
    names = [arm["name"] for arm in first["arms"]]
    targets = [_target(one, "" if one is first else f"_{one['data']['name']}") for one in records]
    arrays: dict[str, Tensor] = {}
    for k, (one, target) in enumerate(zip(records, targets, strict=True)):
        steps, means = mean_curves(one)
        spent = crossings(steps, means, torch.tensor(target.values, dtype=torch.float64) / 100)
        sets = {"steps": steps, "means": 100 * means, "spent": spent, "ratio": spent[:, :1] / spent}
        arrays |= {f"{name}_{k}": value for name, value in sets.items()}
    start = targets[0].start
    return Figure(
        name="ladder",
        caption="Accuracy against training steps, both charts with a logarithmic axis of steps, on which equal "
        "distances are equal ratios. Drag the dashed target line of either.",
        sentence=_sentence(names, arrays["spent_0"][targets[0].frame(start)], start, data[0]),
        picture=_picture(names, *mean_curves(first), start),
        controls=(*((Choice("data", "measured on", data),) if len(data) > 1 else ()), *targets, PAPER),
        arrays=arrays
        | {
            "paper_steps": torch.tensor([_number(one["steps_to_target"]) for one in paper], dtype=torch.float64),
            "paper_ratio": torch.tensor([_paper_ratio(paper[0], one) for one in paper], dtype=torch.float64),
            "paper_best": 100 * torch.tensor([_number(one["best_accuracy"]) for one in paper], dtype=torch.float64),
        },
        values={
            "arms": names,
            "data": data,
            "targets": [target.name for target in targets],
            "dashes": DASHES,
            "anchor": PAPER.start,
        },
        facts={
            "data": data[0],
            "conditions": _conditions(first),
            "chance": f"{100 / first['data']['classes']:.1f}",
            "sigmoid_with": _best(first, "BN-x5-Sigmoid"),
            "sigmoid_without": _best(first, "Inception-Sigmoid"),
            "readings": [_reading(one) for one in records],
            **_paper(),
        },
    )


def _target(record: Record, suffix: str) -> Slider:
    """The handle of a record's target line: from 0 to above its best, at first where the record has it."""
    start = math.floor(1000 * record["target_accuracy"] + 1e-6) / 10
    ceiling = _ceiling(mean_curves(record)[1])
    return Slider(f"target{suffix}", f"target, {record['data']['name']} (%)", 0.0, ceiling, 0.1, start)


def _reading(record: Record) -> dict[str, Any]:
    """A record as a table, and in words what is not in it: its sentences on single networks are left out."""
    names = [arm["name"] for arm in record["arms"]]
    sentences = re.split(r"(?<=\.) (?=[A-Z])", record["reading"])
    return {
        "head": f"On {record['data']['name']}, to {100 * record['target_accuracy']:.1f} % validation accuracy "
        f"({_conditions(record)}): {record['verdict']}.",
        "rows": [_row(arm) for arm in record["arms"]],
        "rest": " ".join(one for one in sentences if not one.startswith(("On ", "Verdict:", *names))),
    }


def _row(arm: Record) -> dict[str, str]:
    """One network of a record, beside the paper."""
    paper = arm["paper"]["steps_to_target"]
    there, interval = arm["steps_to_target"], arm["ratio_interval"]
    baseline = committed_records()[0]["arms"][0]["paper"]["steps_to_target"]
    between = f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval and arm["name"] != BASELINE else ""
    return {
        "network": arm["name"],
        "learning rate": f"{arm['learning_rate']:g}",
        "steps": "not reached" if there is None else str(there),
        "times fewer (95 % interval)": f"{arm['ratio']:.2f}{between}" if arm["ratio"] else "–",
        "paper": f"{baseline / paper:.1f}" if paper else "–",
        "best accuracy": f"{100 * arm['best_validation_accuracy']:.1f} %",
    }


def _best(record: Record, name: str) -> str:
    arm = next(arm for arm in record["arms"] if arm["name"] == name)
    return f"{100 * arm['best_validation_accuracy']:.1f}"


def _paper() -> dict[str, Any]:
    """What the paper reports, which every record of the ladder carries along."""
    arms = {arm["name"]: arm["paper"] for arm in committed_records()[0]["arms"]}
    steps = {name: one["steps_to_target"] for name, one in arms.items()}

    def row(name: str, paper: Record) -> dict[str, str]:
        rate, taken, best = paper["learning_rate"], paper["steps_to_target"], paper["best_accuracy"]
        return {
            "network": name,
            "learning rate": "not reported" if rate is None else f"{rate:g}",
            f"steps to {PAPER.start} %": "never" if taken is None else f"{taken / 1e6:.1f} million",
            "best accuracy": f"{100 * best:.1f} %",
        }

    return {
        "paper": [row(name, paper) for name, paper in arms.items()],
        "paper_ratio": f"{steps['Inception'] / steps['BN-x5']:.1f}",
        "paper_ratio_alone": f"{steps['Inception'] / steps['BN-Baseline']:.1f}",
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _paper_ratio(baseline: Record, arm: Record) -> float:
    return _number(baseline["steps_to_target"]) / _number(arm["steps_to_target"])


def _ceiling(means: Tensor) -> float:
    """The top of the chart in per cent: a multiple of five above the best mean."""
    return min(100.0, 5.0 * math.ceil(float(means.max()) * 20 + 0.2))


def _conditions(record: Record) -> str:
    arm = record["arms"][0]
    last = arm["curve"][-1][0]
    count, seeds, day = record["data"]["train"], len(arm["seeds"]), record["created"][:10]
    return f"{count} training images, {last} steps, {seeds} seeds, measured {day}"


def _sentence(names: list[str], spent: Tensor, target: float, data: str) -> str:
    told = [
        f"{name} {f'takes {steps:.0f} steps' if steps == steps else 'does not reach it'}"
        for name, steps in zip(names, spent.tolist(), strict=True)
    ]
    return f"To a validation accuracy of {target:.1f} % on {data}: " + ", ".join(told) + "."


def _picture(names: list[str], steps: Tensor, means: Tensor, target: float) -> Markup:
    colours = [f"var(--arm-{index % 8})" for index in range(len(names))]
    dashes = [DASHES[index % len(DASHES)] for index in range(len(names))]
    x = alt.X("step:Q", title="training steps", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=5))
    y = alt.Y("accuracy:Q", title="validation accuracy (%)")
    legend = alt.Legend(orient="bottom", columns=2, labelFontSize=13, labelColor=INK, symbolSize=500)
    curves = rows(
        step=steps.tolist() * len(names),
        accuracy=(100 * means).flatten(),
        arm=[name for name in names for _ in steps],
    ).mark_line()
    return draw(
        alt.layer(
            curves.encode(
                x,
                y,
                alt.Color("arm:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=colours)),
                alt.StrokeDash("arm:N", title=None, scale=alt.Scale(domain=names, range=dashes)),
            ),
            rows(accuracy=[target]).mark_rule(strokeDash=[6, 4], color=INK).encode(y="accuracy:Q"),
        ).properties(width=340, height=220)
    )
