"""What a trace knows: values, the calls that produce and use them, and where a value goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Call", "Caller", "DataFlow", "End", "Value", "feature_numbers"]


@dataclass(eq=False, slots=True)
class Value:
    """What a tensor holds from one operation that writes it to the next."""

    shape: tuple[int, ...]
    from_input: bool
    """Whether it may be another for other inputs; parameters and constants are not."""
    producer: Call | None = None
    uses: list[tuple[Call, int]] = field(default_factory=list)
    """The calls that take it, each with the place among what it takes; a layer's input has place 0."""


@dataclass(frozen=True, slots=True)
class Caller:
    """From where a layer is called."""

    module: nn.Module
    """Whose forward runs."""
    start: int
    """Which of its calls this is: the time at which that began."""
    code: CodeType
    """The function that has the call in it: the module's forward itself, or what that calls."""


@dataclass(eq=False, slots=True)
class Call:
    """One call of a function, or of a layer of interest; or how a value leaves the model's operations."""

    name: str
    """Of the function or layer, for a person."""
    inside: str = ""
    """The module whose forward makes the call, for a person."""
    layer: nn.Module | None = None
    input: Value | None = None
    """What has place 0."""
    outputs: list[Value] = field(default_factory=list)
    move: Callable[[Tensor], Tensor] | None = None
    """The same call on another tensor of the input's shape, if all it does is to move or copy elements."""
    bare: bool = True
    """Of a layer: it was given its input by position, and nothing else."""
    caller: Caller | None = None
    """Of a layer that the forward of a module calls."""

    def __str__(self) -> str:
        return f"{self.name} in {self.inside}" if self.inside else self.name


@dataclass(frozen=True, slots=True)
class End:
    """A use that does more than to move elements, and how the elements lie there."""

    call: Call
    place: int
    features: Tensor
    """For each element of what is used, to which feature it belongs; NaN where it is padding."""

    def along(self, axis: int) -> bool:
        """Whether the feature of each element is its index along this axis, padding aside."""
        if not -self.features.dim() <= axis < self.features.dim():
            return False
        expected = feature_numbers(self.features.shape, axis)
        return bool(((self.features == expected) | self.features.isnan()).all())

    @property
    def padded(self) -> bool:
        """Whether zeros were added on the way."""
        return bool(self.features.isnan().any())


def feature_numbers(shape: Sequence[int], axis: int) -> Tensor:
    """Return for each element of a tensor of this shape its index along the axis, as a view that takes no memory."""
    numbers = torch.arange(shape[axis], dtype=torch.float32)
    return numbers.reshape([-1 if a == axis % len(shape) else 1 for a in range(len(shape))]).expand(*shape)


@dataclass(eq=False)
class DataFlow:
    """What the runs of a model have shown."""

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    """Of each layer of interest that ran, in order."""
    users: dict[nn.Parameter | Tensor, Call] = field(default_factory=dict)
    """For a parameter or buffer that is used outside of the layers of interest: one such call."""
    unsure: dict[nn.Module, str] = field(default_factory=dict)
    """The modules in which other inputs may take other ways, with the reason."""

    def add(self, other: DataFlow) -> None:
        """Take in what another run has shown."""
        for layer, calls in other.calls.items():
            self.calls.setdefault(layer, []).extend(calls)
        self.users = other.users | self.users
        self.unsure = other.unsure | self.unsure

    def ends(self, value: Value, features: Tensor, through: Sequence[Any] = ()) -> Iterator[End]:
        """Yield every use of a value, through the calls that only move its elements.

        Args:
            features: for each element, to which feature it belongs.
            through: layers that count as doing nothing, because they will be gone.
        """
        for call, place in value.uses:
            if call.layer in through and place == 0:
                moved: Tensor | None = features
            else:
                moved = _moved(call, features)
            if moved is None:
                yield End(call, place, features)
            else:
                for output in call.outputs:
                    yield from self.ends(output, moved, through)

    def origin(self, call: Call, through: Sequence[Any] = ()) -> Call | None:
        """Return the call that computed what a call takes, behind those that only moved it; None if none did."""
        before = call.input.producer if call.input else None
        while before is not None and (before.move or before.layer in through):
            before = before.input.producer if before.input else None
        return before


def _moved(call: Call, features: Tensor) -> Tensor | None:
    if call.move is None:
        return None
    try:
        return call.move(features.contiguous())  # view() wants it so
    except (RuntimeError, TypeError, ValueError, IndexError):  # not with a tensor of numbers: more than a movement
        return None
