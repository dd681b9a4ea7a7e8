"""Biases that a following batch norm takes away again: absorbed into its running mean, and removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..reports import Report
from ._fold.linear import is_linear
from ._fold.proof import prove
from ._fold.reasons import Surroundings, is_layer, is_norm
from .change import Change, Left, transaction
from .dataflow.copying import duplicate, with_values
from .dataflow.examples import Example, read_examples
from .dataflow.tracing import trace
from .layers import Layer, layers_of

__all__ = ["drop_redundant_biases_", "redundant_biases"]


def drop_redundant_biases_(model: nn.Module, example_inputs: Any) -> Report:
    r"""Remove the biases of convolutions and linear layers that a batch norm behind them cancels.

    .. math:: \mathrm{BN}(W u + b;\ \mu) = \mathrm{BN}(W u;\ \mu - b)

    In training the batch's mean takes the bias away, so that its gradient is 0 and only weight decay moves it; in
    evaluation the running mean does, and takes it over: μ ← μ − b. Outputs stay what they are, in both modes, up to
    rounding. Which batch norm stands behind a bias is established by tracing the model in evaluation and in training;
    see :mod:`steadynorm.surgery.dataflow`. Whatever is not established is kept, and the report says why.

    Modules and all other parameters keep their identity. An optimizer that holds a removed bias keeps it and finds no
    gradient for it.

    Args:
        model: changed in place. Its mode does not matter and is kept.
        example_inputs: as :func:`steadynorm.fold` takes them.

    Returns: a row for every convolution and linear layer that has a bias: dropped, and the batch norms that took it
    over; or kept and why.

    Raises: ModelError for a model without values, or that does not run on the examples; FoldError if the outputs in
    evaluation differ beyond rounding; ArgumentError for arguments. The model is then as it was.
    """
    root = with_values(model)
    examples = read_examples(example_inputs)
    before = duplicate(root).eval()
    found = _cancelled(root, examples)
    change = Change(root, layers=list(found), left="kept")
    with transaction(root):
        for layer, norms in found.items():
            if isinstance(norms, Left):
                change.leave(layer, str(norms))
                continue
            _absorb(layer.module, [root.get_submodule(name) for name in norms])
            change.note(layer, "dropped", into=", ".join(norms))
        errors = prove(before, duplicate(root).eval(), (), examples, None)
    note = f"largest difference at the output, relative to its largest magnitude: {errors[None]:.1e}"
    return change.report("dropped", ("into",), [note], what="bias")


def redundant_biases(model: nn.Module, example_inputs: Any) -> dict[str, list[str]]:
    """Return the names of the layers whose bias is cancelled, each with those of the batch norms that cancel it.

    Arguments and errors as of :func:`drop_redundant_biases_`; the model is copied and not changed.
    """
    found = _cancelled(with_values(model), read_examples(example_inputs))
    return {layer.name: norms for layer, norms in found.items() if not isinstance(norms, Left)}


def _cancelled(root: nn.Module, examples: Sequence[Example]) -> dict[Layer, list[str] | Left]:
    """Return each layer that has a bias with the names of the batch norms that cancel it, or why none does."""
    linears = layers_of(root, lambda module: is_linear(module) and module.bias is not None)
    modes = [_watch(duplicate(root), examples, training) for training in (False, True)] if linears else []
    found: dict[Layer, list[str] | Left] = {}
    for layer in linears:
        try:
            found[layer] = sorted({v for copy, around in modes for v in _cancelling(copy, around, layer.names[0])})
        except Left as left:
            found[layer] = left
    return found


def _watch(copy: nn.Module, examples: Sequence[Example], training: bool) -> tuple[nn.Module, Surroundings]:
    """Trace a copy in one of the two modes.

    Its batch norms stay in evaluation, for they do not decide and want no larger batch there.
    """
    copy.train(training)
    for module in copy.modules():
        if is_norm(module):
            module.eval()
    return copy, Surroundings(copy, trace(copy, examples, is_layer))


def _cancelling(copy: nn.Module, around: Surroundings, name: str) -> list[str]:
    return [around.names[norm] for norm in around.cancelling(copy.get_submodule(name))]


@torch.no_grad()
def _absorb(linear: Any, norms: Iterable[Any]) -> None:
    """Take a bias out of a layer and out of the running means behind it."""
    for norm in norms:
        if norm.running_mean is not None:
            norm.running_mean.copy_(norm.running_mean.double() - linear.bias.double())
    linear.register_parameter("bias", None)
