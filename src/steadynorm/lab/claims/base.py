"""What a claim is: a sentence of the literature, what is measured to judge it, and the reading fixed beforehand.

A claim has **parts**. Each is one measured quantity with the range in which the sentence holds of it. A claim is
measured in *draws*: one call of ``measure`` with a seed returns one value of every quantity. A part is judged

* over ``"every draw"``, for what is exact: it holds if every value lies in the range, and fails otherwise;
* by the ``"mean"``, for what varies: it holds if the 95 % interval of the mean (Student's t) lies wholly inside of the
  range, fails if it lies wholly outside, and stays open otherwise, as it does for a single draw.

A part may instead be a *control*, without which the others mean nothing (if one does not hold, the claim is not
resolved), or only *shown*.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import torch

__all__ = [
    "EXACT",
    "NOISY",
    "Chart",
    "Claim",
    "Draws",
    "Judged",
    "Line",
    "Part",
    "Preset",
    "Role",
    "Stated",
    "generator",
    "relative",
]

Preset = Literal["smoke", "quick", "full"]
Judged = Literal["every draw", "mean"]
Role = Literal["judged", "control", "shown"]
Draws = Mapping[Preset, int]
Line = Sequence[tuple[float, float]]

EXACT: Draws = MappingProxyType({"smoke": 1, "quick": 5, "full": 20})
NOISY: Draws = MappingProxyType({"smoke": 2, "quick": 10, "full": 30})


@dataclass(frozen=True)
class Part:
    """One quantity of a claim.

    Args:
        quantity: its name, by which ``measure`` returns it; words that stand in tables.
        at_least, at_most: the sentence holds where the quantity lies between them; None for no such end.
        literature: the number that the literature gives for it, or None.
        by: see the module.
        role: see the module.
    """

    quantity: str
    at_least: float | None = None
    at_most: float | None = None
    literature: float | None = None
    by: Judged = "every draw"
    role: Role = "judged"


@dataclass(frozen=True)
class Chart:
    """A picture of a claim: lines over one axis, by name; drawn from one draw."""

    title: str
    x: str
    y: str
    draw: Callable[[], Mapping[str, Line]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What every claim has, drawn or trained.

    Args:
        id: ``theme/name``, the place of its file.
        statement: the sentence that is tested, in our words.
        source: who says so, and where.
        literature: the literature's number, or what it says in place of one.
        covers: the parts S… of the article and the corrections E… of the evidence that it settles.
        protocol: what is done and measured, and what is ours because the source does not say.
        parts: the reading.
        draws: how many, by preset; the seeds are 0, 1, …
        instead: what is to be said in place of the sentence where it does not hold; ``{quantity}`` stands for the
            value measured.
    """

    id: str
    statement: str
    source: str
    literature: str
    covers: tuple[str, ...]
    protocol: str
    parts: tuple[Part, ...]
    draws: Draws = field(default_factory=lambda: EXACT)
    instead: str | None = None


@dataclass(frozen=True, kw_only=True)
class Claim(Stated):
    """A claim that is measured in draws of seconds.

    Args:
        measure: the values of one draw, by quantity; all randomness from the given seed.
        chart: a picture, where one says it better.
    """

    measure: Callable[[int], Mapping[str, float]]
    chart: Chart | None = None


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own for one draw."""
    return torch.Generator().manual_seed(seed)


def relative(value: Any, reference: Any) -> float:
    """Return the largest difference of two tensors over the reference's largest magnitude."""
    return float(((value - reference).abs().max() / reference.abs().max()).detach())
