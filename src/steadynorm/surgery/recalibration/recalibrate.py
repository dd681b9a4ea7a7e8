"""Population statistics taken anew over data: for stale, drifted or damaged running statistics."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from ...errors import ArgumentError, ModelError
from ...functional import PaperEstimator, PooledEstimator
from ...reports import Report
from ..batches import Forward, call, evaluating, read
from ..layers import Layer, Where, normalization_layers, selected, uncompiled
from ..progress import track
from ..ranks import together
from ..transaction import transaction
from .ancestry import Ancestry, levels
from .observation import Observation, observing
from .ranks import agree, gather

__all__ = ["recalibrate_"]

ESTIMATORS: dict[str, PooledEstimator | PaperEstimator] = {"pooled": PooledEstimator(), "paper": PaperEstimator()}
LEAST_BATCHES = 8  # before a tolerance may end the work: the error of fewer is itself too uncertain

Observations = dict[nn.Module, Observation]


def recalibrate_(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    forward: Forward | None = None,
    passes: Literal["one", "exact"] = "one",
    estimator: Literal["pooled", "paper"] = "pooled",
    max_batches: int | None = None,
    tolerance: float | None = None,
    where: Where | None = None,
    process_group: ProcessGroup | None = None,
) -> Report:
    r"""Compute the running statistics of batch-norm layers again, over these batches.

    .. math:: \mu = \frac1N \sum_B n_B \mu_B, \qquad
              \sigma^2 = \frac{1}{N-1}\Bigl(\sum_B n_B \sigma^2_B + \sum_B n_B (\mu_B - \mu)^2\Bigr)

    Batches weigh by their size, the variance between them counts, sums are merged in float64; batches of one and empty
    ones are welcome. What is stored is the mean and the unbiased variance, torch's convention, and the number of
    batches in ``num_batches_tracked``. Everything else stays: modes, momenta, dropout's random state, frozen layers,
    the other buffers.

    Reference: Ioffe & Szegedy 2015, Algorithm 2, lines 8 to 10; :class:`steadynorm.functional.PooledEstimator`.

    Args:
        model: in training or evaluation, compiled or not. The whole of it is held in evaluation meanwhile.
        batches: see :func:`steadynorm.surgery.batches.call` for what a batch may be.
        forward: how to run the model on a batch of another kind: ``forward(model, batch)``.
        passes: ``"one"``: layers normalize with each batch's own statistics meanwhile, as in training, so a layer
            behind others sees that batch's noise. ``"exact"``: layer after layer in the order of the data flow, each
            measured with those before it final; layers that do not feed each other share a pass. The batches must be
            ones that can be read again, in the same order or another.
        estimator: ``"pooled"``, or ``"paper"`` for Eq 5: the average of the batches' own unbiased variances.
        max_batches: read at most so many.
        tolerance: stop as soon as no layer's standard error exceeds this (relative: a mean in deviations, a variance in
            itself), after at least 8 batches.
        where: ``where(name, module) -> bool`` selects layers.
        process_group: every rank calls this with a share of the data of its own, of any size; all get the statistics of
            the whole, bit for bit the same. None: this process alone.

    Returns: a row for every normalization layer: recalibrated, with the number of batches, the standard error and how
    far the statistics had drifted (the largest change of a mean in deviations, the largest ratio of variances), or
    skipped and why.

    Raises: ArgumentError for arguments; ModelError if no layer ran, or for statistics that are not finite; whatever the
    loader or the model raises. The model is then as it was.
    """
    if passes not in ("one", "exact"):
        raise ArgumentError(f"passes must be 'one' or 'exact', received {passes!r}")
    if estimator not in ESTIMATORS:
        raise ArgumentError(f"estimator must be 'pooled' or 'paper', received {estimator!r}")
    if tolerance is not None and not tolerance > 0:
        raise ArgumentError(f"tolerance must be above 0, received {tolerance}")
    if tolerance is not None and process_group is not None:
        raise ArgumentError(
            "a tolerance cannot be used across ranks: they would have to stop together; use max_batches"
        )
    if passes == "exact" and iter(batches) is batches:
        raise ArgumentError(
            "passes='exact' reads the batches several times, received an iterator: give a list or a DataLoader"
        )
    root = uncompiled(model)
    layers = normalization_layers(root)
    reasons = {layer.module: _reason(layer, root, chosen) for layer, chosen in selected(layers, where)}
    targets = [layer for layer in layers if reasons[layer.module] is None]
    if not targets:
        return _report(layers, reasons, {}, {}, 0)
    work = _Work(root, targets, ESTIMATORS[estimator], batches, forward, max_batches, tolerance, process_group)
    with transaction(root):
        with evaluating(root):
            observations = work.one_pass(targets) if passes == "one" else work.exact()
        before = {layer.module: _statistics(layer.module) for layer in targets}
        _commit(observations)
    for layer in targets:
        if layer.module not in observations:
            reasons[layer.module] = "no batch reached it"
    return _report(layers, reasons, observations, before, work.passes)


@dataclass
class _Work:
    """One recalibration: what it reads and whom it measures."""

    root: nn.Module
    targets: Sequence[Layer]
    estimator: PooledEstimator | PaperEstimator
    batches: Iterable[Any]
    forward: Forward | None
    max_batches: int | None
    tolerance: float | None
    group: ProcessGroup | None
    passes: int = 0

    def one_pass(self, targets: Sequence[Layer]) -> Observations:
        """Read the batches once and return what these layers were given, of all ranks together."""
        seen = {layer.module: Observation(self.estimator) for layer in targets}
        with together(self.group), observing(list(seen), seen):
            for number, batch in enumerate(track(read(self.batches, self.max_batches), "recalibrating: batch")):
                call(self.root, batch, self.forward)
                for layer in targets:
                    seen[layer.module].end_batch(number, layer.name)
                if self._sure(number + 1, seen.values()):
                    break
        self.passes += 1
        for observation, layer in zip(seen.values(), targets, strict=True):
            gather(observation, layer.module.running_mean, self.group)  # type: ignore[arg-type]
        return {module: observation for module, observation in seen.items() if observation.values > 0}

    def exact(self) -> Observations:
        """Measure group after group, those before it final; the layers' own buffers come back in the end."""
        results: Observations = {}
        own = {layer.module: dict(layer.module._buffers) for layer in self.targets}
        try:
            for group in self._groups():
                results |= self.one_pass([layer for layer in self.targets if layer.module in group])
                for module in group & results.keys():
                    mean, var = _finite(results[module])
                    module._buffers["running_mean"] = mean.to(module._buffers["running_mean"])
                    module._buffers["running_var"] = var.to(module._buffers["running_var"])
        finally:
            for module, buffers in own.items():
                module._buffers.update(buffers)
        return results

    def _groups(self) -> list[set[nn.Module]]:
        """Run one batch, see which layer feeds which, and group them."""
        modules = [layer.module for layer in self.targets]
        ancestry = Ancestry(modules)
        with together(self.group):
            for batch in read(self.batches, 1):
                with ancestry.watching(batch):
                    call(self.root, batch, self.forward)
        return [set(group) for group in levels(agree(ancestry.feeders(), modules, self.group))]

    def _sure(self, batches: int, observations: Iterable[Observation]) -> bool:
        if self.tolerance is None or batches < LEAST_BATCHES:
            return False
        errors = [observation.standard_error() for observation in observations if observation.batches]
        return all(error is not None and error <= self.tolerance for error in errors)


def _reason(layer: Layer, root: nn.Module, chosen: bool) -> str | None:
    """Say why a layer is left alone; None if it is not."""
    module = layer.module
    if not layer.is_batch_norm:
        return "frozen" if "FrozenBatchNorm" in layer.kind else "has no batch statistics"
    if not chosen:
        return "not selected"
    statistics = [module._buffers.get(name) for name in ("running_mean", "running_var")]
    if any(nn.parameter.is_lazy(v) for v in statistics if v is not None):
        return "not initialized yet: run the model once"
    if any(v is None for v in statistics):
        return "keeps no running statistics"
    if root.training and not module.training:
        return "in evaluation while the model trains, so taken for frozen"
    return None


def _statistics(module: nn.Module) -> tuple[Tensor, Tensor]:
    return module.running_mean.double().clone(), module.running_var.double().clone()  # type: ignore[operator]


def _finite(observation: Observation) -> tuple[Tensor, Tensor]:
    mean, var = observation.statistics()
    if not bool(torch.isfinite(mean + var).all()):
        raise ModelError("a variance needs two values of each feature, received one in all: give more data")
    return mean, var


@torch.no_grad()
def _commit(observations: Observations) -> None:
    """Write the statistics into the layers' own buffers."""
    if not observations:
        raise ModelError(
            "no batch-norm layer received a value: did the loader give any batch, and does the model use them?"
        )
    results = {module: _finite(observation) for module, observation in observations.items()}
    for module, (mean, var) in results.items():
        module.running_mean.copy_(mean)  # type: ignore[operator]
        module.running_var.copy_(var)  # type: ignore[operator]
        if isinstance(module.num_batches_tracked, Tensor):
            module.num_batches_tracked.fill_(observations[module].batches)


def _report(
    layers: Sequence[Layer],
    reasons: dict[nn.Module, str | None],
    observations: Observations,
    before: dict[nn.Module, tuple[Tensor, Tensor]],
    passes: int,
) -> Report:
    rows, broken = [], []
    for layer in layers:
        row: dict[str, Any] = {"layer": layer.label, "kind": layer.kind}
        reason, observation = reasons[layer.module], observations.get(layer.module)
        if observation is None:
            row |= {"done": "skipped", "why": reason}
        else:
            (mean, var), (old_mean, old_var) = observation.statistics(), before[layer.module]
            deviation = var.sqrt().clamp(min=torch.finfo(torch.float64).tiny)
            ratio = (var / old_var).clamp(min=torch.finfo(torch.float64).tiny)
            row |= {
                "done": "recalibrated",
                "batches": observation.batches,
                "standard error": observation.standard_error(),
            }
            drift = {
                "mean drift": float(((mean - old_mean) / deviation).abs().max()),
                "variance ratio": float(torch.maximum(ratio, 1 / ratio).max()),
            }
            if all(map(math.isfinite, drift.values())):
                row |= drift
            else:
                broken.append(layer.name)
        rows.append(row)
    columns = ("layer", "kind", "done", "why", "batches", "standard error", "mean drift", "variance ratio")
    count = len(observations)
    reading = f"{passes} pass{'es' if passes != 1 else ''} over the data"
    title = f"recalibrated {count} of {len(layers)} normalization layers in {reading}"
    notes = [] if layers else ["the model has no normalization layer"]
    if broken:
        notes.append(f"these had a variance of 0, or statistics that were not finite: {', '.join(broken)}")
    return Report(title, columns, rows, notes)
