"""γ and β of new layers set so that what comes out keeps the moments that came out of the old ones."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ...functional import Moments, batch_moments, merge_moments
from ..progress import track
from ..watch import Forward, call, evaluating, hooked

__all__ = ["OutputMoments", "see_outputs", "see_shapes"]


class OutputMoments:
    """Mean and variance of each feature, in float64: of what an old layer gives, and a new one on the same input."""

    def __init__(self) -> None:
        self.old: Moments | None = None
        self.new: Moments | None = None

    def add(self, old: Tensor, new: Tensor) -> None:
        """Take in one use of the layer."""
        for name, y in (("old", old), ("new", new)):
            moments, before = batch_moments(y.double()), getattr(self, name)
            setattr(self, name, moments if before is None else merge_moments(before, moments))

    def matched(self, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return γ and β with which the new layer's output has the old one's moments.

        .. math:: s = \sigma_{old} / \sigma_{new}, \qquad \gamma' = s\,\gamma, \qquad
                  \beta' = s\,(\beta - \mu_{new}) + \mu_{old}

        A feature that the new layer makes constant keeps its γ.
        """
        if self.old is None or self.new is None:
            return gamma, beta
        alive = self.new.var > 0
        s = torch.where(alive, self.old.var / torch.where(alive, self.new.var, 1), 1).sqrt()
        matched = s * gamma.double(), s * (beta.double() - self.new.mean) + self.old.mean
        if not all(bool(torch.isfinite(v).all()) for v in matched):
            raise ModelError("moments must be finite to be matched: look for NaN or infinity in the data")
        return matched


def see_shapes(
    model: nn.Module, layers: Iterable[nn.Module], batch: Any, forward: Forward | None
) -> dict[nn.Module, set[torch.Size]]:
    """Run one batch in evaluation and return the shapes that each layer was given."""
    seen: dict[nn.Module, set[torch.Size]] = {layer: set() for layer in layers}

    def see(layer: nn.Module, args: Any, kwargs: Any, y: Tensor) -> None:
        seen[layer].add(y.shape)

    with hooked(seen, after=see), evaluating(model):
        call(model, batch, forward)
    return seen


def see_outputs(
    model: nn.Module, new: Mapping[nn.Module, nn.Module], batches: Iterable[Any], forward: Forward | None
) -> dict[nn.Module, OutputMoments]:
    """Run the model as it is over the data; beside each layer, the new one on the same input."""
    seen = {layer: OutputMoments() for layer in new}
    takes = {layer: inspect.signature(one.forward).parameters for layer, one in new.items()}

    def see(layer: nn.Module, args: Any, kwargs: Any, y: Tensor) -> None:
        if len(args) > len(takes[layer]) or not kwargs.keys() <= takes[layer].keys():
            given = ", ".join(["x", *(f"argument {n}" for n in range(2, len(args) + 1)), *kwargs])
            raise ModelError(f"a layer that takes only x is to replace one that the model calls with {given}")
        seen[layer].add(y, new[layer].eval()(*args, **kwargs))

    with hooked(new, after=see), evaluating(model):
        for batch in track(batches, "calibrating: batch"):
            call(model, batch, forward)
    return seen
