"""Population statistics taken anew over data: for stale, drifted or damaged running statistics."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from .._torch import buffers_of
from ..errors import ArgumentError, ModelError
from ..functional import PaperEstimator, PooledEstimator
from ..reports import Report
from ._recalibrate.ancestry import Ancestry, agree, levels
from ._recalibrate.observation import Observation, Prior, observing
from .change import Change, transaction
from .layers import Layer, Where, uncompiled
from .progress import track
from .ranks import together
from .watch import Forward, call, evaluating, read

__all__ = ["recalibrate_"]

ESTIMATORS: dict[str, PooledEstimator | PaperEstimator] = {"pooled": PooledEstimator(), "paper": PaperEstimator()}
STATISTICS = ("running_mean", "running_var")
HELD = "in evaluation while the model trains, so taken for frozen"
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
    prior: float = 0,
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

    Reference: Ioffe & Szegedy 2015, Algorithm 2, lines 8 to 10; :class:`steadynorm.functional.PooledEstimator`;
    Schneider et al. 2020 for ``prior``.

    Args:
        model: in training or evaluation, compiled or not. The whole of it is held in evaluation meanwhile.
        batches: see :func:`steadynorm.surgery.watch.call` for what a batch may be.
        forward: how to run the model on a batch of another kind: ``forward(model, batch)``.
        passes: ``"one"``: layers normalize with each batch's own statistics meanwhile, as in training, so a layer
            behind others sees that batch's noise. ``"exact"``: layer after layer in the order of the data flow, each
            measured with those before it final; layers that do not feed each other share a pass. The batches must be
            ones that can be read again, in the same order or another.
        estimator: ``"pooled"``, or ``"paper"`` for Eq 5: the average of the batches' own unbiased variances.
        max_batches: read at most so many.
        tolerance: stop as soon as no layer's standard error exceeds this (relative: a mean in deviations, a variance in
            itself), after at least 8 batches.
        prior: mix in the statistics that each layer has, as if they were those of so many examples: for a few batches
            of another domain. 0 forgets them. Beside K examples they weigh w = prior/(prior + K). ``"pooled"`` counts
            the variance between the old mean and the new one, w(1−w)(μ−μ')²; ``"paper"`` leaves it out, as Schneider et
            al. 2020 do (arXiv:2006.16971). What a layer takes for examples is its input's first dimension.
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.
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
    if not 0 <= prior < math.inf:
        raise ArgumentError(f"prior must be a finite number of examples, 0 or more; received {prior}")
    if tolerance is not None and process_group is not None:
        raise ArgumentError(
            "a tolerance cannot be used across ranks: they would have to stop together; use max_batches"
        )
    if passes == "exact" and iter(batches) is batches:
        raise ArgumentError(
            "passes='exact' reads the batches several times, received an iterator: give a list or a DataLoader"
        )
    root = uncompiled(model)
    change = Change(root, lambda layer: _why_not(layer, root.training), where)
    work = _Work(
        root, change.taken, ESTIMATORS[estimator], batches, forward, max_batches, tolerance, prior, process_group
    )
    broken = []
    if change.taken:
        with transaction(root):
            with evaluating(root):
                observations = work.one_pass(work.layers) if passes == "one" else work.exact()
            drifts = _commit(observations)
        for layer in work.layers:
            if layer.module not in observations:
                change.leave(layer, "no batch reached it")
                continue
            seen, drift = observations[layer.module], drifts[layer.module]
            if not all(map(math.isfinite, drift.values())):
                broken.append(layer.name)
                drift = {}
            cells = {"batches": seen.batches, "standard error": seen.standard_error(), **drift}
            change.note(layer, "recalibrated", **cells)
    notes = [f"these had a variance of 0, or statistics that were not finite: {', '.join(broken)}"] if broken else ()
    columns = ("batches", "standard error", "mean drift", "variance ratio")
    tail = f" in {work.passes} pass{'es' if work.passes != 1 else ''} over the data"
    return change.report("recalibrated", columns, notes, tail=tail)


@dataclass
class _Work:
    """One recalibration: what it reads and whom it measures."""

    root: nn.Module
    layers: list[Layer]
    estimator: PooledEstimator | PaperEstimator
    batches: Iterable[Any]
    forward: Forward | None
    max_batches: int | None
    tolerance: float | None
    prior: float
    group: ProcessGroup | None
    passes: int = 0

    def one_pass(self, layers: list[Layer]) -> Observations:
        """Read the batches once and return what these layers were given, of all ranks together."""
        seen = {layer.module: Observation(self.estimator, self._prior(layer.module)) for layer in layers}
        with together(self.group), observing(seen):
            for number, batch in enumerate(track(read(self.batches, self.max_batches), "recalibrating: batch")):
                call(self.root, batch, self.forward)
                for layer in layers:
                    seen[layer.module].end_batch(number, layer.name)
                if self._sure(number + 1, seen.values()):
                    break
        self.passes += 1
        for layer in layers:
            seen[layer.module].gather(layer.module.running_mean.device, self.group)
        return {module: observation for module, observation in seen.items() if observation.values > 0}

    def exact(self) -> Observations:
        """Measure group after group, those before it final; the layers' own buffers come back in the end."""
        results: Observations = {}
        own = {layer.module: dict(buffers_of(layer.module)) for layer in self.layers}
        try:
            for group in self._groups():
                results |= self.one_pass([layer for layer in self.layers if layer.module in group])
                for module in group & results.keys():
                    for name, value in zip(STATISTICS, results[module].statistics(), strict=True):
                        buffers_of(module)[name] = value.to(own[module][name])
        finally:
            for module, buffers in own.items():
                buffers_of(module).update(buffers)
        return results

    def _prior(self, module: nn.Module) -> Prior | None:
        """Return what a layer's own statistics weigh, and a copy of them; refuse ones that are not finite."""
        if self.prior == 0:
            return None
        mean, var = (module.get_buffer(name).double().clone() for name in STATISTICS)
        if not bool(torch.isfinite(mean + var).all()):
            raise ModelError("statistics that are mixed in must be finite, received NaN or infinity: use prior=0")
        return Prior(self.prior, mean, var)

    def _groups(self) -> list[set[nn.Module]]:
        """Run one batch, see which layer feeds which, and group them."""
        modules = [layer.module for layer in self.layers]
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


def _why_not(layer: Layer, training: bool) -> str | None:
    """Say why a layer is left alone; None if it is not."""
    if not layer.is_batch_norm:
        return "frozen" if layer.is_frozen else "has no batch statistics"
    held = training and not layer.module.training
    return layer.why_unready or layer.why_no_variances or layer.why_no_statistics or (HELD if held else None)


@torch.no_grad()
def _commit(observations: Observations) -> dict[nn.Module, dict[str, float]]:
    """Write the statistics into the layers' own buffers, and return how far they had drifted."""
    if not observations:
        raise ModelError(
            "no batch-norm layer received a value: did the loader give any batch, and does the model use them?"
        )
    results: dict[Any, tuple[Tensor, Tensor]] = {module: seen.statistics() for module, seen in observations.items()}
    drifts = {}
    for module, (mean, var) in results.items():
        tiny = torch.finfo(torch.float64).tiny
        ratio = (var / module.running_var.double()).clamp(min=tiny)
        drifts[module] = {
            "mean drift": float(((mean - module.running_mean.double()) / var.sqrt().clamp(min=tiny)).abs().max()),
            "variance ratio": float(torch.maximum(ratio, 1 / ratio).max()),
        }
        module.running_mean.copy_(mean)
        module.running_var.copy_(var)
        if isinstance(module.num_batches_tracked, Tensor):
            module.num_batches_tracked.fill_(observations[module].batches)
    return drifts
