"""Running statistics that are far from the data, in a model whose weights were changed without them.

The signs: an averaged model (EMA, SWA), masks of pruning or a fifth of a weight's elements at exactly 0, a large weight
of at most 256 different values (quantized). Each moves what the batch norms behind are given. Alone they mean nothing;
with statistics that are far (:mod:`steadynorm.doctor.distance`) they name the cause.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch.nn import Module
from torch.optim.swa_utils import AveragedModel

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)
SUPERSEDES = ("far-from-data", "momentum")

LEVELS = 256
LARGE = 4 * LEVELS


def check(case: Case) -> Iterator[Finding]:
    """Look for far layers first, then for the cause."""
    measured = [(layer, case.distance(layer)) for layer in case.moving]
    far = [(layer, found) for layer, found in measured if found is not None and found.is_far]
    change = _changed(case.model) if far else None
    for layer, found in far if change else ():
        cause = f"{change}, and its running statistics are those from before"
        yield Finding(layer.name, found.severity, found.numbers, cause, "sn.recalibrate_(model, batches)")


def _changed(model: Module) -> str | None:
    """Say what happened to the weights, as far as they show it."""
    if any(isinstance(module, AveragedModel) for module in model.modules()):
        return "the weights are averages over training"
    if any(name.endswith("_mask") and name.removesuffix("_mask") for name, _ in model.named_buffers()):
        return "weights were pruned"
    weights = [p.detach() for p in model.parameters() if p.dim() > 1 and p.numel() >= LARGE]
    if any(float((w == 0).float().mean()) >= 0.2 for w in weights):
        return "a fifth or more of a weight's elements are 0, as after pruning"
    if any(torch.unique(w).numel() <= LEVELS for w in islice(weights, 8)):
        return "a weight has few different values, as after quantization"
    return None
