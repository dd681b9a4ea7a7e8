"""Why a model is worse in evaluation than with batch statistics: which layers it comes from, and what would help."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .._torch import tree_leaves
from ..errors import ArgumentError
from ..functional import Moments
from ..reports import Cell, Report, format_cell
from ..surgery.change import preserved
from ..surgery.dataflow.copying import duplicate
from ..surgery.layers import Layer
from ..surgery.progress import say, track
from ..surgery.recalibrate import recalibrate_
from ..surgery.watch import Forward, by_given_moments, call, evaluating, read
from .attribution import Attribution, attribute
from .diagnose import ASKED, ask
from .evidence import Seen, examine
from .finding import Diagnosis, Finding
from .rule import Case, all_rules

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Gap", "LayerShare", "explain_gap"]

MATTERS = 0.02
"""Of the gap, and of the part of it that the statistics explain; what is less is left together."""
LEAST_MEASUREMENTS = 8


@dataclass(frozen=True)
class LayerShare:
    """What one layer, or a group of neighbours, contributes to the gap."""

    layers: Sequence[str]
    share: float
    """What its repair adds, beside others repaired and not: the shares add up to ``recoverable``."""
    alone: float
    """The gap if it alone had its running statistics, and all other layers those of the data."""
    repaired: float
    """What is won if it alone is given the statistics of the data."""
    cause: str
    fix: str

    @property
    def name(self) -> str:
        """The layers, in a few words."""
        first, *others = self.layers
        return f"{first} … {others[-1]} ({len(self.layers)} layers)" if others else first


@dataclass(frozen=True)
class Gap:
    """A metric in evaluation and with batch statistics, and where the difference comes from.

    ``gap = batch − running``, in the units of the metric; ``recoverable = recalibrated − running`` of it is what better
    running statistics give, and that part is shared out among the layers.
    """

    running: float
    """The metric by running statistics, as the model evaluates."""
    batch: float
    """The metric by the statistics of each batch, all else in evaluation."""
    recalibrated: float
    """The metric by the statistics that ``recalibrate_(model, batches)`` would store."""
    error: float | None
    """The standard error of the gap, from how it varies between the batches; None of one batch."""
    shares: Sequence[LayerShare]
    """The largest first."""
    rest: float
    """The share of all other layers together."""
    interactions: Sequence[tuple[str, str, float]]
    """Two layers, and by how much both together differ from the sum of each alone."""
    diagnosis: Diagnosis
    tried: float | None
    """The metric of a copy after ``recalibrate_(copy, batches, passes="exact")``, if that was asked for."""
    passes: int
    """How often the batches were run."""
    notes: Sequence[str]

    @property
    def gap(self) -> float:
        """By how much the metric is larger with batch statistics."""
        return self.batch - self.running

    @property
    def recoverable(self) -> float:
        """How much of it recalibration would recover."""
        return self.recalibrated - self.running

    def to_dict(self) -> dict[str, Any]:
        """Return the same content as plain dictionaries and lists, ready for :mod:`json`."""
        numbers = ("running", "batch", "recalibrated", "gap", "recoverable", "error", "tried", "rest")
        return {
            **{name: _finite(getattr(self, name)) for name in numbers},
            "shares": [asdict(one) for one in self.shares],
            "interactions": [list(one) for one in self.interactions],
            "passes": self.passes,
            "notes": list(self.notes),
            "diagnosis": self.diagnosis.to_dict(),
        }

    @property
    def title(self) -> str:
        """The three metrics in a line."""
        numbers = {"running": self.running, "batch": self.batch, "recalibrated": self.recalibrated}
        told = ", ".join(f"{format_cell(value)} by {name} statistics" for name, value in numbers.items())
        return f"the metric is {told}"

    def report(self) -> Report:
        """Return a table, a row a layer or group."""
        rows: list[dict[str, Cell]] = [
            {
                "layer": one.name,
                "share": one.share,
                "of the gap": self._part(one.share),
                "alone": one.alone,
                "repaired": one.repaired,
                "cause": one.cause,
                "fix": one.fix,
            }
            for one in self.shares
        ]
        if self.shares and self.rest:
            rows.append({"layer": "all others", "share": self.rest, "of the gap": self._part(self.rest)})
        columns = ("layer", "share", "of the gap", "alone", "repaired", "cause", "fix")
        return Report(self.title, columns, rows, self._notes())

    def _part(self, share: float) -> str:
        return f"{share / self.recoverable:.0%}" if self.recoverable else "-"

    def _notes(self) -> list[str]:
        together = [
            f"{a} and {b} interact: together they differ from the sum of each alone by {format_cell(excess)}"
            for a, b, excess in self.interactions
        ]
        return [*together, *self.notes]

    def __str__(self) -> str:
        return str(self.report())

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def __rich__(self) -> Table:
        return self.report().__rich__()


def explain_gap(
    model: nn.Module,
    batches: Iterable[Any],
    metric: Callable[[Any, Any], float | Tensor],
    *,
    forward: Forward | None = None,
    max_batches: int | None = 20,
    max_passes: int = 200,
    try_recalibration: bool = False,
) -> Gap:
    r"""Say how much of the gap between running and batch statistics comes from which layer, why, and what helps.

    .. math:: \mathrm{gap} = M(\text{batch}) - M(\text{running}), \qquad
              M(\text{data}) - M(\text{running}) = \textstyle\sum_k \mathrm{share}_k

    M is the metric in evaluation, without dropout: with the running statistics of the layers, with those of each batch,
    and with those of all the batches, which are what :func:`steadynorm.recalibrate_` would store. The first two differ
    by the gap. What the third wins, better running statistics would win; it is shared out among the layers, by giving
    some of them the data's statistics and others not (:mod:`steadynorm.doctor.attribution`). The rest of the gap is no
    matter of running statistics: the network sees more in a batch than in an example.

    The three metrics and the findings take three passes over the batches, the shares more: for one bad layer of fifty
    some 25, never beyond ``max_passes``; before they begin, and as they go on, a terminal shows how many. The model is
    the same bytes afterwards, also if this raises.

    Reference: Shapley 1953 for the shares; Singh & Shrivastava 2019 for the gap.

    Args:
        model: in training or evaluation, compiled or not; a layer that is held in evaluation while the model trains
            counts as frozen. Frozen layers have no share.
        batches: see :func:`steadynorm.surgery.watch.call`; all that are read are kept in memory. Sizes and order like
            those of training, for the sake of batch statistics.
        metric: ``metric(outputs, batch)``, the mean over the examples of the batch, such as an accuracy or a loss. The
            metrics of batches are averaged by their number of examples.
        forward: ``forward(model, batch)`` runs the model on a batch of another kind.
        max_batches: read at most so many; None for all.
        max_passes: stop dividing groups of layers where the passes would be more; at least 8.
        try_recalibration: recalibrate a copy exactly, and measure it, too.

    Returns: the metrics, the shares with cause and fix, who interacts, and the findings of :func:`steadynorm.diagnose`
    that these passes can show.

    Raises: ArgumentError for arguments, or a metric that is no number; whatever model, loader or metric raise.
    """
    if not callable(metric):
        raise ArgumentError(f"metric must be a function of outputs and batch, received {type(metric).__name__}")
    if max_passes < LEAST_MEASUREMENTS:
        raise ArgumentError(f"max_passes must be {LEAST_MEASUREMENTS} or more, received {max_passes}")
    kept = list(read(batches, max_batches))
    if not kept:
        raise ArgumentError("batches must give at least one batch, received none: is the iterator used up?")
    case = Case(model)
    work = _Work(case, kept, metric, forward)
    by_batch = work.look()
    began = time.monotonic()
    by_running = work.measure(frozenset())
    seconds = time.monotonic() - began
    by_data = work.measure(work.everything)
    notes = work.notes()
    running, batch, recalibrated = (work.mean(values) for values in (by_running, by_batch, by_data))
    error = work.noise(by_batch, by_running) if len(kept) > 1 else None
    least, noise = MATTERS * abs(batch - running), work.noise(by_data, by_running)
    found: Attribution | None = None
    if not all(map(math.isfinite, (running, batch, recalibrated))):
        notes.append("the metric is not finite, so that no layer can be given a share; the findings are what there is")
    elif not work.players:
        notes.append("no layer has running statistics that could be exchanged")
    elif abs(recalibrated - running) <= max(least, 2 * noise):
        notes.append(
            f"what the statistics of the data change, {format_cell(recalibrated - running)}, is within two standard "
            f"errors ({format_cell(noise)} each) or {MATTERS:.0%} of the gap: there is nothing to share out"
        )
    else:
        tolerance = max(MATTERS * abs(recalibrated - running), least, noise)
        say(
            f"sharing the gap out among {len(work.players)} layers: at most {max_passes} passes over {len(kept)} "
            f"batches, about {format_cell(seconds)} s each"
        )
        found = work.attribute(tolerance, max_passes - 3)
        notes += _gap_notes(batch - running, recalibrated - running)
    shares, interactions = work.told(found)
    tried = work.tried() if try_recalibration else None
    diagnosis = ask(case, all_rules().values(), (), ASKED | dict.fromkeys(("step", "biases"), "ask sn.diagnose"))
    return Gap(
        running, batch, recalibrated, error, shares, found.rest_share if found else 0.0, interactions, diagnosis,
        tried, work.passes, notes,
    )  # fmt: skip


def _gap_notes(gap: float, recoverable: float) -> list[str]:
    """Say what part of the gap is no matter of the running statistics."""
    other = gap - recoverable
    if abs(other) <= 0.1 * abs(gap):
        return []
    return [
        f"{format_cell(other)} of the gap is no matter of running statistics: with those of the data the metric still "
        "differs from that by batch statistics. Batches that are small, sorted or of one kind tell more than an example"
    ]


class _Work:
    """The passes over the batches, and what they gave."""

    def __init__(
        self, case: Case, batches: Sequence[Any], metric: Callable[[Any, Any], Any], forward: Forward | None
    ) -> None:
        self.case = case
        self.batches = batches
        self.sizes = [_size(batch) for batch in batches]
        self.metric = metric
        self.forward = forward
        self.players: list[Seen] = []
        self.passes = 0

    @property
    def everything(self) -> frozenset[int]:
        """All layers that have a share."""
        return frozenset(range(len(self.players)))

    def look(self) -> list[float]:
        """Run by batch statistics: see what the layers are given, and measure."""
        values: list[float] = []

        def run(model: nn.Module, batch: Any) -> None:
            values.append(self._metric(call(model, batch, self.forward), batch))

        evidence = examine(self.case, track(self.batches, "examining: batch"), run, training=False)
        self.case.evidence = evidence
        moving = {layer.module for layer in self.case.moving}
        self.players = [seen for module, seen in evidence.seen.items() if module in moving and seen.rows]
        self.passes += 1
        return values

    def measure(self, repaired: frozenset[int]) -> list[float]:
        """Run by running statistics, but those of some layers from the data; return the metric of each batch."""
        root = self.case.root
        self.passes += 1
        with preserved(root), evaluating(root), self._by_data(repaired):
            return [self._metric(call(root, batch, self.forward), batch) for batch in self.batches]

    @contextmanager
    def _by_data(self, repaired: frozenset[int]) -> Iterator[None]:
        chosen = [self.players[i] for i in sorted(repaired)]
        with by_given_moments([seen.layer.module for seen in chosen]) as use:
            for seen in chosen:
                count, mean, var = seen.pooled
                use(seen.layer.module, Moments(count, mean, var * (count / (count - 1).clamp(min=1))))
            yield

    def attribute(self, tolerance: float, most: int) -> Attribution:
        """Share out what the statistics of the data win."""
        progress = track(iter(int, 1), "sharing out: pass", total=most)

        def value(repaired: frozenset[int]) -> float:
            next(progress)
            return self.mean(self.measure(repaired))

        try:
            return attribute(len(self.players), value, tolerance, most)
        finally:
            progress.close()  # type: ignore[attr-defined]

    def mean(self, values: Sequence[float]) -> float:
        """Average over the examples."""
        return math.fsum(n * v for n, v in zip(self.sizes, values, strict=True)) / sum(self.sizes)

    def noise(self, after: Sequence[float], before: Sequence[float]) -> float:
        """Return the standard error of a difference, from how it varies between the batches; 0 of one batch."""
        if len(after) < 2:
            return 0.0
        mean = self.mean(after) - self.mean(before)
        squares = [(n * (a - b - mean)) ** 2 for n, a, b in zip(self.sizes, after, before, strict=True)]
        inflation = len(after) / (len(after) - 1)
        return math.sqrt(math.fsum(squares) * inflation) / sum(self.sizes)

    def tried(self) -> float:
        """Recalibrate a copy, and measure it."""
        with preserved(self.case.root):
            copy = duplicate(self.case.root)
            held = {layer.names[0] for layer in self.case.batch_norms if self.case.holds(layer)}
            recalibrate_(
                copy, self.batches, forward=self.forward, passes="exact", where=lambda name, _: name not in held
            )
            with evaluating(copy):
                return self.mean([self._metric(call(copy, batch, self.forward), batch) for batch in self.batches])

    def told(self, found: Attribution | None) -> tuple[list[LayerShare], list[tuple[str, str, float]]]:
        """Name the layers of the shares, with cause and fix."""
        if found is None:
            return [], []
        findings = ask(self.case, all_rules().values(), (), dict.fromkeys(ASKED, "")).findings
        shares = []
        for one in found.shares:
            layers = [self.players[i].layer for i in one.parts]
            cause, fix = self._cause(layers, findings)
            shares.append(LayerShare([v.name for v in layers], one.share, one.alone, one.repaired, cause, fix))
        names = {tuple(one.parts): told.name for one, told in zip(found.shares, shares, strict=True)}
        return shares, [(names[one.parts[0]], names[one.parts[1]], one.excess) for one in found.interactions]

    def _cause(self, layers: Sequence[Layer], findings: Sequence[Finding]) -> tuple[str, str]:
        """Return what the worst finding of these layers says; without one the distance of the statistics."""
        names = {layer.name for layer in layers}
        for finding in findings:
            if finding.layer in names and finding.severity != "note":
                return f"{finding.rule}: {finding.cause}", finding.fix
        effects = [far.effect for layer in layers if (far := self.case.distance(layer)) is not None]
        cause = f"running statistics at d = {format_cell(max(effects))} from the data" if effects else ""
        return cause, "sn.recalibrate_(model, batches)"

    def notes(self) -> list[str]:
        """Say which layers have no share, and why."""
        reasons: dict[str, list[str]] = {}
        sharing = {seen.layer.module for seen in self.players}
        for layer in self.case.layers:
            if layer.module not in sharing and (why := self._why_none(layer)):
                reasons.setdefault(why, []).append(layer.name)
        return [f"no share, since {why}: {', '.join(names)}" for why, names in reasons.items()]

    def _why_none(self, layer: Layer) -> str | None:
        if not layer.is_batch_norm:
            return "frozen" if layer.is_frozen else None
        if self.case.holds(layer):
            return "frozen, or held in evaluation while the model trains"
        return layer.why_no_variances or layer.why_no_statistics or "no batch reached it with finite values"

    def _metric(self, outputs: Any, batch: Any) -> float:
        value = self.metric(outputs, batch)
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError(
                f"metric must return one number for a batch, received {type(value).__name__}: {error}"
            ) from error


def _size(batch: Any) -> int:
    """Return the number of examples of a batch: the first size of its first tensor that has one; else 1."""
    return next((len(t) for t in tree_leaves(batch) if isinstance(t, Tensor) and t.dim()), 1)


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
