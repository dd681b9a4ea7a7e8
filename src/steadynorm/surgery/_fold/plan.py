"""Which batch norms fold, and into what; and the weights that result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ... import functional
from ..change import Left
from ..layers import Layer
from .affine import affine_of
from .linear import bake, groups_of, is_transposed
from .reasons import Surroundings, is_norm

__all__ = ["Plan"]


class Plan:
    """What folds, with the new weights; nothing that runs is changed.

    Args:
        model: the copy that was traced; what computes a weight in it is replaced by the weight.
        around: its data flow.
    """

    def __init__(self, model: nn.Module, around: Surroundings) -> None:
        self.names = around.names
        """Of every module of the copy."""
        self.folded: dict[nn.Module, list[nn.Module]] = {}
        """For a batch norm that goes: the linear layers that take it up."""
        self.weights: dict[nn.Module, tuple[Tensor, Tensor | None]] = {}
        """For these linear layers: weight and bias, in float64."""
        self.reasons: dict[nn.Module, str] = {}
        """For a batch norm that stays."""
        self.is_bare = around.is_bare
        self._around = around
        self._last: dict[nn.Module, nn.Module] = {}
        """For these linear layers: the last batch norm folded behind, or itself."""
        self._fold_all([module for module in model.modules() if is_norm(module)])

    def _fold_all(self, norms: list[nn.Module]) -> None:
        """Fold what can be folded; one that goes may bring others together, so again until nothing changes."""
        for norm in norms:
            try:
                self._around.check_removable(norm)
                self._around.check_affine(norm)
            except Left as left:
                self.reasons[norm] = str(left)
        waiting = [norm for norm in norms if norm not in self.reasons]
        before = -1
        while len(self.folded) > before:
            before = len(self.folded)
            self._around.look_through([norm for norm in self.folded if self._around.is_gone(norm)])
            for norm in [norm for norm in waiting if norm not in self.folded]:
                self._fold(norm)

    def _fold(self, norm: nn.Module) -> None:
        reasons = []
        for neighbours, formula in (
            (self._around.before, functional.fold_weights_after),
            (self._around.behind, functional.fold_weights_before),
        ):
            try:
                self._commit(norm, neighbours(norm), formula)
            except Left as left:
                reasons.append(str(left))
            else:
                self.reasons.pop(norm, None)
                return
        self.reasons[norm] = "; ".join(dict.fromkeys(reasons))

    def point(self, linear: nn.Module) -> str | None:
        """Return the name of the module whose outputs stay what they were though this layer has new weights.

        None if there is none but the model: a batch norm of two layers is not always the last behind both.
        """
        last = self._last[linear]
        same = all(self._last[other] is last for other in self.folded.get(last, ()))
        return self.names[last] if same else None

    def _commit(self, norm: nn.Module, linears: list[nn.Module], formula: Callable[..., Any]) -> None:
        """Take the new weights of these layers, unless their dtype cannot hold them."""
        affine, weights = affine_of(Layer(norm)), {}
        for linear in linears:
            weight, bias = self.weights.get(linear) or bake(linear)
            arguments = {"groups": groups_of(linear), "transposed": is_transposed(linear)}
            weight, new_bias = formula(weight, bias, affine.scale, affine.shift, **arguments)
            weights[linear] = weight, new_bias if bias is not None or bool(new_bias.any()) else None
            self._around.check_storable(linear, (weight, new_bias))
        self.weights |= weights
        self.folded[norm] = linears
        for linear in linears:
            self._last.setdefault(linear, linear)
            if formula is functional.fold_weights_after:
                self._last[linear] = norm
