"""The model that is examined, and which of its layers are in question."""

from dataclasses import dataclass

from torch import nn

from ..surgery.layers import Layer, layers_of, uncompiled

__all__ = ["Subject"]


@dataclass
class Subject:
    """A model, as it was given, with what wraps it."""

    model: nn.Module

    def __post_init__(self) -> None:
        self.root = uncompiled(self.model)
        self.layers: list[Layer] = [layer for layer in layers_of(self.root) if not layer.why_unready]

    @property
    def batch_norms(self) -> list[Layer]:
        """The layers that take statistics over examples when they train."""
        return [layer for layer in self.layers if layer.is_batch_norm]

    @property
    def moving(self) -> list[Layer]:
        """The batch norms with a running mean and variance that training moves."""
        return [v for v in self.batch_norms if not (v.why_no_statistics or v.why_no_variances or self.holds(v))]

    def holds(self, layer: Layer) -> bool:
        """Whether a layer is kept from training: frozen, or in evaluation while the model trains."""
        return bool(layer.why_constant) or (self.root.training and not layer.module.training)
