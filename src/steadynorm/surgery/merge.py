"""Running statistics that ranks agree on: merged into one, or compared."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from ..errors import ArgumentError, ModelError, SynchronizationError
from ..functional import Moments, merge_moments
from ..reports import Report
from .change import Change
from .layers import Layer, layers_of
from .ranks import exchange, together

__all__ = ["assert_synchronized", "merge_statistics_"]

COUNT = "num_batches_tracked"


def merge_statistics_(
    model: nn.Module, *, weights: Sequence[float] | None = None, process_group: ProcessGroup | None = None
) -> Report:
    r"""Give all ranks the same running statistics: those of all ranks together.

    .. math:: \mu = \sum_r w_r \mu_r, \qquad \sigma^2 = \sum_r w_r \bigl(\sigma_r^2 + (\mu_r - \mu)^2\bigr), \qquad
              \sum_r w_r = 1

    The second term is the variance between the ranks; averages of variances leave it out. A running average does not
    store of how many examples it is, so how the ranks weigh must be said; ranks that have trained on equal shares weigh
    alike. Merged in the order of the ranks in float64, so that all get the same bits.

    Reference: Chan, Golub & LeVeque 1979 (:func:`steadynorm.functional.merge_moments`).

    Args:
        model: changed in place on every rank; the layer itself, too.
        weights: one number for each rank of the group, 0 or more, in proportion to its examples and the same on all
            ranks; None for equal ones.
        process_group: who takes part; None for all processes, or this one alone if there is no group.

    Returns: a row for every normalization layer: merged, and by how much this rank's mean (in deviations) and variance
    (as a ratio) moved at most; or skipped and why. ``num_batches_tracked`` becomes the largest of the ranks'.

    Raises: ArgumentError for weights; SynchronizationError if the ranks' weights or layers differ, or one of them
    fails; ModelError for statistics that are not finite. No rank's model is then changed.
    """
    group = _group(process_group)
    with together(group):
        change = Change(model, _why_not)
        shares = _shares(weights, group)
        states = {layer.name: _statistics(layer) for layer in change.taken}
    every = exchange((shares, states), group)
    with together(group):
        _check_alike([{"the weights": w, **_shapes(s)} for w, s in every])
        merged = {name: _merged(name, shares, [states[name] for _, states in every]) for name in states}

    def put(layer: Layer) -> dict[str, Any]:
        moved = _moved(states[layer.name], merged[layer.name], layer.module.eps)  # first: on the CPU states are shared
        for name, value in merged[layer.name].items():
            getattr(layer.module, name).copy_(value)
        return {"done": "merged", **moved}

    with torch.no_grad():
        change.each(put)
    notes = ["there is no process group, so nothing was to be merged"] if group is None else []
    tail = f" over {len(every)} rank(s)"
    return change.report("merged the statistics of", ("mean", "variance"), notes, tail=tail)


def assert_synchronized(model: nn.Module, process_group: ProcessGroup | None = None) -> None:
    """Raise if the normalization layers of the ranks differ, in one bit of their parameters or running statistics.

    NaN equals NaN. Every rank of the group must call it.

    Raises: SynchronizationError on all ranks, naming the layers, what of them differs, and on which ranks from rank 0.
    """
    group = _group(process_group)
    with together(group):
        mine = {
            layer.name: {name: v.detach().cpu() for name, v in layer.module.state_dict().items()}
            for layer in layers_of(model)
        }
    every = exchange(mine, group)
    _check_alike([_shapes(states) for states in every])
    found = []
    for layer, state in every[0].items():
        for name, value in state.items():
            others = [rank for rank, states in enumerate(every) if not _equal(states[layer][name], value)]
            if others:
                found.append(f"{layer}: {name} on rank {', '.join(map(str, others))}")
    if found:
        raise SynchronizationError(
            "all ranks must hold the same normalization layers; these differ from rank 0's:\n  "
            + "\n  ".join(found)
            + "\nmerge_statistics_ makes running statistics agree, synchronize_ keeps them so; parameters are "
            "DistributedDataParallel's."
        )


def _group(process_group: ProcessGroup | None) -> ProcessGroup | None:
    """Return who takes part; None for this process alone."""
    if not (dist.is_available() and dist.is_initialized()):
        return None
    if dist.get_rank(process_group) < 0:
        raise ArgumentError("process_group must contain the rank that calls; received one without it")
    return dist.group.WORLD if process_group is None else process_group


def _shares(weights: Sequence[float] | None, group: ProcessGroup | None) -> list[float]:
    ranks = 1 if group is None else dist.get_world_size(group)
    if weights is None:
        return [1.0] * ranks
    shares = [float(w) for w in weights]
    if len(shares) != ranks or not all(math.isfinite(w) and w >= 0 for w in shares) or sum(shares) == 0:
        raise ArgumentError(
            f"weights must be {ranks} finite numbers, one a rank, 0 or more and not all 0; received {shares}"
        )
    return shares


def _why_not(layer: Layer) -> str | None:
    frozen = "is frozen" if layer.why_held or layer.is_frozen else None
    never = frozen or layer.why_no_batch_norm or layer.why_unready
    return never or layer.why_no_variances or layer.why_no_statistics


def _statistics(layer: Layer) -> dict[str, Tensor]:
    buffers = dict(layer.module.named_buffers(recurse=False))
    return {name: buffers[name].detach().cpu() for name in ("running_mean", "running_var", COUNT) if name in buffers}


def _shapes(states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    return {layer: {name: v.shape for name, v in state.items()} for layer, state in states.items()}


def _check_alike(every: Sequence[Mapping[str, Any]]) -> None:
    """Refuse ranks that give other weights, or have other layers or sizes, than rank 0."""
    found = []
    for rank, theirs in enumerate(every):
        names = [name for name in {**every[0], **theirs} if theirs.get(name) != every[0].get(name)]
        found += [f"rank {rank}: {', '.join(names)}"] if names else []
    if found:
        raise SynchronizationError(
            "all ranks must give the same weights, and have the same normalization layers of the same sizes; these "
            "differ from rank 0's:\n  " + "\n  ".join(found)
        )


def _merged(name: str, shares: Sequence[float], states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    for rank, state in enumerate(states):
        if not all(torch.isfinite(state[v]).all() for v in ("running_mean", "running_var")):
            raise ModelError(
                f"running statistics must be finite to be merged, those of {name} on rank {rank} are not: recalibrate_ "
                "the model, or give that rank's layer another's statistics"
            )
    parts = [
        Moments(torch.tensor(w, dtype=torch.float64), state["running_mean"].double(), state["running_var"].double())
        for w, state in zip(shares, states, strict=True)
    ]
    _, mean, var = reduce(merge_moments, parts)
    merged = {"running_mean": mean, "running_var": var}
    if COUNT in states[0]:
        merged[COUNT] = torch.stack([state[COUNT] for state in states]).max()
    return merged


def _moved(old: dict[str, Tensor], new: dict[str, Tensor], eps: float) -> dict[str, float]:
    var = new["running_var"] + eps
    mean = ((new["running_mean"] - old["running_mean"]).abs() / var.sqrt()).max()
    ratio = (var / (old["running_var"] + eps)).log().abs().max().exp()
    return {"mean": float(mean), "variance": float(ratio)}


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
