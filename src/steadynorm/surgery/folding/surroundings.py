"""What a data flow says about a layer: what stands around it, and who else has a claim on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..dataflow import Call, DataFlow, End, feature_numbers
from .affine import is_batch_norm
from .linear import is_linear, why_fixed

__all__ = ["Surroundings", "is_layer"]

WATCHED = "has a hook, which would see other values"


def is_layer(module: nn.Module) -> bool:
    """Whether a module is of interest to the tools that move an affine map from one layer to another."""
    return is_batch_norm(module) or is_linear(module)


class Surroundings:
    """The data flow of a model, asked by layer.

    Args:
        model: the copy that was traced.
        flow: its data flow, with :func:`is_layer` for the layers of interest.
    """

    def __init__(self, model: nn.Module, flow: DataFlow) -> None:
        self.flow = flow
        self.names = {module: name for name, module in model.named_modules()}
        self._unsure = {inner: why for module, why in flow.unsure.items() for inner in module.modules()}
        self._owners: dict[Tensor, list[nn.Module]] = {}
        for module in model.modules():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self._owners.setdefault(tensor, []).append(module)

    def name(self, module: nn.Module) -> str:
        """Return a module's first name, for a person."""
        return self.names[module] or "the model"

    def calls(self, layer: nn.Module) -> list[Call]:
        """Return the calls of a layer, in order."""
        return self.flow.calls.get(layer, [])

    def linears(self) -> list[nn.Module]:
        """Return the linear layers that ran."""
        return [layer for layer in self.flow.calls if is_linear(layer)]

    def why_not_removable(self, layer: nn.Module) -> str | None:
        """Say why a layer must stay as it is seen from outside, whatever its neighbours are; None if it need not."""
        if not self.calls(layer):
            return self._unsure.get(layer, "did not run on the examples")
        if any(call.input and 0 in call.input.shape for call in self.calls(layer)):
            return "was given an empty batch, which shows nothing"
        users = [self.flow.users[t] for t in (*layer.parameters(), *layer.buffers()) if t in self.flow.users]
        used = f"its parameters are also used by {users[0]}" if users else None
        return self._unsure.get(layer) or _why_watched(layer) or used

    def why_not_changeable(self, layer: nn.Module) -> str | None:
        """Say why a layer's parameters and buffers must keep their values; None if they need not."""
        inner = set(layer.modules())
        owners = [owner for t in (*layer.parameters(), *layer.buffers()) for owner in self._owners[t]]
        others = [owner for owner in owners if owner not in inner]
        shared = f"shares its parameters with {self.name(others[0])}" if others else None
        return self.why_not_removable(layer) or shared

    def ends(self, layer: nn.Module, axis: int, through: Sequence[Any] = ()) -> list[End]:
        """Return where the outputs of a layer go, all its calls together; its features lie along this axis."""
        return [
            end
            for call in self.calls(layer)
            for value in call.outputs
            for end in self.flow.ends(value, feature_numbers(value.shape, axis), through)
        ]

    def origin(self, call: Call, through: Sequence[Any] = ()) -> str:
        """Say where the input of a call comes from."""
        origin = self.flow.origin(call, through)
        return "outside of the model" if origin is None else str(origin)


def _why_watched(layer: nn.Module) -> str | None:
    if is_linear(layer):
        return why_fixed(layer)
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return WATCHED if any(hooks) else None
