"""Normalization layers made into ones of another kind, in place."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from typing import Any

import torch
from torch import nn

from ...errors import ArgumentError
from ...reports import Report
from ..batches import Forward, read
from ..layers import Where, normalization_layers, selected, uncompiled, with_domains_whole
from ..transaction import transaction
from .become import become
from .calibration import OutputMoments, see_outputs, see_shapes
from .forms import Form, Unsuited, checked, form_of, names, why_not_convertible

__all__ = ["convert_"]

WITHOUT_STATISTICS = (nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def convert_(
    model: nn.Module,
    to: str | Callable[[nn.Module], nn.Module],
    *,
    where: Where | None = None,
    batches: Iterable[Any] | None = None,
    forward: Forward | None = None,
    **options: Any,
) -> Report:
    """Make the batch norms of a model into layers of another kind.

    Each stays the module that it is: whoever holds it, its hooks and its mode remain, and γ and β are the same
    parameters as before. Each takes ε, γ, β and whatever else both kinds have; between kinds with the same state, there
    and back gives the same bytes. A domain batch norm becomes what its layer for the active domain becomes; see
    :func:`steadynorm.nn.domain`.

    Args:
        model: changed in place; the layer itself, too.
        to: ``"group"``, ``"layer"`` (over features and positions, as a group norm of one group), ``"instance"``,
            ``"rms"``, ``"torch"`` (torch's own batch norm), a name in :data:`steadynorm.nn.catalogue.CATALOGUE`, each
            for as many dimensions as the layer is; or a function that is given any normalization layer and returns the
            module to put in its place.
        where: ``where(name, module) -> bool`` selects layers.
        batches: data to calibrate torch's group, layer and instance norms on: one pass through the model as it was, in
            evaluation, after which γ and β are such that each layer, on the input that it had then, gives the mean and
            the variance that each feature had. Layers behind others see slightly other inputs afterwards.
        forward: how to run the model on a batch, see :func:`steadynorm.surgery.batches.call`.
        options: arguments of the new layers' constructor. ``num_groups`` is by default 32 as far as the number of
            features allows, and leaves two features a group.

    Returns: a row for every normalization layer: converted, what it lost, and what it has new; or skipped and why. A
    layer that would normalize single values is skipped, as is one whose activation the new kind does not have.

    Raises: ArgumentError for an unknown name, or options that the new kind does not take; ModelError for data that are
    not finite; whatever the model, the loader or the function raises. The model is then as it was.
    """
    root = uncompiled(model)
    work = _Conversion(root, where)
    if not callable(to):
        if to not in names():
            raise ArgumentError(f"to must be a function or one of {', '.join(names())}; received {to!r}")
        work.by_name(to, options, batches, forward)
    elif options or batches is not None:
        raise ArgumentError("with a function there are no options and no calibration: let the function do it")
    else:
        work.by_function(to)
    return work.report()


class _Conversion:
    """One call of :func:`convert_`: which layer takes which form, or why none."""

    def __init__(self, root: nn.Module, where: Where | None) -> None:
        self.root = root
        self.layers = with_domains_whole(normalization_layers(root), root)
        self.kinds = [layer.kind for layer in self.layers]
        self.reasons = {
            layer.module: None if taken else "not selected" for layer, taken in selected(self.layers, where)
        }
        self.forms: dict[nn.Module, Form] = {}
        self.calibrated: set[nn.Module] = set()
        self.notes: list[str] = [] if self.layers else ["the model has no normalization layer"]

    def by_name(
        self, to: str, options: Mapping[str, Any], batches: Iterable[Any] | None, forward: Forward | None
    ) -> None:
        """Convert batch norms; calibrate them if there are batches."""
        for layer in self.layers:
            self.reasons[layer.module] = self.reasons[layer.module] or why_not_convertible(layer.module)
        sources = [module for module, why in self.reasons.items() if why is None]
        with transaction(self.root, [p for module in sources for p in module.parameters()]):
            data = read(batches) if batches is not None else iter(())
            first = list(islice(data, 1))
            shapes = see_shapes(self.root, sources, first[0], forward) if first else {}
            for module in sources:
                try:
                    self.forms[module] = form_of(module, to, options, shapes.get(module))
                except Unsuited as unsuited:
                    self.reasons[module] = str(unsuited)
            moments = see_outputs(self.root, self._to_match(), chain(first, data), forward) if first else {}
            self._become()
            self._match(moments)
        if batches is not None:
            names = [layer.name for layer in self.layers if layer.module in self.forms.keys() - self.calibrated]
            if names:
                why = "no γ and β of its own, statistics that recalibrate_ takes, or no batch that reached it"
                self.notes.append(f"not calibrated ({why}): {', '.join(names)}")

    def by_function(self, to: Callable[[nn.Module], nn.Module]) -> None:
        """Put what a function returns in the place of each layer."""
        with transaction(self.root):
            for layer in self.layers:
                if self.reasons[layer.module] is None:
                    form = checked(to(layer.module), layer)
                    if form is None:
                        self.reasons[layer.module] = "the function returned it as it is"
                    else:
                        self.forms[layer.module] = form
            self._become()

    def _become(self) -> None:
        for module, form in self.forms.items():
            become(module, form.module)

    def _to_match(self) -> dict[nn.Module, nn.Module]:
        """Return the new layers that keep no statistics, and have a γ and a β that no other layer has."""
        owners = Counter(id(p) for layer in self.layers for p in layer.module.parameters())
        return {
            module: form.module
            for module, form in self.forms.items()
            if isinstance(form.module, WITHOUT_STATISTICS)
            and all(p is not None and owners[id(p)] == 1 for p in (form.module.weight, form.module.bias))
        }

    @torch.no_grad()
    def _match(self, moments: Mapping[nn.Module, OutputMoments]) -> None:
        matched = {
            module: seen.matched(*module.parameters(recurse=False))  # γ, β
            for module, seen in moments.items()
            if seen.old is not None
        }
        for module, (gamma, beta) in matched.items():
            module.weight.copy_(gamma)  # type: ignore[operator]
            module.bias.copy_(beta)  # type: ignore[operator]
        self.calibrated = set(matched)

    def report(self) -> Report:
        """Return a row a layer."""
        rows = []
        for layer, kind in zip(self.layers, self.kinds, strict=True):
            form = self.forms.get(layer.module)
            row: dict[str, Any] = {"layer": layer.label, "kind": kind}
            if form is None:
                row |= {"done": "skipped", "why": self.reasons[layer.module]}
            else:
                row |= {
                    "done": "calibrated" if layer.module in self.calibrated else "converted",
                    "to": form.label,
                    "lost": ", ".join(form.lost) or None,
                    "new": ", ".join(form.fresh) or None,
                }
            rows.append(row)
        columns = ("layer", "kind", "done", "to", "lost", "new", "why")
        title = f"converted {len(self.forms)} of {len(self.layers)} normalization layers"
        return Report(title, columns, rows, self.notes)
