"""What a trained claim is: arms, each with a grid of rates of its own, and seeds that are paired."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Preset, Stated

__all__ = ["Arm", "Outcome", "Rounds", "Trained", "Training", "descend"]

Outcome = Mapping[str, Any]
"""Of one seed: ``score`` (lower is better; None if it diverged), ``values`` by name, ``lines`` by name."""

Training = Generator[int, None, list[Outcome]]
"""A training under way: it yields the step where it is, now and then, and returns an outcome a seed."""


@dataclass(frozen=True)
class Arm:
    """One way to train, and the rates to choose from, upwards; a single one if the claim is about that rate.

    Args:
        name: of the arm.
        rates: its grid.
        trains: the arm of which this is another rate, by the name that ``train`` knows; None for itself.
    """

    name: str
    rates: tuple[float, ...]
    trains: str | None = None


@dataclass(frozen=True)
class Rounds:
    """How much a preset trains: steps after which rates are compared, steps to the end, seeds that compare rates."""

    grid_steps: int
    steps: int
    grid_seeds: int


@dataclass(frozen=True, kw_only=True)
class Trained(Stated):
    """A claim about trainings; its draws are seeds.

    Args:
        arms: the ways to train that are compared.
        rounds: how much, by preset.
        train: trains an arm, by its name, at a rate, with seeds side by side, for a number of steps.
        compare: the values of one draw from the outcomes of all arms with its seed, by arm.
        chart: title, x, y, log_x and log_y of the picture; its lines are those of the first seed.
    """

    arms: tuple[Arm, ...]
    rounds: Mapping[Preset, Rounds]
    train: Callable[[str, float, Sequence[int], int], Training]
    compare: Callable[[Mapping[str, Outcome]], Mapping[str, float]]
    chart: Mapping[str, Any]


def descend(loss: Tensor, parameters: Sequence[Tensor], rate: float) -> None:
    """Move the parameters, in place, by one step of plain gradient descent."""
    slopes = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.sub_(rate * slope)
