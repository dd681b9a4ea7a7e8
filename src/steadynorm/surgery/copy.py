"""The running statistics of one network given to another: teachers, target networks, averaged weights."""

from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, ModelError
from ..functional import Moments, merge_moments
from ..reports import Report
from .change import Change
from .layers import COUNT, Layer, Where, bare, layers_of
from .merge import write

__all__ = ["copy_statistics_"]


def copy_statistics_(
    source: nn.Module,
    target: nn.Module,
    *,
    decay: float | None = None,
    spread: bool = False,
    match: Literal["name", "order"] = "name",
    where: Where | None = None,
) -> Report:
    r"""Give the batch norms of one network the running statistics of another's, or move them towards these.

    .. math:: \mu_t \leftarrow d\,\mu_t + (1 - d)\,\mu_s, \qquad
              \sigma_t^2 \leftarrow d\,\sigma_t^2 + (1 - d)\,\sigma_s^2
              \;\bigl[\, + d\,(1 - d)\,(\mu_t - \mu_s)^2 \bigr]

    For a teacher whose weights are an average of the student's (mean teacher, BYOL, MoCo) and for target networks. The
    term in brackets, with ``spread``, makes it the variance of both distributions pooled in the shares d and 1 − d.
    Without it the variances are averaged, as the weights are. ``num_batches_tracked`` becomes the source's, a whole
    number; averages of weights that take all buffers turn it into a fraction.

    Statistics belong to weights: a teacher that averages weights has activations of its own, which neither a copy nor
    an average gives exactly. :func:`recalibrate_` does.

    Reference: Chan, Golub & LeVeque 1979 for ``spread`` (:func:`steadynorm.functional.merge_moments`).

    Args:
        source: is read. DistributedDataParallel, DataParallel, AveragedModel and ``torch.compile`` are seen through,
            here and in the target.
        target: changed in place; the layer itself, too.
        decay: d, how much of the target's own statistics is kept, between 0 and 1; None copies.
        spread: add the variance between the two means.
        match: ``"name"``: layers belong together that have a name in common. ``"order"``: the first batch norm to the
            first, the second to the second; both networks must have equally many.
        where: ``where(name, module) -> bool`` selects layers of the target, or a pattern, or several.

    Returns: a row for every normalization layer of the target: copied or averaged, and by how much its mean (in
    standard deviations) and variance (as a ratio) moved at most; or skipped and why.

    Raises: ArgumentError for arguments, or networks that have no batch norm in common; ModelError for layers that
    belong together and keep different statistics, or statistics that are not finite. The target is then as it was.
    """
    if decay is not None and not 0 <= decay <= 1:
        raise ArgumentError(f"decay must be between 0 and 1, or None to copy; received {decay}")
    if spread and decay is None:
        raise ArgumentError("spread is the variance between the means that are averaged: give a decay, received None")
    root = bare(target)
    pairs = _pairs(layers_of(bare(source)), layers_of(root), match)

    def why_not(layer: Layer) -> str | None:
        never = layer.why_constant or layer.why_no_batch_norm or layer.why_unready
        if not never and layer.kept.keys() <= {COUNT}:
            return "keeps no running statistics"
        if never or layer.module not in pairs:
            return never or "the source has no batch norm of this name"
        if pairs[layer.module].module is layer.module:
            return "is the source's own layer"
        return layer.why_no_variances if spread else None

    change = Change(root, why_not, where)
    new = {layer: _moved(layer, pairs[layer.module], decay, spread) for layer in change.taken}
    done = "copied" if decay is None else "averaged"
    change.each(lambda layer: {"done": done, **write(layer, new[layer])})
    return change.report("copied the statistics of", ("mean", "variance"))


def _pairs(sources: list[Layer], targets: list[Layer], match: str) -> dict[nn.Module, Layer]:
    """Return the source's layer for each of the target's that has one."""
    sources, targets = ([layer for layer in layers if layer.is_batch_norm] for layers in (sources, targets))
    if match == "order":
        if len(sources) != len(targets):
            raise ArgumentError(
                f"match='order' needs equally many batch norms, received {len(sources)} in the source and "
                f"{len(targets)} in the target"
            )
        return {t.module: s for t, s in zip(targets, sources, strict=True)}
    if match != "name":
        raise ArgumentError(f"match must be 'name' or 'order', received {match!r}")
    named = {name: layer for layer in sources for name in layer.names}
    pairs = {t.module: named[name] for t in targets for name in reversed(t.names) if name in named}
    if targets and not pairs:
        raise ArgumentError(
            f"source and target must have batch norms of the same names, received {_some(sources)} and "
            f"{_some(targets)}: use match='order' if they belong together one by one"
        )
    return pairs


def _some(layers: list[Layer]) -> str:
    return ", ".join(layer.name for layer in layers[:3]) + (", …" if len(layers) > 3 else "") or "none"


def _moved(target: Layer, source: Layer, decay: float | None, spread: bool) -> dict[str, Tensor]:
    """Return the target's new statistics; refuse layers that do not belong together."""
    old, new = target.kept, source.kept
    shapes, others = ({k: tuple(v.shape) for k, v in own.items() if k != COUNT} for own in (old, new))
    if shapes != others:
        raise ModelError(
            f"layers that belong together must keep the same statistics, but {target.name} keeps {shapes} and its "
            f"source {others or 'none'}: select layers by where="
        )
    for whose, own in (("source", new), ("target", old if decay is not None else {})):
        if not all(bool(torch.isfinite(v).all()) for v in own.values()):
            raise ModelError(f"the {whose}'s statistics of {target.name} must be finite: recalibrate_ it first")
    if decay is None:
        return {name: v.clone() for name, v in new.items()}  # the target may hold layers of the source
    wide = {name: (v.double(), new[name].to(v.device).double()) for name, v in old.items() if name != COUNT}
    averaged = {name: torch.lerp(s, t, decay) for name, (t, s) in wide.items()}
    if spread:
        shares = torch.tensor([decay, 1 - decay], dtype=torch.float64, device=old["running_mean"].device)
        parts = zip(shares, *(wide[name] for name in ("running_mean", "running_var")), strict=True)
        _, averaged["running_mean"], averaged["running_var"] = merge_moments(*(Moments(*part) for part in parts))
    return averaged | ({COUNT: new[COUNT]} if COUNT in new else {})
