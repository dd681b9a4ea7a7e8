"""Folding with proof: batch norm merged into its linear neighbours, and the result compared with the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from .._torch import children_of
from ..errors import ArgumentError, ModelError
from ..reports import Report
from ._fold.affine import tail
from ._fold.linear import bake, replace
from ._fold.plan import Plan
from ._fold.proof import prove
from ._fold.reasons import Surroundings, is_layer, is_norm
from .change import Change, outside_inference_mode
from .dataflow.copying import duplicate, with_values
from .dataflow.examples import Example, read_examples
from .dataflow.tracing import trace
from .layers import Layer, layers_of

__all__ = ["fold"]

COLUMNS = ("into", "error", "evidence")


def fold(
    model: nn.Module, example_inputs: Any, *, tolerance: float | None = None, trust_examples: bool = False
) -> tuple[nn.Module, Report]:
    r"""Return a copy of a model in which batch norms are merged into linear neighbours, and a report on each of them.

    .. math:: \gamma\,\frac{W u + b - \mu}{\sqrt{\sigma^2+\epsilon}} + \beta = W' u + b'

    Reference: Ioffe & Szegedy 2015, Algorithm 2, line 11; the formulas are in :mod:`steadynorm.functional.folding`.

    A batch norm goes into the convolutions, transposed convolutions and linear layers before it, or else behind it, if
    that is exact for every use that the model makes of each of them. The uses are established by tracing; see
    :mod:`steadynorm.surgery.dataflow`. Whatever is not established is kept, and the report says why. Weights are
    computed in float64. The folded model has the original's classes and code, with ``torch.nn.Identity`` or an
    activation in the place of a folded batch norm. It is run beside the original on the examples: each layer with new
    weights must give what the original gives there, on what the original gives before it; and so must the whole.

    Args:
        model: in evaluation. It is not changed.
        example_inputs: a tensor, a tuple of positional arguments, a dict of keyword arguments, or a list of such. The
            folded model is for calls with the same arguments, tensors of as many axes, of any size, in their places;
            what is no tensor is a constant.
        tolerance: the largest difference allowed, relative to the largest magnitude of the tensor compared. None: as
            :data:`steadynorm.surgery._fold.proof.TOLERANCES` has it for each layer, and so many times that for the
            whole as layers have new weights.
        trust_examples: where the model decides by values, take the ways of the examples for all there are. What is
            folded on that ground is marked *seen, not traced*.

    Returns: the folded model, and a report with a row for every batch norm: folded into what, with what error; or kept
    and why.

    Raises: ModelError for a model in training mode, on the meta device, with lazy parameters, or that does not run on
    the examples; FoldError if the folded model differs from the original; ArgumentError for arguments.
    """
    if tolerance is not None and not tolerance >= 0:
        raise ArgumentError(f"tolerance must be 0 or more, or None, received {tolerance}")
    with outside_inference_mode():
        return _fold(model, example_inputs, tolerance, trust_examples)


def _fold(
    model: nn.Module, example_inputs: Any, tolerance: float | None, trust_examples: bool
) -> tuple[nn.Module, Report]:
    original = with_values(model)
    examples = read_examples(example_inputs)
    change = Change(original, layers=layers_of(original, is_norm), left="kept")
    if change.layers and original.training:
        raise ModelError("the model must be in evaluation, but is in training mode: call model.eval() first")
    if not change.layers:
        return duplicate(original), change.report("folded", COLUMNS, what="batch norm")
    plan = traced = _plan(original, examples)
    if trust_examples:
        plan = _plan(original, examples, only_seen=True)
    folded = _build(original, plan)
    errors = prove(original, folded, [plan.point(linear) for linear in plan.weights], examples, tolerance)
    norms = {plan.names[norm]: norm for norm in (*plan.folded, *plan.reasons)}
    proven = {traced.names[norm] for norm in traced.folded}
    for layer in change.layers:
        norm = norms[layer.names[0]]
        if norm in plan.reasons:
            change.leave(layer, plan.reasons[norm])
            continue
        change.note(
            layer,
            "folded",
            into=", ".join(plan.names[linear] for linear in plan.folded[norm]),
            error=max(errors[plan.point(linear)] for linear in plan.folded[norm]),
            evidence="traced" if plan.names[norm] in proven else "seen, not traced",
        )
    note = f"largest difference at the output, relative to its largest magnitude: {errors[None]:.1e}"
    return folded, change.report("folded", COLUMNS, [note], what="batch norm")


def _plan(model: nn.Module, examples: Sequence[Example], *, only_seen: bool = False) -> Plan:
    copy = duplicate(model)
    return Plan(copy, Surroundings(copy, trace(copy, examples, is_layer, only_seen=only_seen)))


def _build(model: nn.Module, plan: Plan) -> nn.Module:
    """Return a copy of the model with the plan carried out."""
    folded = duplicate(model)
    modules = dict(folded.named_modules())
    for linear, (weight, bias) in plan.weights.items():
        bake(modules[plan.names[linear]])
        replace(modules[plan.names[linear]], weight, bias)
    gone = {
        modules[plan.names[norm]]: tail(Layer(modules[plan.names[norm]]), bare=plan.is_bare(norm)).eval()
        for norm in plan.folded
    }
    for module in modules.values():
        children = children_of(module)
        for name in [name for name, child in children.items() if child in gone]:
            children[name] = gone[children[name]]
    return folded
