"""Which batch norms fold, and into what: the conditions, and the weights that result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ... import functional
from ..dataflow import Call
from .affine import Affine, affine_of, has_activation, is_batch_norm, why_not_affine
from .linear import bake, feature_axis, groups_of, is_linear, is_transposed, sees_all_of_its_kernel
from .surroundings import Surroundings

__all__ = ["Plan"]


class _Kept(Exception):
    """Why a batch norm is not folded in one direction."""


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
        self._last: dict[
            nn.Module, nn.Module
        ] = {}  # for these linear layers: the last batch norm folded behind, or itself
        self._around = around
        self._fold_all([module for module in model.modules() if is_batch_norm(module)])

    def _fold_all(self, norms: list[nn.Module]) -> None:
        """Fold what can be folded; one that goes may bring others together, so again until nothing changes."""
        for norm in norms:
            reason = self._around.why_not_removable(norm)
            reason = reason or why_not_affine(norm, self._shapes(norm), bare=self.is_bare(norm))
            if reason:
                self.reasons[norm] = reason
        waiting = [norm for norm in norms if norm not in self.reasons]
        before = -1
        while len(self.folded) > before:
            before = len(self.folded)
            self._through = [norm for norm in self.folded if self._is_gone(norm)]
            self._ends = {
                linear: self._around.ends(linear, feature_axis(linear), self._through)
                for linear in self._around.linears()
            }
            for norm in [norm for norm in waiting if norm not in self.folded]:
                self._fold(norm)

    def _fold(self, norm: nn.Module) -> None:
        reasons = []
        for direction in (self._after, self._before):
            try:
                direction(norm)
            except _Kept as kept:
                reasons.append(str(kept))
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

    # --- the conditions -----------------------------------------------------------------------------------------------

    def _after(self, norm: nn.Module) -> None:
        """Fold into the linear layers before it, or raise."""
        sources = [linear for linear, ends in self._ends.items() if any(end.call.layer is norm for end in ends)]
        arrived = {end.call for linear in sources for end in self._ends[linear] if end.place == 0}
        for call in self._around.calls(norm):
            if call not in arrived:
                raise _Kept(f"its input comes from {self._around.origin(call, self._through)}")
        affine = affine_of(norm)
        for linear in sources:
            name = self._around.name(linear)
            for end in self._ends[linear]:
                if end.call.layer is not norm or end.place != 0:
                    raise _Kept(f"the output of {name} also goes to {end.call}")
                if not end.along(1):
                    raise _Kept(f"it normalizes another axis than that of the outputs of {name}")
                if end.padded and bool(affine.shift.any()):
                    raise _Kept("zeros are padded before it, where its shift would be missing")
            self._check_free(linear)
        self._commit(norm, sources, functional.fold_weights_after, affine)

    def _before(self, norm: nn.Module) -> None:
        """Fold into the linear layers behind it, or raise."""
        if not self._is_gone(norm):
            raise _Kept("more than an affine map follows from it: an activation, a residual or a mask")
        affine = affine_of(norm)
        targets: dict[nn.Module, set[Call]] = {}
        for end in self._around.ends(norm, 1, self._through):
            linear = end.call.layer
            if linear is None or not is_linear(linear) or end.place != 0:
                raise _Kept(f"its output goes to {end.call}")
            if not end.along(feature_axis(linear)):
                raise _Kept(f"it normalizes another axis than that of the inputs of {self._around.name(linear)}")
            whole = sees_all_of_its_kernel(linear) and end.call.bare and not end.padded
            if bool(affine.shift.any()) and not whole:
                raise _Kept(f"its shift would be missing at the border, where {self._around.name(linear)} sees zeros")
            targets.setdefault(linear, set()).add(end.call)
        if not targets:
            raise _Kept("its output goes nowhere")
        for linear, calls in targets.items():
            others = [call for call in self._around.calls(linear) if call not in calls]
            if others:
                origin = self._around.origin(others[0], self._through)
                raise _Kept(f"{self._around.name(linear)} also takes {origin}")
            self._check_free(linear)
        self._commit(norm, list(targets), functional.fold_weights_before, affine)

    def _check_free(self, linear: nn.Module) -> None:
        reason = self._around.why_not_changeable(linear)
        if reason:
            raise _Kept(f"{self._around.name(linear)}: {reason}")

    def is_bare(self, norm: nn.Module) -> bool:
        """Whether every call gives a layer its input by position, and nothing else."""
        return all(call.bare for call in self._around.calls(norm))

    def _is_gone(self, norm: nn.Module) -> bool:
        """Whether nothing is left of a batch norm once it is folded."""
        return not has_activation(norm) and self.is_bare(norm)

    def _shapes(self, norm: nn.Module) -> list[tuple[int, ...]]:
        return [call.input.shape for call in self._around.calls(norm) if call.input]

    # --- the weights --------------------------------------------------------------------------------------------------

    def _commit(self, norm: nn.Module, linears: list[nn.Module], formula: Callable[..., Any], affine: Affine) -> None:
        """Take the new weights of these layers, unless their dtype cannot hold them."""
        weights = {}
        for linear in linears:
            dtype = next(linear.parameters()).dtype
            weight, bias = self.weights.get(linear) or bake(linear)
            arguments = {"groups": groups_of(linear), "transposed": is_transposed(linear)}
            weight, new_bias = formula(weight, bias, affine.scale, affine.shift, **arguments)
            weights[linear] = weight, new_bias if bias is not None or bool(new_bias.any()) else None
            if not all(bool(t.to(dtype).isfinite().all()) for t in (weight, new_bias)):
                raise _Kept(f"the weights of {self._around.name(linear)} would overflow {dtype}")
        self.weights |= weights
        self.folded[norm] = linears
        for linear in linears:
            self._last.setdefault(linear, linear)
            if formula is functional.fold_weights_after:
                self._last[linear] = norm
