"""Normalization layers made into ones of another kind, in place."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from typing import Any

import torch
from torch import nn

from .._renamed import nearest, renamed
from ..errors import ArgumentError
from ..nn.catalogue import CATALOGUE
from ..nn.domain import DomainBatchNormBase
from ..reports import Report
from ._convert.calibration import OutputMoments, see_outputs, see_shapes
from ._convert.forms import Form, checked, form_of, names, why_not_convertible
from ._fuse.forward import Written, restore
from .change import Change, Left, swap, transaction
from .layers import Layer, Where, layers_of, uncompiled
from .watch import Forward, read

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
    :func:`steadynorm.nn.domain`. Where :func:`steadynorm.fuse` has written a block's forward anew, and the new kind
    takes no residual, the block gets its own forward back.

    Args:
        model: changed in place; the layer itself, too.
        to: ``"group"``, ``"layer"`` (over features and positions, as a group norm of one group), ``"instance"``,
            ``"rms"``, ``"torch"`` (torch's own batch norm; with an activation, a ``torch.nn.Sequential`` of both), a
            name in :data:`steadynorm.nn.catalogue.CATALOGUE`, each for as many dimensions as the layer is; or a
            function that is given any normalization layer and returns the module to put in its place.
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.
        batches: data to calibrate torch's group, layer and instance norms on: one pass through the model as it was, in
            evaluation, after which γ and β are such that each layer, on the input that it had then, gives the mean and
            the variance that each feature had. Layers behind others see slightly other inputs afterwards.
        forward: how to run the model on a batch, see :func:`steadynorm.surgery.watch.call`.
        options: arguments of the new layers' constructor. ``num_groups`` is by default 32 as far as the number of
            features allows, and leaves two features a group.

    Returns: a row for every normalization layer: converted, what it lost, and what it has new; or skipped and why. A
    layer that would normalize single values is skipped, as is one whose activation the new kind does not have.

    Raises: ArgumentError for an unknown name, or options that the new kind does not take; ModelError for data that are
    not finite; whatever the model, the loader or the function raises. The model is then as it was.
    """
    if callable(to):
        if options or batches is not None:
            raise ArgumentError("with a function there are no options and no calibration: let the function do it")
        work = _Conversion(model, lambda layer: None, where)
        with transaction(work.root):
            work.restore_blocks()
            work.take(lambda layer: checked(to(layer.module), layer))
            work.swap()
        return work.done()
    name = renamed(to, {"weighed": "weighted"})
    if name not in names():
        raise ArgumentError(
            f"to must be a function or one of {', '.join(names())}; received {to!r}{nearest(to, names())}"
        )
    work = _Conversion(model, why_not_convertible, where)
    data = read(batches) if batches is not None else iter(())
    with transaction(work.root, [p for layer in work.taken for p in layer.module.parameters()]):
        if name not in {method.name for method in CATALOGUE}:
            work.restore_blocks()
        first = list(islice(data, 1))
        sources = [layer.module for layer in work.taken]
        shapes = see_shapes(work.root, sources, first[0], forward) if first else {}
        work.take(lambda layer: form_of(layer, name, options, shapes.get(layer.module)))
        moments = see_outputs(work.root, work.to_match(), chain(first, data), forward) if first else {}
        work.swap()
        work.match(moments)
    return work.done(notes=batches is not None)


class _Conversion(Change):
    """One call of :func:`convert_`: besides, which layer takes which form."""

    def __init__(self, model: nn.Module, why_not: Callable[[Layer], str | None], where: Where | None) -> None:
        super().__init__(model, why_not, where, _with_domains_whole(uncompiled(model)))
        self.forms: dict[nn.Module, Form] = {}
        self.calibrated: set[nn.Module] = set()

    def restore_blocks(self) -> None:
        """Give blocks that :func:`steadynorm.fuse` has written anew their own forward: no other kind does as much."""
        chosen = {layer.module for layer in self.taken}
        for block in list(self.root.modules()):
            if isinstance(block, Written) and not chosen.isdisjoint(block.modules()):
                restore(block)

    def take(self, form_of: Callable[[Layer], Form]) -> None:
        """Find each layer's form, or why it has none."""
        for layer in self.taken:
            try:
                self.forms[layer.module] = form_of(layer)
            except Left as left:
                self.leave(layer, str(left))

    def swap(self) -> None:
        """Let each layer take its form."""
        for module, form in self.forms.items():
            swap(module, form.module)

    def to_match(self) -> dict[nn.Module, nn.Module]:
        """Return the new layers that keep no statistics, and have a γ and a β that no other layer has."""
        owners = Counter(id(p) for layer in self.layers for p in layer.module.parameters())
        return {
            module: form.module
            for module, form in self.forms.items()
            if isinstance(form.module, WITHOUT_STATISTICS)
            and all(p is not None and owners[id(p)] == 1 for p in (form.module.weight, form.module.bias))
        }

    @torch.no_grad()
    def match(self, moments: Mapping[nn.Module, OutputMoments]) -> None:
        """Give the new layers the γ and the β with which they give what the old ones gave."""
        matched = {
            module: seen.matched(*module.parameters(recurse=False))  # γ, β
            for module, seen in moments.items()
            if seen.old is not None
        }
        for module, affine in matched.items():
            for parameter, value in zip(module.parameters(recurse=False), affine, strict=True):
                parameter.copy_(value)
        self.calibrated = set(matched)

    def done(self, *, notes: bool = False) -> Report:
        """Return the report, with a note on layers that were to be calibrated and are not."""
        for layer in self.taken:
            form = self.forms[layer.module]
            cells = {"to": form.label, "lost": ", ".join(form.lost) or None, "new": ", ".join(form.fresh) or None}
            self.note(layer, "calibrated" if layer.module in self.calibrated else "converted", **cells)
        rest = [layer.name for layer in self.taken if layer.module not in self.calibrated]
        why = "no γ and β of its own, statistics that recalibrate_ takes, or no batch that reached it"
        said = [f"not calibrated ({why}): {', '.join(rest)}"] if notes and rest else []
        return self.report("converted", ("to", "lost", "new"), said)


def _with_domains_whole(model: nn.Module) -> list[Layer]:
    """Return the layers of a model with each domain batch norm as one, in the place of its parts."""
    wholes = layers_of(model, lambda module: isinstance(module, DomainBatchNormBase))
    owner = {part: whole for whole in wholes for part in whole.module.domains.values()}
    return list(dict.fromkeys(owner.get(layer.module, layer) for layer in layers_of(model)))
