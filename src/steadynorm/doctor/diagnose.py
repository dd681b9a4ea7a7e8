"""The public entry: run a few batches, ask every rule, gather what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from ..errors import ArgumentError
from ..surgery.biases import redundant_biases
from ..surgery.change import preserved
from ..surgery.progress import track
from ..surgery.watch import Forward, read
from .evidence import examine
from .finding import SEVERITIES, Diagnosis, Finding
from .rule import Case, Rule, all_rules
from .step import take_step

__all__ = ["ask", "diagnose"]

ASKED = {
    "evidence": "give batches",
    "step": "give batches",
    "biases": "give batches",
    "optimizer": "give optimizer=",
    "reference": "give reference=, the model as it should be",
    "process_group": "give process_group=",
}


def diagnose(
    model: nn.Module,
    batches: Iterable[Any] | None = None,
    *,
    rules: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    forward: Forward | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    optimizer: Optimizer | None = None,
    reference: nn.Module | None = None,
    steps: int | None = None,
    micro_batches: int = 1,
    max_batches: int | None = 20,
    process_group: ProcessGroup | None = None,
) -> Diagnosis:
    """Say what is wrong with the normalization of a model, why, and what to do.

    Nothing of the model changes: parameters, gradients, buffers, modes, hooks and torch's random state are the same
    bytes afterwards, also if it raises. Without batches the rules that need none run, and the rest is listed with the
    reason. Rules and their thresholds are documented one by one in ``docs/doctor.md``.

    Each batch runs once as in training (and once more without dropout, if there is any), with batch norms that use the
    statistics of what they are given and move nothing; the first one also runs forward and backward on a copy of the
    model, which needs the memory of one training step.

    Args:
        model: in training or evaluation, compiled or not, foreign layers included; the layer itself, too.
        batches: like those that it is trained on, of the same size: see :func:`steadynorm.surgery.watch.call`.
        rules: the ids of those to ask; None for all.
        ignore: leaves out findings by rule, by layer, or by both: ``"redundant-bias"``, ``"backbone.*"``,
            ``"dead-channels:backbone.*"``.
        forward: ``forward(model, batch)`` runs the model on a batch of another kind.
        loss: ``loss(outputs, batch)``; without it gradients are those of the outputs along a random direction.
        optimizer: the one that trains the model.
        reference: the model as it should be, to compare layers with, by name.
        steps: how many training steps the run has; by default what the layers have counted.
        micro_batches: how many batches are accumulated before the optimizer steps.
        max_batches: read at most so many; None for all.
        process_group: compare the statistics over its ranks, all of which call this.

    Returns: the findings, the worst first. A layer's finding that explains others takes their place.

    Raises: ArgumentError for arguments; whatever the model, the loader or the loss raises on the batches.
    """
    chosen = _choose(rules)
    if steps is not None and steps < 1:
        raise ArgumentError(f"steps must be 1 or more, received {steps}")
    if micro_batches < 1:
        raise ArgumentError(f"micro_batches must be 1 or more, received {micro_batches}")
    if isinstance(ignore, str):
        raise ArgumentError(f"ignore must be a list of patterns, received the string {ignore!r}: put it into a list")
    case = Case(
        model,
        optimizer=optimizer,
        reference=reference,
        process_group=process_group,
        steps=steps,
        micro_batches=micro_batches,
    )
    missing = dict(ASKED)
    if batches is not None:
        missing |= _look(case, batches, forward, loss, max_batches)
    return ask(case, chosen, ignore, missing)


def ask(case: Case, rules: Iterable[Rule], ignore: Sequence[str], missing: Mapping[str, str]) -> Diagnosis:
    """Ask the rules; ``missing`` says of each part that a case may lack why it is not there."""
    ran, not_run, found = [], {}, []
    for rule in rules:
        absent = [part for part in rule.needs if getattr(case, part) is None]
        if absent:
            not_run[rule.id] = missing[absent[0]]
            continue
        ran.append(rule.id)
        found += [replace(one, rule=rule.id) for one in rule.check(case)]
    kept = [one for one in _without_superseded(found) if not any(_matches(one, pattern) for pattern in ignore)]
    kept.sort(key=lambda one: SEVERITIES.index(one.severity))
    notes = [] if case.layers else ["the model has no normalization layer that is ready: nothing to examine"]
    if case.evidence is not None:
        notes.append(f"{case.evidence.batches} batches were read")
    return Diagnosis(kept, ran, not_run, notes, _measured(case))


def _choose(rules: Sequence[str] | None) -> list[Rule]:
    known = all_rules()
    if isinstance(rules, str) or (rules is not None and (unknown := [id for id in rules if id not in known])):
        received = repr(rules) if isinstance(rules, str) else ", ".join(unknown)
        raise ArgumentError(f"rules must be a list of ids among {', '.join(known)}; received {received}")
    return [rule for id, rule in known.items() if rules is None or id in rules]


def _look(case: Case, batches: Iterable[Any], forward: Forward | None, loss: Any, most: int | None) -> dict[str, str]:
    """Let the case see the batches; return what could not be seen, and why."""
    first: list[Any] = []

    def remembering() -> Iterator[Any]:
        for batch in track(read(batches, most), "examining: batch"):
            if not first:
                first.append(batch)
            yield batch

    case.evidence = examine(case, remembering(), forward)
    if not first:
        raise ArgumentError("batches must give at least one batch, received none: is the iterator used up?")
    missing = {}
    try:
        case.step = take_step(case, first[0], forward, loss)
    except Exception as error:
        missing["step"] = f"a training step on a copy raised {_said(error)}"
    if forward is not None:
        missing["biases"] = "the data cannot be followed through forward="
        return missing
    try:
        with preserved(case.root):
            case.biases = redundant_biases(case.root, _as_example(first[0]))
    except Exception as error:
        missing["biases"] = f"following the data through a copy raised {_said(error)}"
    return missing


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _as_example(batch: Any) -> Any:
    """Return two examples of a batch, as the tools that trace take them."""
    if isinstance(batch, Mapping):
        return {name: v[:2] if isinstance(v, Tensor) and v.dim() else v for name, v in batch.items()}
    return (batch[0] if isinstance(batch, tuple | list) else batch)[:2]


def _without_superseded(found: Sequence[Finding]) -> list[Finding]:
    explained = {(rule, one.layer) for one in found for rule in all_rules()[one.rule].supersedes}
    return [one for one in found if (one.rule, one.layer) not in explained]


def _matches(finding: Finding, pattern: str) -> bool:
    return any(fnmatchcase(v, pattern) for v in (finding.rule, finding.layer, f"{finding.rule}:{finding.layer}"))


def _measured(case: Case) -> list[dict[str, Any]]:
    """Return for each layer that ran the statistics of the data and the running ones, as plain lists."""
    rows: list[dict[str, Any]] = []
    for seen in case.evidence.seen.values() if case.evidence else ():
        if (far := case.distance(seen.layer)) is None or seen.layer.statistics is None:
            continue
        mean, var = (v.detach().double().tolist() for v in seen.layer.statistics)
        data = {"mean": seen.pooled.mean.tolist(), "var": seen.pooled.var.tolist()}
        running = {"mean": mean, "var": var}
        rows.append({"layer": seen.layer.name, **far.numbers, "data": data, "running": running})
    return rows
