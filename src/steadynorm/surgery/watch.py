"""Models run and observed: how a tool reads batches, runs the model on one, sees its layers at work, and restores."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from .._torch import buffers_of
from ..errors import ArgumentError
from ..functional import Moments
from ..functional._tensors import features_second
from ..functional.complex import as_pairs
from ..nn import masking

__all__ = ["Forward", "by_given_moments", "call", "device_of", "evaluating", "given_to", "hooked", "modes_kept", "read"]

Forward = Callable[[nn.Module, Any], Any]


def read(batches: Iterable[Any], most: int | None = None) -> Iterator[Any]:
    """Yield up to ``most`` batches."""
    if isinstance(batches, Tensor | Mapping) or not isinstance(batches, Iterable):
        raise ArgumentError(
            "batches must be an iterable of batches, such as a DataLoader or a list, received "
            f"{type(batches).__name__}: put a single batch into a list"
        )
    if most is not None and most < 1:
        raise ArgumentError(f"max_batches must be 1 or more, received {most}")
    return islice(batches, most)


def call(model: nn.Module, batch: Any, forward: Forward | None = None) -> Any:
    """Run the model on one batch, moved to the model's device.

    A tensor is ``model(x)``; a tuple or list gives its first element, as torch's ``update_bn`` reads it; a mapping is
    ``model(**batch)``; for anything else ``forward(model, batch)`` says how.
    """
    batch = _to(batch, device_of(model))
    if forward is not None:
        return forward(model, batch)
    if isinstance(batch, Mapping):
        return model(**batch)
    x = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(x, Tensor):
        raise ArgumentError(
            "a batch must be a tensor, a tuple or list that begins with one, or a dict of keyword arguments, received "
            f"{type(batch).__name__}: give forward=lambda model, batch: ..."
        )
    return model(x)


def device_of(model: nn.Module) -> torch.device:
    """Return where the first of a model's tensors is."""
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Give every module its own mode back at the end."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a whole model in evaluation, without gradients and uncompiled; modes come back one by one."""
    with modes_kept(model), torch.no_grad(), torch.compiler.set_stance("force_eager"):
        model.eval()
        yield


@contextmanager
def by_given_moments(layers: Iterable[nn.Module]) -> Iterator[Callable[[nn.Module, Moments], None]]:
    """Yield a function that lets a layer in evaluation normalize by moments; its buffers come back at the end."""
    own = {layer: dict(buffers_of(layer)) for layer in layers}

    def use(layer: nn.Module, moments: Moments) -> None:
        for name, value in (("running_mean", moments.mean), ("running_var", moments.var)):
            buffers_of(layer)[name] = value.to(own[layer][name])

    try:
        yield use
    finally:
        for layer, buffers in own.items():
            buffers_of(layer).update(buffers)


@contextmanager
def hooked(
    layers: Iterable[nn.Module], before: Callable[..., Any] | None = None, after: Callable[..., Any] | None = None
) -> Iterator[None]:
    """See what layers are given, ``before(layer, args, kwargs)``, and give, ``after(layer, args, kwargs, output)``."""
    handles: list[Any] = []
    try:
        for layer in layers:
            if before is not None:
                handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            if after is not None:
                handles.append(layer.register_forward_hook(after, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def given_to(layer: nn.Module, args: Any, kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """Return the input of a call of a layer, and its mask; real features on their second axis."""
    signature = inspect.signature(layer.forward)
    given = signature.bind(*args, **kwargs).arguments
    x, mask = next(iter(given.values())), given.get("mask")
    if mask is None and "mask" in signature.parameters and masking.open_blocks:
        mask = masking.mask_for(layer, x, getattr(layer, "channel_axis", 1))
    if x.is_complex():
        x = as_pairs(x, last=getattr(layer, "channel_axis", 1) == -1)
    if getattr(layer, "channel_axis", 1) == 1:
        return x, mask
    return features_second(x), None if mask is None else features_second(mask)


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: _to(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        moved = [_to(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
