"""Conditions on sizes: which ones a model decides by, and what it does if they come out otherwise."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn

__all__ = ["DECIDE", "Condition", "Decider", "Size", "calling_code", "place"]

MODULE = inspect.getfile(nn.Module)
WITHOUT_INTEREST = tuple(f"{Path(file).parent}{os.sep}" for file in (torch.__file__, __file__))


@dataclass(frozen=True)
class Condition:
    """One outcome of one comparison."""

    site: object
    """Where it stands in the code; the same each time that it is come to."""
    place: str
    """The same for a person: ``file.py:12``."""
    outcome: bool


def place() -> str:
    """Return ``file.py:12``, the innermost line that runs outside of torch and of these tools."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(WITHOUT_INTEREST):
        frame = frame.f_back
    return _place(frame)


def calling_code() -> CodeType:
    """Return the function that calls a module, asked from the caller of this one, a hook of that module."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename == MODULE:
        frame = frame.f_back
    return frame.f_code


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


class Decider:
    """Lays down how the first conditions of a run come out, and writes down how the others do.

    Args:
        laid_down: in the order in which they are come to.
        notice: called at each condition.
    """

    def __init__(self, laid_down: Sequence[bool], notice: Callable[[Condition], None]) -> None:
        self.laid_down = iter(laid_down)
        self.notice = notice

    def decide(self, natural: bool, frame: FrameType) -> bool:
        """Return how a condition is to come out; torch decides its own for itself."""
        if frame.f_code.co_filename.startswith(WITHOUT_INTEREST):
            return natural
        outcome = next(self.laid_down, natural)
        self.notice(Condition((frame.f_code, frame.f_lasti), _place(frame), outcome))
        return outcome


DECIDE: ContextVar[Decider | None] = ContextVar("decide", default=None)
"""Who decides in this thread; None: everything comes out as it is."""


class Size(int):
    """A tensor's size, or a whole number computed from sizes, which tells when something is decided by it."""

    __hash__ = int.__hash__

    def __bool__(self) -> bool:
        return bool(_decide(int(self) != 0))


class Ratio(float):
    """The same for a number that need not be whole."""

    __hash__ = float.__hash__

    def __bool__(self) -> bool:
        return bool(_decide(float(self) != 0))


def _decide(natural: Any) -> Any:
    decider = DECIDE.get()
    return natural if decider is None or natural is NotImplemented else decider.decide(natural, sys._getframe(2))


def _comparison(plain: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: _decide(plain(self, other))


def _arithmetic(plain: Callable[..., Any]) -> Callable[..., Any]:
    def compute(self: Any, *others: Any) -> Any:
        result = plain(self, *others)
        return Size(result) if type(result) is int else Ratio(result) if type(result) is float else result

    return compute


COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__")
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
UNARY = ("__neg__", "__abs__", "__round__", "__floor__", "__ceil__", "__trunc__")

for _kind, _plain in ((Size, int), (Ratio, float)):
    for _name in COMPARISONS:
        setattr(_kind, _name, _comparison(getattr(_plain, _name)))
    for _name in (*UNARY, *(f"__{_side}{_what}__" for _what in BINARY for _side in ("", "r"))):
        setattr(_kind, _name, _arithmetic(getattr(_plain, _name)))
