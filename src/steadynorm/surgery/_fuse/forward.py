"""A module's own forward as torch.fx follows it, and the class of one whose forward has been written anew."""

from __future__ import annotations

import ast
import inspect
import linecache
import math
import operator
import pickle
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import BuiltinFunctionType, FunctionType
from typing import Any, ClassVar

import torch
from torch import fx, nn

from ..._torch import children_of, hook_tables, module_tables
from ...errors import ArgumentError
from ..change import Left, preserved

__all__ = ["Forward", "Written", "forward_of", "give_forward", "hand_on", "restore"]

Named = tuple[tuple[str, Any], ...]

NAMES = {"torch": torch, "device": torch.device, "inf": math.inf, "nan": math.nan, "NoneType": type(None)}
"""What code that torch.fx writes may name without saying so."""

IN_PLACE: tuple[Any, ...] = (
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
    operator.iand, operator.ior, operator.ixor, operator.imatmul, operator.ilshift, operator.irshift,
)  # fmt: skip

DEVICES = ("cpu", "cuda")

SEQUENTIAL = """
def forward(self, input, residual=None):
    *first, last = self
    for module in first:
        input = module(input)
    return last(input) if residual is None else last(input, residual=residual)
"""
"""The forward of a ``Sequential`` whose last module takes a residual; it may be cut and lengthened like any other."""

CONSTANT = (
    bool, int, float, str, bytes, type, torch.dtype, torch.device, type(None), FunctionType, BuiltinFunctionType
)  # fmt: skip
"""What an attribute may be that decides what a forward does."""


@dataclass(frozen=True)
class Forward:
    """What a module's forward does, its children whole."""

    graph: fx.Graph
    constants: Named
    """The attributes that it looked at: with others it would do something else."""


def forward_of(module: nn.Module) -> Forward:
    """Return what a module's forward does, alike in training and in evaluation, under autocast and without.

    Raises: Left where torch.fx would not see all of it.
    """
    kind = type(module)
    _check(kind)
    seen: set[str] = set()
    found: list[fx.Graph] = []
    with preserved(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for training, autocast in product((True, False), repeat=2):
                module.train(training)
                with _autocast(autocast):
                    found.append(_trace(module, seen))
        except Left as left:
            raise Left(f"the forward of {kind.__name__} {left}") from None
        except Exception as error:
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Left(f"torch.fx cannot follow the forward of {kind.__name__}: {what}") from None
    if len({graph.python_code("self").src for graph in found}) > 1:
        raise Left(f"the forward of {kind.__name__} does otherwise in training than in evaluation, or under autocast")
    constants = tuple((name, vars(module)[name]) for name in sorted(seen))
    for name, value in constants:
        if not _is_constant(value):
            raise Left(f"the forward of {kind.__name__} looks at {name}, whose content may change")
    return Forward(found[0], constants)


def give_forward(module: nn.Module, forward: Forward, took: Mapping[str, str | None]) -> None:
    """Give a module a subclass of its class with this forward; the module stays the same, and what it holds.

    Args:
        took: the batch norms that take something in it, by their names in the module, with their activations.

    Raises: Left where the code has names that cannot be pickled.
    """
    for node in forward.graph.nodes:
        node.type = None  # annotations would be names more
    forward.graph.lint()
    code = forward.graph.python_code("self")
    source = code.src.strip() + "\n"
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    names = tuple((name, value) for name, value in code.globals.items() if name in used and name not in NAMES)
    try:
        pickle.dumps(names)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Left(f"the forward of {type(module).__name__} calls what cannot be pickled: {error}") from None
    _give(module, source, names, forward.constants, tuple(took.items()))


def hand_on(module: nn.Module, path: str) -> None:
    """Let a module that ends with a batch norm take a residual for it; without one it does what it did.

    Args:
        path: the batch norm's, within the module.

    Raises: Left if what the module gives is not what the batch norm gives, or if somebody else sees it.
    """
    kind = type(module)
    if any(hook_tables(module)):
        raise Left(f"a hook of {kind.__name__}, which ends with it, would see other values")
    if "forward" in vars(module):
        raise Left(f"{kind.__name__}, which calls it, has a forward of its own")
    if kind.forward is nn.Sequential.forward:
        last = list(children_of(module))[-1]
        _give(module, SEQUENTIAL, (), (), ())
    else:
        forward = forward_of(module)
        inputs = [node for node in forward.graph.nodes if node.op == "placeholder"]
        (node,) = forward.graph.output_node().args
        if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) > 1:
            raise Left(f"{kind.__name__} does not end with it")
        last = str(node.target)
        with forward.graph.inserting_after(inputs[-1]):
            residual = forward.graph.placeholder("residual", default_value=None)
        node.kwargs = {**node.kwargs, "residual": residual}
        give_forward(module, forward, {})
    if path == last:
        return
    if not path.startswith(f"{last}."):
        raise Left(f"{kind.__name__} does not end with it")
    hand_on(module.get_submodule(last), path[len(last) + 1 :])


def _give(module: nn.Module, source: str, names: Named, constants: Named, took: Named) -> None:
    kind = type(module)
    before = kind.written if issubclass(kind, Written) else None
    original, taken = (kind, ()) if before is None else (before.original, before.took)
    module.__class__ = _class(Writing(original, source, names, constants, (*taken, *took)))


def restore(module: Written) -> None:
    """Give a module its own forward back, and take from its batch norms what they took."""
    for path, activation in module.written.took:
        norm: Any = module.get_submodule(path)
        if getattr(norm, "activation", None) == activation:
            norm.activation = None
    module.__class__ = module.written.original


# --- following it -----------------------------------------------------------------------------------------------------


def _check(kind: type[nn.Module]) -> None:
    given = list(inspect.signature(kind.forward).parameters.values())[1:]
    if any(p.kind is not p.POSITIONAL_OR_KEYWORD or p.default is not p.empty for p in given):
        raise Left(f"the forward of {kind.__name__} has arguments that need not be given")
    if not issubclass(kind, Written) and (
        kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__
    ):
        raise Left(f"{kind.__name__} pickles itself in its own way")


class _Proxy(fx.Proxy):
    """Has operators that write in place: without, Python makes new values of them, and who shares the old sees it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("tracer", "node"):
            raise Left(f"writes {name} of a tensor")
        super().__setattr__(name, value)


def _in_place(function: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], Any]:
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})


for _function in IN_PLACE:
    setattr(_Proxy, f"__{_function.__name__.strip('_')}__", _in_place(_function))


class _Tracer(fx.Tracer):
    """Leaves children whole, and takes no part of a forward that runs in a mode of torch's, which it would not see."""

    def __init__(self) -> None:
        super().__init__()
        self._modes = _modes()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say that every module is one."""
        return True

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what stands for a value."""
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Write down one call."""
        if _modes() != self._modes:
            raise Left("sets autocast or autograd by itself")
        return super().create_node(*args, **kwargs)


def _modes() -> tuple[bool, ...]:
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *map(torch.is_autocast_enabled, DEVICES)


@contextmanager
def _autocast(enabled: bool) -> Iterator[None]:
    """Set autocast for a block, so that one that sets it otherwise shows."""
    before = list(map(torch.is_autocast_enabled, DEVICES))
    try:
        for device in DEVICES:
            torch.set_autocast_enabled(device, enabled)
        yield
    finally:
        for device, was in zip(DEVICES, before, strict=True):
            torch.set_autocast_enabled(device, was)


def _trace(module: nn.Module, seen: set[str]) -> fx.Graph:
    """Return one trace; add to ``seen`` the attributes that it looks at."""
    before, drawn = dict(vars(module)), (torch.get_rng_state(), random.getstate())
    kind = type(module)
    module.__class__ = _watched(kind, seen)
    try:
        graph = _Tracer().trace(module)
    finally:
        module.__class__ = kind
    after = vars(module)
    if before.keys() != after.keys() or any(before[name] is not value for name, value in after.items()):
        raise Left("writes attributes")
    if not torch.equal(drawn[0], torch.get_rng_state()) or drawn[1] != random.getstate():
        raise Left("draws random numbers by itself")
    return graph


def _watched(kind: type[nn.Module], seen: set[str]) -> type[nn.Module]:
    own = module_tables() | vars(nn.Module()).keys()

    def look(self: nn.Module, name: str) -> Any:
        if name not in own and name in object.__getattribute__(self, "__dict__"):
            seen.add(name)
        return kind.__getattribute__(self, name)

    return type(kind.__name__, (kind,), {"__getattribute__": look})


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    return isinstance(value, CONSTANT)


# --- writing it anew --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Writing:
    """What makes the class of a module whose forward has been written anew."""

    original: Any
    """The class before."""
    source: str
    names: Named
    """What the source names."""
    constants: Named
    """The attributes that it was written for."""
    took: Named
    """The batch norms that took something, by their names in the module, with their activations."""


class Written(nn.Module):
    """A module of another class whose forward has been written anew; copies and pickles make the class again.

    Raises: ArgumentError where an attribute is set to another value than the forward was written for.
    """

    written: ClassVar[Writing]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _blank, (self.written,), self.__getstate__()  # type: ignore[no-untyped-call]

    def __setattr__(self, name: str, value: Any) -> None:
        known = dict(self.written.constants)
        if name in known and (type(value) is not type(known[name]) or value != known[name]):
            raise ArgumentError(
                f"{name} of {type(self).__name__} must stay {known[name]!r}, for which its forward was written, "
                f"received {value!r}: set it in the model of {self.written.original.__name__} and call sn.fuse anew"
            )
        super().__setattr__(name, value)


@cache
def _class(writing: Writing) -> type[nn.Module]:
    original, source = writing.original, writing.source
    space = {**NAMES, **dict(writing.names), "__name__": original.__module__}
    place = f"<forward of {original.__qualname__}, written anew: {hash(writing):x}>"
    linecache.cache[place] = len(source), None, source.splitlines(keepends=True), place  # for tracebacks
    exec(compile(source, place, "exec"), space)
    content = {"forward": space["forward"], "written": writing}
    return type(f"Fused{original.__name__}", (Written, original), {**content, "__module__": original.__module__})


def _blank(writing: Writing) -> nn.Module:
    kind = _class(writing)
    return kind.__new__(kind)
