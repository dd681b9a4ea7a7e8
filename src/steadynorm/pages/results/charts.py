"""The charts of a record: its own lines; of arms their accuracy against steps, and the steps that each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ...reports import Cell, Report, format_cell
from .drawing import INK, Figure, chart_of, colours_of, dashes_of, figure_of, pointed_at
from .sections import percent

__all__ = ["Figure", "accuracy_against_steps", "lines", "of", "steps_to_target"]

Record = Mapping[str, Any]


def of(record: Record) -> list[Figure]:
    """Draw the charts of a record."""
    if record["kind"] == "curves":
        return [accuracy_against_steps(record), steps_to_target(record)]
    return [lines(chart) for chart in record["charts"]]


def lines(chart: Record) -> Figure:
    """Draw lines over one axis."""
    names = list(chart["lines"])
    rows = [{"line": name, "x": x, "y": y} for name, line in chart["lines"].items() for x, y in line]
    x = alt.X("x:Q", title=chart["x"], scale=_axis(chart["log_x"]), axis=alt.Axis(labelFlush=True))
    y = alt.Y("y:Q", title=chart["y"], scale=_axis(chart["log_y"]))
    legend = None if len(names) == 1 else alt.Undefined
    base = chart_of(rows).encode(x=x, y=y)
    drawn = alt.layer(
        base.mark_line(strokeWidth=2.4).encode(
            color=alt.Color("line:N", title=None, scale=colours_of(names), legend=legend),
            strokeDash=alt.StrokeDash("line:N", title=None, scale=dashes_of(names), legend=legend),
        ),
        pointed_at(
            base,
            alt.Tooltip("line:N"),
            alt.Tooltip("x:Q", title=chart["x"], format=".4"),
            alt.Tooltip("y:Q", title=chart["y"], format=".4"),
        ),
    )
    return figure_of(
        chart["title"],
        f"{chart['title']}: {chart['y']} against {chart['x']}" + ("." if len(names) == 1 else f", {', '.join(names)}."),
        drawn.properties(height=260),
        Report(f"{chart['title']}, in numbers", (chart["x"], *names), _numbers(chart)),
    )


def _axis(logarithmic: bool) -> alt.Scale:
    return alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False)


def _numbers(chart: Record) -> list[dict[str, Cell]]:
    """A row an x, at most forty of them."""
    values = {name: dict(map(tuple, line)) for name, line in chart["lines"].items()}
    xs = sorted({x for line in values.values() for x in line})
    every = -(-len(xs) // 40)
    return [
        {chart["x"]: format_cell(x), **{name: line[x] for name, line in values.items() if x in line}}
        for x in xs[::every]
    ]


def accuracy_against_steps(record: Record) -> Figure:
    """Validation accuracy of every arm against optimizer steps: the mean of its seeds, each seed, the target."""
    arms, target = record["arms"], record["target_accuracy"]
    names = [arm["name"] for arm in arms]
    seeds = [
        {"arm": arm["name"], "seed": run["seed"], "step": step, "accuracy": accuracy}
        for arm in arms
        for run in arm["seeds"]
        for step, accuracy in run["curve"]
    ]
    means = [
        {"arm": arm["name"], "step": step, "accuracy": accuracy} for arm in arms for step, accuracy in arm["curve"]
    ]

    last = alt.Scale(domain=[0, max((row["step"] for row in means), default=1)])
    x = alt.X("step:Q", title="optimizer steps", axis=alt.Axis(format="~s", labelFlush=True), scale=last)
    y = alt.Y("accuracy:Q", title="validation accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color("arm:N", title=None, scale=colours_of(names))
    dash = alt.StrokeDash("arm:N", title=None, scale=dashes_of(names))
    # A click on the legend leaves one arm bright.
    chosen = alt.selection_point(fields=["arm"], bind="legend")

    def opacity(bright: float) -> Any:
        return alt.when(chosen).then(alt.value(bright)).otherwise(alt.value(0.06))

    curves = chart_of(means).encode(x=x, y=y)
    line = chart_of([{"accuracy": target}]).encode(y="accuracy:Q")
    label = line.encode(x=alt.value(0))
    place: dict[str, Any] = {"align": "left", "baseline": "top", "dx": 4, "dy": 4, "text": f"target {percent(target)}"}
    chart = alt.layer(
        chart_of(seeds)
        .mark_line(strokeWidth=0.8)
        .encode(x=x, y=y, color=colour, detail="seed:N", opacity=opacity(0.45)),
        curves.mark_line(strokeWidth=2.4).encode(color=colour, strokeDash=dash, opacity=opacity(1)).add_params(chosen),
        pointed_at(
            curves,
            alt.Tooltip("arm:N"),
            alt.Tooltip("step:Q"),
            alt.Tooltip("accuracy:Q", format=".1%", title="mean"),
        ),
        line.mark_rule(color=INK, strokeDash=[4, 4]),
        label.mark_text(**place, stroke="var(--paper)", strokeWidth=4, strokeJoin="round"),
        label.mark_text(**place),
    )
    told = {arm["name"]: _accuracies(arm) for arm in arms}
    rows = [{"step": step, **{name: told[name][step] for name in names}} for step, _ in arms[0]["curve"]]
    return figure_of(
        "Accuracy against steps",
        "Validation accuracy of each arm: its mean over the seeds (thick) and each seed (thin); a seed that diverged "
        "counts as chance from there on. The dashed line across is the target: the best validation accuracy of "
        f"{names[0]}, {percent(target)} in the seeds' mean.",
        chart.properties(height=360),
        Report("Mean validation accuracy, and each seed in brackets", ("step", *names), rows),
    )


def steps_to_target(record: Record) -> Figure:
    """Optimizer steps that each arm needs to reach the target, with the interval; arms that do not reach it say so."""
    arms = record["arms"]
    names = [arm["name"] for arm in arms]
    reached = [_steps(arm) for arm in arms if arm["steps_to_target"] is not None]
    others = [{"arm": arm["name"], "outcome": arm["outcome"]} for arm in arms if arm["steps_to_target"] is None]
    last_steps = [step for step, _ in arms[0]["curve"]]

    scale = alt.Scale(domain=[0, max([*last_steps, *(row["high"] for row in reached)], default=1)])
    x = alt.X(
        "steps:Q", title="optimizer steps to the target", scale=scale, axis=alt.Axis(format="~s", labelFlush=True)
    )
    room = 8 * max(map(len, names))  # for the names: the drawing's font is not the one that the reader's browser has
    axis = alt.Axis(labelLimit=200, minExtent=room, ticks=False, domain=False)
    y = alt.Y("arm:N", title=None, sort=names, axis=axis, scale=alt.Scale(domain=names))
    measured = chart_of(reached).encode(
        x=x,
        y=y,
        color=alt.Color("arm:N", scale=colours_of(names), legend=None),
        tooltip=[
            alt.Tooltip("arm:N"),
            alt.Tooltip("steps:Q"),
            alt.Tooltip("low:Q", title="from"),
            alt.Tooltip("high:Q", title="to"),
        ],
    )
    chart = alt.layer(
        measured.mark_rule(strokeWidth=2.4).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        measured.mark_point(size=80, filled=True, opacity=1),
        measured.mark_text(baseline="bottom", dy=-7).encode(text="label:N", color=alt.value(INK)),
        chart_of(others)
        .mark_text(align="left", dx=4, fontStyle="italic")
        .encode(x=alt.value(0), y=y, text="outcome:N"),
    )
    rows = [
        {
            "arm": arm["name"],
            "steps": _count(arm["steps_to_target"]),
            "interval": _interval(arm["steps_to_target_interval"]),
            "outcome": arm["outcome"],
        }
        for arm in arms
    ]
    return figure_of(
        "Steps to the target",
        f"Optimizer steps until an arm's validation accuracy, the mean over its seeds, first comes to the best of "
        f"{names[0]}'s; with the interval, where there is one. Fewer is better.",
        chart.properties(height=44 * len(arms)),
        Report("Steps to the target, in numbers", ("arm", "steps", "interval", "outcome"), rows),
    )


def _accuracies(arm: Record) -> dict[int, str]:
    """Write the mean at each step, and in brackets the seeds that had not diverged."""
    seeds = [dict(map(tuple, seed["curve"])) for seed in arm["seeds"]]
    return {
        step: f"{percent(mean)} ({', '.join(percent(seed[step]) if step in seed else '-' for seed in seeds)})"
        for step, mean in arm["curve"]
    }


def _steps(arm: Record) -> dict[str, Any]:
    steps = arm["steps_to_target"]
    low, high = arm["steps_to_target_interval"] or (steps, steps)
    return {"arm": arm["name"], "steps": steps, "low": low, "high": high, "label": _count(steps)}


def _count(steps: float | None) -> str | None:
    return None if steps is None else f"{steps:.0f}"


def _interval(interval: Sequence[float] | None) -> str | None:
    return None if interval is None else f"{_count(interval[0])} to {_count(interval[1])}"
