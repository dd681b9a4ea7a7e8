"""The normalization layers of a model: all of them, once each, with every name they have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from ..errors import ArgumentError
from ..nn.variants.domain import DomainBatchNormBase

__all__ = ["Layer", "Where", "normalization_layers", "selected", "uncompiled", "with_domains_whole"]

Where = Callable[[str, nn.Module], bool]

KINDS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d)


@dataclass(frozen=True)
class Layer:
    """A normalization layer and where it is."""

    module: nn.Module
    names: tuple[str, ...]
    """Every path to it, in the order of the model; the model itself is ``""``."""

    @property
    def name(self) -> str:
        """Its first name, as a report shows it."""
        return self.names[0] or "(the model)"

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self.module).__name__

    @property
    def is_batch_norm(self) -> bool:
        """Whether it is torch's batch norm, ours, synchronized, or a user's subclass."""
        return isinstance(self.module, _BatchNorm)

    @property
    def label(self) -> str:
        """Its names for a report: the first, and how many more there are."""
        return self.name + (f" (also {', '.join(self.names[1:])})" if len(self.names) > 1 else "")


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` wraps, or the model itself: hooks on the wrapper are ignored."""
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"the model must be a torch.nn.Module, received {type(model).__name__}")
    inner: nn.Module | None = getattr(model, "_orig_mod", None)
    return model if inner is None else inner


def is_normalization(module: nn.Module) -> bool:
    """Whether a module normalizes: torch's kinds, and frozen batch norms of any package, which share no base class."""
    return isinstance(module, KINDS) or "FrozenBatchNorm" in type(module).__name__


def normalization_layers(model: nn.Module) -> list[Layer]:
    """Return every normalization layer of a model, in the model's order; a shared one once, with all its names."""
    return _layers(model, is_normalization)


def with_domains_whole(layers: list[Layer], model: nn.Module) -> list[Layer]:
    """Return the layers of a model with each domain batch norm as one, in the place of its parts."""
    wholes = _layers(model, lambda module: isinstance(module, DomainBatchNormBase))
    owner = {part: whole for whole in wholes for part in whole.module.domains.values()}  # type: ignore[operator]
    return list(dict.fromkeys(owner.get(layer.module, layer) for layer in layers))


def selected(layers: list[Layer], where: Where | None) -> Iterator[tuple[Layer, bool]]:
    """Yield each layer and whether ``where`` selects it, by any of its names; None selects all."""
    for layer in layers:
        yield layer, where is None or any(where(name, layer.module) for name in layer.names)


def _layers(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[Layer]:
    names: dict[nn.Module, list[str]] = {}
    for name, module in uncompiled(model).named_modules(remove_duplicate=False):
        if wanted(module):
            names.setdefault(module, []).append(name.replace("_orig_mod.", ""))
    return [Layer(module, tuple(found)) for module, found in names.items()]
