"""A foreign layer made into ours, and believed only after both were tried."""

import copy
from typing import Any

import torch
from torch import nn

from ..._torch import buffers_of, hook_tables
from ...errors import ArgumentError
from ...nn.finishing import activation_name
from ..change import Left
from ..foreign import Foreign, foreign
from ..layers import COUNT, OURS, Layer

__all__ = ["twin_of"]


def twin_of(layer: Layer) -> nn.Module | None:
    """Return the batch norm of ours that does what a registered layer does, of the same tensors; None for others.

    Parameters are shared. What is a buffer there and a parameter here is copied, and learns.

    Raises: Left if the description is not what the layer does, or ours has no activation like it.
    """
    known = foreign(layer.module)
    if known is None:
        return None
    if isinstance(layer.module, nn.SyncBatchNorm):
        raise Left(f"{layer.kind} shares its batch with other processes, which its like among ours would not")
    if layer.module.running_mean.is_meta:
        raise Left("is on the meta device, so that it cannot be tried whether it is what it is registered as")
    twin = _built(layer.module, known)
    with torch.random.fork_rng(devices=[]):
        for training in (True, False):
            try:
                same = _alike(layer.module, twin, known, training)
            except Exception as error:
                raise Left(f"{layer.kind} cannot be tried: {type(error).__name__}: {error}") from error
            if not same:
                raise Left(f"{layer.kind} does not compute what it is registered as")
    return twin


def _built(module: Any, known: Foreign) -> nn.Module:
    after = Layer(module).after
    try:
        name = activation_name(after[0] if after else None)
    except ArgumentError:
        name = ""
    if name == "" or len(after) > 1:
        raise Left(f"what follows in it has no like among our activations: {', '.join(map(repr, after))}")
    settings = {"eps": module.eps, "momentum": getattr(module, "momentum", 0.1), "activation": name}
    place = {"device": module.weight.device, "dtype": module.weight.dtype}
    twin: Any = OURS[known.dimensions](len(module.running_mean), **settings, **place)
    for own in ("weight", "bias"):
        value = getattr(module, own)
        setattr(twin, own, value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone()))
    for own in ("running_mean", "running_var", COUNT):
        if (value := getattr(module, own, None)) is not None:
            buffers_of(twin)[own] = value
    twin.widen_statistics()
    twin.train(module.training)
    made: nn.Module = twin
    return made


@torch.no_grad()
def _alike(module: nn.Module, twin: nn.Module, known: Foreign, training: bool) -> bool:
    """Run copies of both on the same random input: the same outputs, and statistics afterwards?"""
    theirs, ours = (copy.deepcopy(v).train(training) for v in (module, twin))
    ours.train(training and not known.constant)
    for part in theirs.modules():
        for table in hook_tables(part):
            table.clear()
    weight: Any = twin.weight
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, len(weight), *[3] * known.dimensions, generator=generator).to(weight)
    expected, found = ours(x.clone()), theirs(x.clone())
    close = 1e-2 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-4
    pairs = [(expected, found), *((getattr(ours, n), getattr(theirs, n)) for n in ("running_mean", "running_var"))]
    return expected.shape == found.shape and all(
        torch.allclose(a.float(), b.float(), rtol=close, atol=close) for a, b in pairs
    )
