"""What a figure is before a browser shows it: arrays, controls, a sentence, a still picture."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from markupsafe import Markup
from torch import Tensor

from .filling import fill

__all__ = ["Choice", "Figure", "Slider"]


@dataclass(frozen=True)
class Slider:
    """A number that the reader moves, by its handle or on the chart itself.

    Args:
        name: the number's name in the figure's state and in the page's address.
        label: what the reader sees.
        low, high, step: the values of the handle; frame k belongs to ``low + k * step``.
        start: the value at first and after a reset.
        continuous: the chart may set values between the steps.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    continuous: bool = False

    @property
    def values(self) -> list[float]:
        """The value of every frame, free of the rounding that sums of steps would gather."""
        return [round(self.low + k * self.step, 6) for k in range(self.frame(self.high) + 1)]

    def frame(self, value: float) -> int:
        """Which frame belongs to a value."""
        return round((value - self.low) / self.step)


@dataclass(frozen=True)
class Choice:
    """One of a few alternatives; option k is index k of the arrays."""

    name: str
    label: str
    options: Sequence[str]
    start: int = 0


@dataclass(frozen=True)
class Figure:
    """One interactive figure: everything that the page's script needs, and what a reader without scripts sees.

    Args:
        name: the figure's name, and with ``sn-`` before it that of its element.
        caption: what is drawn, in words that hold for every state.
        sentence: the main numbers, for readers without scripts and in print.
        picture: an SVG drawing of the state at the start.
        controls: what the reader can move.
        arrays: the frames. They reach the browser as float32; the script maps them to pixels and to digits.
        values: further plain values for the script.
        facts: numbers for the prose around the figure, already written as text.
    """

    name: str
    caption: str
    sentence: str
    picture: Markup
    controls: Sequence[Slider | Choice]
    arrays: Mapping[str, Tensor]
    values: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Markup:
        """All that the script needs, as JSON that may stand in a script element."""
        document = {
            "controls": [asdict(control) for control in self.controls],
            "arrays": {name: _pack(array) for name, array in self.arrays.items()},
            "values": dict(self.values),
        }
        return Markup(json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"))

    def _repr_html_(self) -> str:
        """The figure alone, in a frame of its own, so that a notebook's styles and this one's do not meet."""
        document = html.escape(fill("single.html", self.name, figure=self))
        return (
            f'<iframe title="steadynorm: {self.name}" srcdoc="{document}" '
            'style="width: 100%; height: 46rem; border: 0"></iframe>'
        )


def _pack(array: Tensor) -> dict[str, Any]:
    """Write an array as its shape and the base64 of its float32 values, little end first."""
    values = array.detach().cpu().numpy().astype("<f4")
    return {"shape": list(values.shape), "float32": base64.b64encode(values.tobytes()).decode("ascii")}
