"""Example inputs: one convention for the tools that trace, and one way to run a model on them."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._torch import tree_map_only
from ...errors import ArgumentError, ModelError
from ..watch import device_of

__all__ = ["Example", "other_sizes", "read_examples", "run", "tensors_in"]


@dataclass(frozen=True)
class Example:
    """The arguments of one call of a model."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def read_examples(example_inputs: Any) -> list[Example]:
    """Read what a user gives: a tensor, a tuple of positional arguments, a dict of keywords, or a list of such.

    Raises: ArgumentError for anything else, and for an empty list.
    """
    given = example_inputs if isinstance(example_inputs, list) else [example_inputs]
    if not given:
        raise ArgumentError("example_inputs must hold at least one example, received an empty list")
    return [_read_example(one) for one in given]


def _read_example(one: Any) -> Example:
    if isinstance(one, Tensor):
        return Example((one,), {})
    if isinstance(one, tuple):
        return Example(one, {})
    if isinstance(one, Mapping):
        return Example((), one)
    raise ArgumentError(
        "an example must be a tensor, a tuple of positional arguments, a dict of keyword arguments, or a list of "
        f"such, received {type(one).__name__}"
    )


def other_sizes(example: Example) -> Iterator[Example]:
    """Yield the example with twice its batch, then with one position less along every axis behind the features."""

    def twice(t: Tensor) -> Tensor:
        return torch.cat([t, t]) if t.dim() else t

    def fewer(t: Tensor) -> Tensor:
        for axis in range(2, t.dim()):
            t = t.narrow(axis, 0, max(1, t.shape[axis] - 1)) if t.shape[axis] else t
        return t

    for change in (twice, fewer):
        yield Example(*tree_map_only(Tensor, change, (example.args, dict(example.kwargs))))


@torch.no_grad()
def run(model: nn.Module, example: Example, within: AbstractContextManager[Any] | None = None) -> Any:
    """Call the model, within a context if given, on its own copy of an example, moved to the model's device.

    torch's random state is the same before and after, so that every run of a model draws the same numbers.

    Raises: ModelError, from what the model raised.
    """
    device, tensors = device_of(model), (*model.parameters(), *model.buffers())
    copied = tree_map_only(Tensor, lambda t: t.detach().to(device, copy=True), (example.args, dict(example.kwargs)))
    cuda = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
    # compiled functions inside the model run as they are written; without dynamo nothing has been compiled yet
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.random.fork_rng(devices=cuda), eager:
        try:
            with within or nullcontext():
                return model(*copied[0], **copied[1])
        except Exception as error:
            raise ModelError(
                f"the model must run on example_inputs, but raised {type(error).__name__}: {error}"
            ) from error


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, lists, mappings, dataclasses and other plain objects, in order."""
    return _walk(tree, set())


def _walk(tree: Any, seen: set[int]) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
        return
    if isinstance(tree, str | bytes | int | float | None | type | nn.Module) or id(tree) in seen:
        return
    seen.add(id(tree))
    parts: Iterable[Any]
    if isinstance(tree, Mapping):
        parts = tree.values()
    elif isinstance(tree, tuple | list | set | frozenset):
        parts = tree
    elif is_dataclass(tree):
        parts = [getattr(tree, field.name) for field in fields(tree)]
    else:
        parts = list(getattr(tree, "__dict__", {}).values())
    for part in parts:
        yield from _walk(part, seen)
