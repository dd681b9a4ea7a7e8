"""Why a layer stays as it is when an affine map is moved from one layer to another: all the reasons that there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ..._torch import hook_tables, parameters_of
from ...nn.base import NormBase
from ...nn.finishing import ACTIVATIONS
from ..change import Left
from ..dataflow.values import Call, DataFlow, End, feature_numbers
from ..foreign import foreign
from ..layers import Layer
from .affine import Affine, affine_of
from .linear import feature_axis, is_linear, sees_all_of_its_kernel

__all__ = ["Surroundings", "is_layer", "is_norm"]

WATCHED = "has a hook, which would see other values"
WEIGHT_HOOKS = (WeightNorm, SpectralNorm, prune.BasePruningMethod)  # they compute the weight before each forward


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a batch norm of torch, of ours or of a user, a frozen one of any package, or registered."""
    return Layer(module).is_batch_norm or Layer(module).is_frozen or foreign(module) is not None


def is_layer(module: nn.Module) -> bool:
    """Whether a module is of interest to the tools that move an affine map from one layer to another."""
    return is_norm(module) or is_linear(module)


class Surroundings:
    """The data flow of a model, asked by layer: what stands around it, and why it must stay. Reasons are raised.

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
        self.look_through(())

    def look_through(self, gone: Sequence[nn.Module]) -> None:
        """Take these layers for doing nothing, because they will be gone."""
        self._through = gone
        linears = [layer for layer in self.flow.calls if is_linear(layer)]
        self._ends = {linear: self.ends(linear, feature_axis(linear)) for linear in linears}

    def name(self, module: nn.Module) -> str:
        """Return a module's first name, for a person."""
        return self.names[module] or "the model"

    def calls(self, layer: nn.Module) -> list[Call]:
        """Return the calls of a layer, in order."""
        return self.flow.calls.get(layer, [])

    def is_bare(self, layer: nn.Module) -> bool:
        """Whether every call gives a layer its input by position, and nothing else."""
        return all(call.bare for call in self.calls(layer))

    def is_gone(self, norm: nn.Module) -> bool:
        """Whether nothing is left of a batch norm once it is folded."""
        return Layer(norm).activation is None and not Layer(norm).after and self.is_bare(norm)

    def ends(self, layer: nn.Module, axis: int) -> list[End]:
        """Return where the outputs of a layer go, all its calls together; its features lie along this axis."""
        return [
            end
            for call in self.calls(layer)
            for value in call.outputs
            for end in self.flow.ends(value, feature_numbers(value.shape, axis), self._through)
        ]

    def _origin(self, call: Call) -> str:
        origin = self.flow.origin(call, self._through)
        return "outside of the model" if origin is None else str(origin)

    # --- of a layer, whatever its neighbours are ----------------------------------------------------------------------

    def check_removable(self, layer: nn.Module) -> None:
        """Raise if a layer must stay as it is seen from outside."""
        if not self.calls(layer):
            raise Left(self._unsure.get(layer, "did not run on the examples"))
        if any(call.input and 0 in call.input.shape for call in self.calls(layer)):
            raise Left("was given an empty batch, which shows nothing")
        if layer in self._unsure:
            raise Left(self._unsure[layer])
        before, *others = hook_tables(layer)
        computing = WEIGHT_HOOKS if is_linear(layer) else ()
        if any(others) or any(not isinstance(hook, computing) for hook in before.values()):
            raise Left(WATCHED)
        tensors = (*layer.parameters(), *layer.buffers())
        kinds = [type(tensor).__name__ for tensor in layer.parameters() if type(tensor) is not nn.Parameter]
        if is_linear(layer) and kinds:  # quantized or distributed ones, say
            raise Left(f"has parameters of another kind, {kinds[0]}")
        users = [self.flow.users[t] for t in tensors if t in self.flow.users]
        if users:
            raise Left(f"its parameters are also used by {users[0]}")

    def check_changeable(self, layer: nn.Module) -> None:
        """Raise if a layer's parameters and buffers must keep their values."""
        try:
            self.check_removable(layer)
            inner = set(layer.modules())
            owners = [owner for t in (*layer.parameters(), *layer.buffers()) for owner in self._owners[t]]
            others = [owner for owner in owners if owner not in inner]
            if others:
                raise Left(f"shares its parameters with {self.name(others[0])}")
        except Left as left:
            raise Left(f"{self.name(layer)}: {left}") from None

    def check_affine(self, norm: nn.Module) -> None:
        """Raise if a batch norm is no affine map with constants that can be read."""
        layer = Layer(norm)
        tried = layer.is_frozen or foreign(norm) is not None  # it may be anybody's
        if not layer.is_frozen:
            if not (tried or layer.computes("_normalize_by_running")):
                raise Left(f"{layer.kind} overrides forward")
            if norm.training:
                raise Left("in training mode: it normalizes with the batch's own statistics")
        if layer.why_no_statistics:
            raise Left(f"{layer.why_no_statistics}: it normalizes with the batch's own")
        if layer.is_by_batch:
            raise Left("is in a setting of batch_statistics: it normalizes with the batch's own")
        affine = affine_of(layer)
        if affine.scale.dim() != 1 or affine.scale.shape != affine.shift.shape:
            raise Left("its statistics are not one value a feature")
        if not bool(torch.isfinite(affine.scale + affine.shift).all()):
            raise Left("its statistics or parameters give values that are not finite")
        if tried:
            if not self.is_bare(norm) and type(norm).forward is not NormBase.forward:
                raise Left(f"{layer.kind} is given more than its input")
            shapes = {call.input.shape for call in self.calls(norm) if call.input}
            if not all(_maps_affinely(layer, affine, shape) for shape in shapes):
                than = "scale and shift by its buffers" if layer.is_frozen else "what it is registered as"
                raise Left(f"{layer.kind} does more than {than}")

    # --- of a batch norm and its neighbours ---------------------------------------------------------------------------

    def before(self, norm: nn.Module) -> list[nn.Module]:
        """Return the linear layers before a batch norm, which can take it up; or raise."""
        sources = [linear for linear, ends in self._ends.items() if any(end.call.layer is norm for end in ends)]
        arrived = {end.call for linear in sources for end in self._ends[linear] if end.place == 0}
        for call in self.calls(norm):
            if call not in arrived:
                raise Left(f"its input comes from {self._origin(call)}")
        shifts = bool(affine_of(Layer(norm)).shift.any())
        for linear in sources:
            for end in self._ends[linear]:
                if end.call.layer is not norm or end.place != 0:
                    raise Left(f"the output of {self.name(linear)} also goes to {end.call}")
                if not end.along(Layer(norm).channel_axis):
                    raise Left(f"it normalizes another axis than that of the outputs of {self.name(linear)}")
                if end.padded and shifts:
                    raise Left("zeros are padded before it, where its shift would be missing")
            self.check_changeable(linear)
        return sources

    def behind(self, norm: nn.Module) -> list[nn.Module]:
        """Return the linear layers behind a batch norm, which can take it up; or raise."""
        if not self.is_gone(norm):
            raise Left("more than an affine map follows from it: an activation, a residual or a mask")
        shifts = bool(affine_of(Layer(norm)).shift.any())
        targets: dict[nn.Module, set[Call]] = {}
        for end in self.ends(norm, Layer(norm).channel_axis):
            linear = end.call.layer
            if linear is None or not is_linear(linear) or end.place != 0:
                raise Left(f"its output goes to {end.call}")
            if not end.along(feature_axis(linear)):
                raise Left(f"it normalizes another axis than that of the inputs of {self.name(linear)}")
            if shifts and not (sees_all_of_its_kernel(linear) and end.call.bare and not end.padded):
                raise Left(f"its shift would be missing at the border, where {self.name(linear)} sees zeros")
            targets.setdefault(linear, set()).add(end.call)
        if not targets:
            raise Left("its output goes nowhere")
        for linear, calls in targets.items():
            others = [call for call in self.calls(linear) if call not in calls]
            if others:
                raise Left(f"{self.name(linear)} also takes {self._origin(others[0])}")
            self.check_changeable(linear)
        return list(targets)

    def check_storable(self, linear: nn.Module, tensors: Iterable[Tensor]) -> None:
        """Raise if a linear layer's dtype cannot hold its new weights."""
        dtype = next(linear.parameters()).dtype
        if not all(bool(t.to(dtype).isfinite().all()) for t in tensors):
            raise Left(f"the weights of {self.name(linear)} would overflow {dtype}")

    # --- of a bias ----------------------------------------------------------------------------------------------------

    def cancelling(self, linear: nn.Module) -> list[nn.Module]:
        """Return the batch norms that take away the bias of a layer; or raise."""
        if "bias" not in parameters_of(linear):
            raise Left("something computes its bias")
        ends = self._ends.get(linear, [])
        norms: dict[nn.Module, None] = {}
        for end in ends:
            norm = end.call.layer
            if norm is None or not is_norm(norm) or end.place != 0:
                raise Left(f"its output goes to {end.call}")
            if not end.along(Layer(norm).channel_axis):
                raise Left(f"{self.name(norm)} normalizes another axis")
            if end.padded:
                raise Left(f"zeros are padded before {self.name(norm)}")
            norms[norm] = None
        arrived = {end.call for end in ends}
        for norm in norms:
            layer = Layer(norm)
            others = [call for call in self.calls(norm) if call not in arrived]
            if others and layer.module.running_mean is not None:
                raise Left(f"{self.name(norm)} also takes {self._origin(others[0])}")
            if not (layer.is_frozen or layer.computes("_normalize_by_running", "_normalize_by_batch")):
                raise Left(f"{self.name(norm)}: {layer.kind} overrides forward")
            self.check_changeable(norm)
        try:
            self.check_changeable(linear)
        except Left as left:
            raise Left(str(left).removeprefix(f"{self.name(linear)}: ")) from None
        if not ends:
            raise Left("its output goes nowhere")
        return list(norms)


@torch.no_grad()
def _maps_affinely(norm: Layer, affine: Affine, shape: tuple[int, ...]) -> bool:
    """Try a layer on random input: is it scale · x + shift along its features' axis, and what follows in it?"""
    axis = norm.channel_axis
    if len(shape) < 2 or shape[axis] != len(affine.scale):
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(norm.module.running_mean)
    expected = (x.double().movedim(axis, -1) * affine.scale + affine.shift).movedim(-1, axis)
    if isinstance(norm.module, NormBase):
        expected = expected if norm.activation is None else ACTIVATIONS[norm.activation](expected)
    else:
        for part in norm.after:
            expected = part(expected.to(x.dtype))
    found = norm.module(x)
    close = 1e-2 if x.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return found.shape == expected.shape and torch.allclose(found.double(), expected.double(), close, close)
