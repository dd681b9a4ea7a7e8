"""Fusion with proof: activations and residual additions taken into the batch norms before them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..errors import NothingDoneWarning
from ..nn.base import NormBase
from ..reports import Report
from ._fuse.activations import activation_of_module
from ._fuse.blocks import inputs_of, take
from ._fuse.proof import prove
from ._fuse.uses import Uses
from .change import Change, Left, outside_inference_mode, swap
from .convert import convert_
from .dataflow.copying import duplicate, with_values
from .dataflow.examples import Example, read_examples
from .foreign import foreign
from .layers import Layer, layers_of

__all__ = ["fuse"]

COLUMNS = ("activation", "residual", "how")


def fuse(model: nn.Module, example_inputs: Any) -> tuple[nn.Module, Report]:
    r"""Return a copy of a model whose batch norms do what follows them, for training, and a report on each of them.

    .. math:: y = \phi\bigl(\mathrm{BN}(x) + r\bigr)

    Torch's batch norms, and what is registered by :func:`steadynorm.surgery.register`, become ours, as by
    :func:`convert_`. Where an activation φ, or an addition of a residual r and an activation, follows one of them, and
    nobody else sees what lies between, the layer does both in one: ``activation=``, ``forward(x, residual=r)``. That
    nobody sees it is established by tracing, in training and in evaluation; see
    :mod:`steadynorm.surgery.dataflow`. An activation that is a module becomes ``torch.nn.Identity``. Where it serves
    several layers, or is a function, and where something is added, the forward of the module that calls them is written
    anew, as :mod:`torch.fx` follows it: the module gets a subclass of its class, ``Fused…``, and keeps all that it
    holds. No border of a module is crossed: every module but the batch norm and the activation computes, called alone,
    what it did. Keys of the state_dict stay.

    The copy is run beside the original in float64, in training and in evaluation: outputs, gradients of parameters and
    inputs, and the statistics afterwards are equal within rounding. So is each module whose forward was written anew,
    on what the model gives it; one that differs keeps its own.

    Args:
        model: in any mode. It is not changed.
        example_inputs: a tensor, a tuple of positional arguments, a dict of keyword arguments, or a list of such, on
            which the model runs in training as well: two images, say. The fused model is for calls with the same
            arguments, tensors of as many axes, of any size, in their places.

    Returns: the fused model, each module in the mode of its original, and a report with a row for every normalization
    layer: which activation it took, and whether a residual; or kept, and why.

    Raises: ModelError for a model on the meta device, with lazy parameters, or that does not run on the examples;
    FuseError if the fused model differs from the original; ArgumentError for arguments. Nothing was changed then.
    """
    with outside_inference_mode():
        return _fuse(with_values(model), read_examples(example_inputs))


def _fuse(original: nn.Module, examples: Sequence[Example]) -> tuple[nn.Module, Report]:
    change = Change(original, layers=layers_of(original), left="kept")
    fused = duplicate(original)
    if not change.layers:
        return fused, change.report("fused", COLUMNS)
    fresh, unconverted = _converted(fused)
    uses = Uses(fused, examples)
    in_blocks: dict[str, dict[Layer, str]] = {}  # by the module whose forward calls them, and why not by modules alone
    for layer in change.layers:
        name, norm = layer.names[0], uses.modules[layer.names[0]]
        if name in fresh and norm.activation is not None:  # a layer of another maker, with its own
            change.note(layer, "fused", activation=norm.activation, how="convert_")
            continue
        try:
            if name in unconverted:
                raise Left(unconverted[name])
            uses.check_norm(name)
            try:
                _take_module(norm, uses.modules[uses.activation_behind(name)])
                change.note(layer, "fused", activation=norm.activation, how="modules")
            except Left as left:
                if (block := uses.block_of(name)) is None:
                    raise
                in_blocks.setdefault(block, {})[layer] = str(left)
        except Left as left:
            change.leave(layer, str(left))
    inputs = inputs_of(fused, list(in_blocks), examples)
    for block, why_not in sorted(in_blocks.items(), key=lambda one: _depth(one[0]), reverse=True):  # the inner first
        norms = {layer.names[0]: uses.modules[layer.names[0]] for layer in why_not}
        found = take(uses.modules[block], norms, inputs[block])
        for layer, why in why_not.items():
            taken = found[layer.names[0]]
            if isinstance(taken, str):
                change.leave(layer, "; ".join(dict.fromkeys((why, taken))))
            else:
                cells = {"activation": taken.activation, "residual": taken.residual or None, "why": taken.why}
                change.note(layer, "fused", how="forward", **cells)
    worst = prove(original, fused, examples)
    said = ", ".join(f"{kind} {error:.1e}" for kind, error in worst.items())
    note = f"largest differences in float64, relative to the largest magnitude: {said}"
    return fused, change.report("fused", COLUMNS, [note])


def _depth(name: str) -> int:
    return len(name.split(".")) if name else 0


def _converted(fused: nn.Module) -> tuple[set[str], dict[str, str]]:
    """Make the batch norms of others into ours; return the names of these, and why the rest stayed what it was."""
    others = [layer for layer in layers_of(fused) if not isinstance(layer.module, NormBase)]
    left = {layer.module: why for layer in others if (why := _why_not_ours(layer))}
    wanted = {layer.module for layer in others} - left.keys()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingDoneWarning)
        report = convert_(fused, "batch", where=lambda name, module: module in wanted)
    why_not = {row["layer"]: str(row["why"]) for row in report if row["done"] != "converted"}
    kept = {v.names[0]: left.get(v.module, why_not[v.label]) for v in others if v.label in why_not}
    return {v.names[0] for v in others} - kept.keys(), kept


def _why_not_ours(layer: Layer) -> str | None:
    """Say why a layer can become none of ours that trains as it does."""
    known = foreign(layer.module)
    if layer.is_frozen or (known is not None and known.constant):
        return "is frozen"
    return None if known is not None else layer.why_no_batch_norm


def _take_module(norm: Any, activation: nn.Module) -> None:
    norm.activation = activation_of_module(activation)
    swap(activation, nn.Identity())
