"""Running statistics of several ranks or models: merged into one, or compared."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from .._torch import plain_name
from ..errors import ArgumentError, ModelError, SynchronizationError
from ..functional import Moments, merge_moments
from ..reports import Report
from .change import Change
from .layers import COUNT, Layer, bare, layers_of
from .ranks import exchange, together

__all__ = ["assert_synchronized", "merge_statistics_", "write"]


def merge_statistics_(
    model: nn.Module,
    sources: Sequence[nn.Module | Mapping[str, Tensor]] | None = None,
    *,
    weights: Sequence[float] | None = None,
    process_group: ProcessGroup | None = None,
) -> Report:
    r"""Give a model the running statistics of several together: of all ranks, or of the models in a list.

    .. math:: \mu = \sum_r w_r \mu_r, \qquad \sigma^2 = \sum_r w_r \bigl(\sigma_r^2 + (\mu_r - \mu)^2\bigr), \qquad
              \sum_r w_r = 1

    The second term is the variance between them; averages of variances leave it out. A running average does not store
    of how many examples it is, so how they weigh must be said; ranks that have trained on equal shares weigh alike.
    Merged in their order in float64, so that all ranks get the same bits.

    A list is for what is not in one process group: the clients of federated learning, the models of a cross-validation
    or a soup. Merged statistics are right for the same weights on all the data. Where weights are averaged too, the
    average has activations of its own: :func:`recalibrate_` it if there are data.

    Reference: Chan, Golub & LeVeque 1979 (:func:`steadynorm.functional.merge_moments`).

    Args:
        model: changed in place, on every rank if there are ranks; the layer itself, too.
        sources: models, or what ``state_dict()`` gave, of the same layers under the same names; read, not changed. The
            prefixes of DistributedDataParallel, AveragedModel and ``torch.compile`` are seen through. None for ranks.
        weights: one number for each rank of the group or each source, 0 or more, in proportion to its examples and the
            same on all ranks; None for equal ones.
        process_group: who takes part; None for all processes, or this one alone if there is no group.

    Returns: a row for every normalization layer: merged, and by how much this model's mean (in deviations) and variance
    (as a ratio) moved at most; or skipped and why. ``num_batches_tracked`` becomes the largest of theirs.

    Raises: ArgumentError for weights or sources; SynchronizationError if the ranks' weights or layers differ, or one of
    them fails; ModelError for statistics that are not finite. No model is then changed.
    """
    if sources is not None:
        return _merge_sources(model, sources, weights, process_group)
    group = _group(process_group)
    with together(group):
        change = Change(model, _why_not)
        shares = _shares(weights, 1 if group is None else dist.get_world_size(group))
        states = {layer.name: {k: v.cpu() for k, v in layer.kept.items()} for layer in change.taken}
    every = exchange((shares, states), group)
    with together(group):
        _check_alike([{"the weights": w, **_shapes(s)} for w, s in every])
        merged = {name: _merged(f"{name} on rank", shares, [states[name] for _, states in every]) for name in states}
    notes = ["there is no process group, so nothing was to be merged"] if group is None else []
    return _put(change, merged, f" over {len(every)} rank(s)", notes)


def _merge_sources(
    model: nn.Module, sources: Sequence[Any], weights: Sequence[float] | None, group: ProcessGroup | None
) -> Report:
    if group is not None:
        raise ArgumentError("sources are merged in this process alone: leave process_group out, or sources")
    if isinstance(sources, nn.Module | Mapping) or not sources:
        raise ArgumentError(
            f"sources must be a list of models or state_dicts, received {type(sources).__name__}, of "
            f"{0 if not sources else 'one'}: give at least one, in a list"
        )
    shares = _shares(weights, len(sources), "source")
    change = Change(bare(model), _why_not)
    states = [_state(source) for source in sources]
    merged = {}
    for layer in change.taken:
        every = [_statistics_in(state, layer, f"source {number}") for number, state in enumerate(states)]
        merged[layer.name] = _merged(f"{layer.name} in source", shares, every)
    known = {_key(name, "running_var") for layer in change.layers for name in layer.names}
    rest = sorted({_plain(k) for state in states for k in state if k.endswith("running_var")} - known)
    notes = [f"the sources also hold, and the model does not: {', '.join(rest)}"] if rest else []
    return _put(change, merged, f" over {len(sources)} source(s)", notes)


def _put(change: Change, merged: Mapping[str, dict[str, Tensor]], tail: str, notes: Sequence[str]) -> Report:
    """Write the merged statistics into the layers, and return the report."""
    change.each(lambda layer: {"done": "merged", **write(layer, merged[layer.name])})
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


def _shares(weights: Sequence[float] | None, number: int, what: str = "rank") -> list[float]:
    if weights is None:
        return [1.0] * number
    shares = [float(w) for w in weights]
    if len(shares) != number or not all(math.isfinite(w) and w >= 0 for w in shares) or sum(shares) == 0:
        raise ArgumentError(
            f"weights must be {number} finite numbers, one a {what}, 0 or more and not all 0; received {shares}"
        )
    return shares


def _why_not(layer: Layer) -> str | None:
    never = layer.why_constant or layer.why_no_batch_norm or layer.why_unready
    return never or layer.why_no_variances or layer.why_no_statistics


def _key(layer: str, name: str) -> str:
    return f"{layer}.{name}" if layer else name


def _plain(key: str) -> str:
    """Return the key of a state_dict without the prefixes of wrappers."""
    return plain_name(key).removeprefix("module.")


def _state(source: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a source's tensors by their names in a bare model."""
    state = bare(source).state_dict() if isinstance(source, nn.Module) else source
    return {_plain(key): value for key, value in state.items()} | dict(state)


def _statistics_in(state: Mapping[str, Tensor], layer: Layer, where: str) -> dict[str, Tensor]:
    """Return a layer's statistics in a state_dict; refuse one that has others."""
    found = {}
    for name, own in layer.kept.items():
        keys = [key for key in (_key(known, name) for known in layer.names) if key in state]
        if not keys and name == COUNT:
            continue  # checkpoints from before torch 0.4.1 have none
        if not keys or state[keys[0]].shape != own.shape:
            raise ArgumentError(
                f"every source must hold {_key(layer.names[0], name)} of shape {tuple(own.shape)}, {where} has "
                f"{tuple(state[keys[0]].shape) if keys else 'none'}"
            )
        found[name] = state[keys[0]].detach().cpu()
    return found


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
    for number, state in enumerate(states):
        if not all(torch.isfinite(state[v]).all() for v in ("running_mean", "running_var")):
            raise ModelError(
                f"running statistics must be finite to be merged, those of {name} {number} are not: recalibrate_ "
                "the model, or give its layer another's statistics"
            )
    parts = [
        Moments(torch.tensor(w, dtype=torch.float64), state["running_mean"].double(), state["running_var"].double())
        for w, state in zip(shares, states, strict=True)
    ]
    _, mean, var = reduce(merge_moments, parts)
    merged = {"running_mean": mean, "running_var": var}
    counts = [state[COUNT] for state in states if COUNT in state]
    if counts:
        merged[COUNT] = torch.stack(counts).max()
    return merged


@torch.no_grad()
def write(layer: Layer, new: Mapping[str, Tensor]) -> dict[str, float]:
    """Give a layer new statistics; return by how much its mean (in deviations) and variance (as a ratio) moved at most.

    A layer that keeps no variances is written, and nothing is returned.
    """
    kept, cells = layer.kept, {}
    if layer.why_no_variances is None:
        (mean, old_mean), (var, old_var) = ((new[k].cpu(), kept[k].cpu()) for k in ("running_mean", "running_var"))
        var, old_var = var + layer.module.eps, old_var + layer.module.eps
        moved = ((mean - old_mean).abs() / var.sqrt()).max()
        cells = {"mean": float(moved), "variance": float((var / old_var).log().abs().max().exp())}
    for name in kept.keys() & new.keys():
        kept[name].copy_(new[name])
    return cells


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
