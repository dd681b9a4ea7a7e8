"""How a tool changes a model: it selects layers, leaves some with a reason, changes the others all or none, reports."""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from .._torch import module_tables
from ..errors import ArgumentError, NothingDoneWarning
from ..reports import Cell, Report
from .layers import Layer, Where, layers_of, uncompiled

__all__ = ["Change", "Left", "outside_inference_mode", "preserved", "swap", "transaction"]


class Left(Exception):
    """A tool leaves a layer as it is; the message is the reason in its report."""


class Change:
    """One call of a tool: which layers it takes, why it leaves the others, and what its report says of each.

    Args:
        model: the root; the layer itself, too.
        why_not: says why the tool leaves a layer; None if it takes it.
        where: ``where(name, module)``, a pattern as of :mod:`fnmatch`, or several, selects layers, by any of their
            names; None selects all.
        layers: those in question; None for all normalization layers.
        left: the word for what is left.
    """

    def __init__(
        self,
        model: nn.Module,
        why_not: Callable[[Layer], str | None] = lambda layer: None,
        where: Where | None = None,
        layers: Sequence[Layer] | None = None,
        left: str = "skipped",
    ) -> None:
        self.root = uncompiled(model)
        self.layers = layers_of(self.root) if layers is None else layers
        self._rows: dict[Layer, dict[str, Cell]] = {v: {"layer": v.label, "kind": v.kind} for v in self.layers}
        self._word = left
        selects = _selector(where)
        for layer in self.layers:
            chosen = any(selects(name, layer.module) for name in layer.names)
            if (why := why_not(layer) if chosen else "not selected") is not None:
                self.leave(layer, why)

    @property
    def taken(self) -> list[Layer]:
        """The layers that are not left."""
        return [layer for layer, row in self._rows.items() if row.get("done") != self._word]

    def leave(self, layer: Layer, why: str) -> None:
        """Write down why a layer is left."""
        self._rows[layer] |= {"done": self._word, "why": why}

    def note(self, layer: Layer, done: str, **cells: Cell) -> None:
        """Write down what was done to a layer."""
        self._rows[layer] |= {"done": done, **cells}

    def each(self, act: Callable[[Layer], Mapping[str, Any]]) -> None:
        """Change every layer that is taken, or none; ``act`` returns what :meth:`note` is to write down of it."""
        with transaction(self.root):
            for layer in self.taken:
                self.note(layer, **act(layer))

    def report(
        self,
        verb: str,
        columns: Sequence[str] = (),
        notes: Iterable[str] = (),
        *,
        what: str = "normalization layer",
        tail: str = "",
    ) -> Report:
        """Return a row a layer; the columns are those besides what every report has.

        Warns if nothing was done, though a caller who did not look at the report would think so.
        """
        rows = list(self._rows.values())
        title = f"{verb} {len(self.taken)} of {len(rows)} {what}{'es' if what.endswith('s') else 's'}{tail}"
        notes = list(notes) if rows else [f"the model has no {what}"]
        if not rows:
            _warn(f"{title}: the model has no {what}")
        elif not self.taken:
            why, count = Counter(row["why"] for row in rows).most_common(1)[0]
            _warn(f"{title}: {self._word}, {count} of {len(rows)} because: {why}")
        return Report(title, ("layer", "kind", "done", *columns, "why"), rows, notes)


def _selector(where: Where | None) -> Callable[[str, nn.Module], bool]:
    if where is None:
        return lambda name, module: True
    if callable(where):
        return where
    patterns = [where] if isinstance(where, str) else where
    if not isinstance(patterns, list | tuple | set) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ArgumentError(
            'where must be a function of name and module, a pattern such as "backbone.*", or a list of patterns; '
            f"received {where!r}"
        )
    return lambda name, module: any(fnmatchcase(name, pattern) for pattern in patterns)


def _warn(message: str) -> None:
    """Warn where the tool was called, however deep in the tool we are."""
    frame, level = sys._getframe(1), 2
    package = __name__.split(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, NothingDoneWarning, stacklevel=level)


def swap(module: nn.Module, new: nn.Module) -> None:
    """Give a module the class and the content of another one; identity, hooks and mode stay its own.

    The hooks that the new one has from its constructor come along. It shares what it holds with the module from then
    on, and is not to be used any more. Nothing here can fail half-way for other reasons than the interpreter's own; a
    :func:`transaction` around it takes it back.
    """
    new.train(module.training)
    content = dict(vars(new))
    for name in module_tables() & vars(module).keys():
        own = vars(module)[name]
        if isinstance(own, dict):  # the container stays: a hook's handle refers to it
            own.update(content[name])
        content[name] = own
    vars(module).clear()
    vars(module).update(content)
    module.__class__ = type(new)


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Leave ``torch.inference_mode`` for a block, if it is on: tensors made in it take no backward, ever."""
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        yield


@contextmanager
def transaction(model: nn.Module, written: Iterable[Tensor] = ()) -> Iterator[None]:
    """Restore the model if the block raises, Ctrl-C included.

    What is restored: every module's class and attributes (parameters, buffers and children among them, hooks, modes,
    momenta), the values of all buffers, which parameters require gradients, and torch's random state on the processor
    and on the devices of the model. The values of parameters are not, but for those that the block says it writes: a
    second copy of all weights would be dear.

    In ``torch.inference_mode`` the block is outside of it: what a tool makes there is to be trained later.
    """
    before = _Snapshot(model, written)
    try:
        with outside_inference_mode():
            yield
    except BaseException:
        before.restore()
        raise


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Restore what :func:`transaction` restores, however the block ends."""
    before = _Snapshot(model, ())
    try:
        yield
    finally:
        before.restore()


class _Snapshot:
    """A model's state, shallow but for the values of buffers, and of tensors named."""

    def __init__(self, model: nn.Module, written: Iterable[Tensor]) -> None:
        self.modules = [(module, type(module), dict(vars(module))) for module in model.modules()]
        # Children, parameters, buffers and hooks stand in containers. These are filled again and not replaced: a hook's
        # handle refers to the container that it was put in.
        values = {id(value): value for *_, attributes in self.modules for value in attributes.values()}
        self.containers = [(v, v.copy()) for v in values.values() if isinstance(v, dict | list | set)]
        self.values = [(v, v.detach().clone()) for v in (*model.buffers(), *written) if _has_values(v)]
        self.requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        tensors = [*model.parameters(), *model.buffers()]
        self.devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
        self.random = torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in self.devices]

    def restore(self) -> None:
        for module, kind, attributes in self.modules:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(attributes)
        for container, content in self.containers:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        with torch.no_grad():
            for tensor, value in self.values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        for parameter, required in self.requires_grad:
            parameter.requires_grad_(required)
        torch.set_rng_state(self.random[0])
        for device, state in zip(self.devices, self.random[1], strict=True):
            torch.cuda.set_rng_state(state, device)


def _has_values(tensor: Tensor) -> bool:
    return not (nn.parameter.is_lazy(tensor) or tensor.is_meta)
