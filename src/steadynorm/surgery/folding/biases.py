"""Biases that a following batch norm takes away again: absorbed into its running mean, and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...reports import Report
from ..dataflow import Example, duplicate, read_examples, trace, with_values
from ..transaction import transaction
from .affine import is_batch_norm, why_not_shift_invariant
from .linear import feature_axis, is_linear
from .proof import prove
from .surroundings import Surroundings, is_layer

__all__ = ["drop_redundant_biases_"]


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
    names = [name for name, m in root.named_modules() if is_linear(m) and m.bias is not None]
    before = duplicate(root).eval()
    found = [_Cancellation(duplicate(root), examples, training) for training in (False, True)] if names else []
    rows: list[dict[str, Any]] = []
    with transaction(root):
        for name in names:
            row: dict[str, Any] = {"layer": name or "(the model)", "kind": type(root.get_submodule(name)).__name__}
            reason = next((r for r in (one.why_not(name) for one in found) if r), None)
            if reason is None:
                norms = sorted(set().union(*(one.norms(name) for one in found)))
                _absorb(root.get_submodule(name), [root.get_submodule(norm) for norm in norms])
                row |= {"done": "dropped", "into": ", ".join(norms)}
            else:
                row |= {"done": "kept", "why": reason}
            rows.append(row)
        errors = prove(before, duplicate(root).eval(), (), examples, None)
    count = sum(row["done"] == "dropped" for row in rows)
    note = f"largest difference at the output, relative to its largest magnitude: {errors[None]:.1e}"
    return Report(f"dropped {count} of {len(rows)} biases", ("layer", "kind", "done", "into", "why"), rows, (note,))


class _Cancellation:
    """What one of the two modes does to the biases.

    Args:
        copy: of the model. Its batch norms stay in evaluation, for they do not decide and want no larger batch there.
    """

    def __init__(self, copy: nn.Module, examples: Sequence[Example], training: bool) -> None:
        copy.train(training)
        for module in copy.modules():
            if is_batch_norm(module):
                module.eval()
        self._copy = copy
        self._around = Surroundings(copy, trace(copy, examples, is_layer))

    def norms(self, name: str) -> set[str]:
        """Return the names of the batch norms behind a layer."""
        linear = self._copy.get_submodule(name)
        ends = self._around.ends(linear, feature_axis(linear))
        return {self._around.names[end.call.layer] for end in ends if end.call.layer}

    def why_not(self, name: str) -> str | None:
        """Say why a bias must stay, as far as this mode is concerned; None if it need not."""
        linear = self._copy.get_submodule(name)
        if "bias" not in linear._parameters:
            return "something computes its bias"
        ends = self._around.ends(linear, feature_axis(linear))
        for end in ends:
            norm = end.call.layer
            if norm is None or not is_batch_norm(norm) or end.place != 0:
                return f"its output goes to {end.call}"
            if not end.along(1):
                return f"{self._around.name(norm)} normalizes another axis"
            if end.padded:
                return f"zeros are padded before {self._around.name(norm)}"
        arrived = {end.call for end in ends}
        for norm in {end.call.layer for end in ends if end.call.layer}:
            others = [call for call in self._around.calls(norm) if call not in arrived]
            if others and norm.running_mean is not None:
                return f"{self._around.name(norm)} also takes {self._around.origin(others[0])}"
            reason = why_not_shift_invariant(norm) or self._around.why_not_changeable(norm)
            if reason:
                return f"{self._around.name(norm)}: {reason}"
        return self._around.why_not_changeable(linear) or (None if ends else "its output goes nowhere")


@torch.no_grad()
def _absorb(linear: nn.Module, norms: Sequence[nn.Module]) -> None:
    """Take a bias out of a layer and out of the running means behind it."""
    bias: Tensor = linear.bias  # type: ignore[assignment]
    for norm in norms:
        if isinstance(norm.running_mean, Tensor):
            norm.running_mean.copy_(norm.running_mean.double() - bias.double())
    linear.register_parameter("bias", None)
