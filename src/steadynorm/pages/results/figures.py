"""The two charts of the page: accuracy against steps, and the steps that each arm needs to reach the target.

A chart is one Vega-Lite specification, drawn here as a static SVG in two widths and drawn again by the reader's
browser. Its colours are names of CSS variables, so that one drawing serves light and dark; each arm has a dash
pattern of its own beside its colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from ...reports import Report
from .sections import percent

__all__ = ["COLOURS", "DASHES", "Figure", "accuracy_against_steps", "steps_to_target"]

# (light, dark): hues of the Okabe-Ito palette, darkened or lightened to a contrast of 3 or more on either background.
COLOURS = (
    ("#4d4d4d", "#c9c9c9"),
    ("#0067a6", "#5cb8ff"),
    ("#c24e00", "#ff9a57"),
    ("#007a59", "#35cf9f"),
    ("#a3478b", "#ec9ad6"),
    ("#846100", "#e3bb3f"),
    ("#6a51c4", "#b3a2ff"),
    ("#a61c3c", "#ff8fa3"),
)
DASHES = ([1, 0], [9, 3], [2, 3], [9, 3, 2, 3], [5, 3], [14, 4], [2, 2, 6, 2], [1, 2])

WIDE, NARROW = 920, 328  # pixels: a column of the page, and that of a phone 360 wide
INK, FAINT = "var(--ink)", "var(--rule)"
STYLE: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": FAINT},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": FAINT,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
    },
    "legend": {
        "orient": "bottom",
        "labelColor": INK,
        "labelFontSize": 13,
        "labelLimit": 200,
        "symbolSize": 900,
        "symbolStrokeWidth": 2.4,
        "symbolOpacity": 1,
        "columnPadding": 24,
    },
    "text": {"fontSize": 12, "color": INK},
}


@dataclass(frozen=True)
class Figure:
    """One chart: its words, its drawings, its specification for the browser, and its numbers."""

    title: str
    caption: str
    wide: Markup
    narrow: Markup
    specification: dict[str, Any]
    numbers: Report


def accuracy_against_steps(record: Mapping[str, Any]) -> Figure:
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
        {"arm": arm["name"], "step": step, "accuracy": accuracy}
        for arm in arms
        for step, accuracy in _mean_curve(arm).items()
    ]

    last = alt.Scale(domain=[0, max((row["step"] for row in seeds), default=1)])
    x = alt.X("step:Q", title="optimizer steps", axis=alt.Axis(format="~s", labelFlush=True), scale=last)
    y = alt.Y("accuracy:Q", title="validation accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color("arm:N", title=None, scale=scale_of(names, variables()))
    dash = alt.StrokeDash("arm:N", title=None, scale=scale_of(names, DASHES))
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
        # Points that nobody sees, large enough to be pointed at, carry the tooltips.
        curves.mark_point(size=120, opacity=0).encode(
            tooltip=[alt.Tooltip("arm:N"), alt.Tooltip("step:Q"), alt.Tooltip("accuracy:Q", format=".1%", title="mean")]
        ),
        line.mark_rule(color=INK, strokeDash=[4, 4]),
        label.mark_text(**place, stroke="var(--paper)", strokeWidth=4, strokeJoin="round"),
        label.mark_text(**place),
    )
    steps = sorted({row["step"] for row in seeds})
    rows = [{"step": step, **{arm["name"]: _accuracies(arm, step) for arm in arms}} for step in steps]
    return figure_of(
        "Accuracy against steps",
        "Validation accuracy of each arm: its mean over the seeds (thick) and each seed (thin). The dashed line "
        f"across is the target: the best validation accuracy of {names[0]}, {percent(target)} in the seeds' mean.",
        chart.properties(height=360),
        Report("Mean validation accuracy, and each seed in brackets", ("step", *names), rows),
    )


def steps_to_target(record: Mapping[str, Any]) -> Figure:
    """Optimizer steps that each arm needs to reach the target, with the interval; arms that do not reach it say so."""
    arms = record["arms"]
    names = [arm["name"] for arm in arms]
    reached = [_steps(arm) for arm in arms if arm["steps_to_target"] is not None]
    others = [{"arm": arm["name"], "outcome": arm["outcome"]} for arm in arms if arm["steps_to_target"] is None]
    last_steps = [step for arm in arms for run in arm["seeds"] for step, _ in run["curve"]]

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
        color=alt.Color("arm:N", scale=scale_of(names, variables()), legend=None),
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


def chart_of(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def figure_of(title: str, caption: str, chart: alt.TopLevelMixin, numbers: Report) -> Figure:
    """Draw one chart in both widths; the page's script fits the specification to the reader's window."""
    specification: dict[str, Any] = chart.to_dict()
    specification |= {
        "description": caption,
        "config": STYLE,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
    }

    def draw(width: int, ticks: int, columns: int) -> Markup:
        axis, legend = STYLE["axis"] | {"tickCount": ticks}, STYLE["legend"] | {"columns": columns}
        fitted = specification | {"width": width, "config": STYLE | {"axis": axis, "legend": legend}}
        return Markup(vl_convert.vegalite_to_svg(fitted))

    return Figure(title, caption, draw(WIDE, 8, 3), draw(NARROW, 4, 1), specification, numbers)


def variables() -> list[str]:
    return [f"var(--arm-{index})" for index in range(len(COLOURS))]


def scale_of(names: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    """Give each name a value of its own; a chart with more names than values begins again."""
    return alt.Scale(domain=list(names), range=[values[index % len(values)] for index in range(len(names))])


def _mean_curve(arm: Mapping[str, Any]) -> dict[int, float]:
    """Return the mean at each step that every seed reached: without one that diverged, the mean of the rest jumps."""
    curves = [dict(run["curve"]) for run in arm["seeds"]]
    common = [step for step in curves[0] if all(step in curve for curve in curves)]
    return {step: fmean(curve[step] for curve in curves) for step in common}


def _accuracies(arm: Mapping[str, Any], step: int) -> str | None:
    values = [accuracy for run in arm["seeds"] for at, accuracy in run["curve"] if at == step]
    if not values:
        return None
    return f"{percent(fmean(values))} ({', '.join(map(percent, values))})"


def _steps(arm: Mapping[str, Any]) -> dict[str, Any]:
    steps = arm["steps_to_target"]
    low, high = arm["steps_to_target_interval"] or (steps, steps)
    return {"arm": arm["name"], "steps": steps, "low": low, "high": high, "label": _count(steps)}


def _count(steps: float | None) -> str | None:
    return None if steps is None else f"{steps:.0f}"


def _interval(interval: Sequence[float] | None) -> str | None:
    return None if interval is None else f"{_count(interval[0])} to {_count(interval[1])}"
