"""One mask for all layers below: given by a block, and followed through strided convolutions and poolings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ..errors import ArgumentError, DtypeError, NothingDoneWarning, ShapeError
from .naming import describe

__all__ = ["mask"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)

open_blocks = 0
"""How many there are, in all threads: without any, layers do not even look for theirs."""


class Block:
    """One block: a mask for each size that positions are known to have, or why there is none."""

    def __init__(self, mask: Tensor) -> None:
        self.masks: dict[tuple[int, ...], Tensor | str] = {tuple(mask.shape[2:]): mask}
        self.used = False


_active: ContextVar[Block | None] = ContextVar("mask", default=None)


@contextmanager
def mask(mask: Tensor) -> Iterator[None]:
    r"""In this block every normalization layer that takes a mask is given this one, or what becomes of it.

    ::

        with sn.nn.mask(positions < lengths):  # (N, 1, L)
            y = model(x)

    A layer whose input has the mask's positions takes it as it is. Where a convolution or a pooling changes their
    number, the mask is resampled if it is padding at the end of each example: the length ℓ of an example becomes what
    the layer makes of an example of this length alone,

    .. math:: \ell' = \lfloor (\ell + 2p - d(k-1) - 1) / s \rfloor + 1

    Layers of the block that are given a mask themselves take that. Layers of torch's own take none: convert them.
    Blocks nest; the innermost counts. Each thread and each asynchronous task has its own. It is for eager mode:
    ``torch.compile`` breaks its graph at each layer.

    Args:
        mask: (N, 1, *S) or broadcastable to it in N, boolean, True where a position counts.

    Raises: DtypeError, ArgumentError for the mask; in the block ShapeError by a layer that needs a mask of its own: it
    is named, with the reason. Warns if no layer took the mask.
    """
    global open_blocks
    if not isinstance(mask, Tensor) or mask.dim() < 3 or mask.shape[1] != 1:
        given = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ArgumentError(f"the mask must be a tensor (N, 1, *S), one value a position, received {given}")
    if mask.dtype != torch.bool:
        raise DtypeError(f"the mask must be boolean, True where a position counts, received {mask.dtype}")
    block = Block(mask)
    token = _active.set(block)
    handle = register_module_forward_hook(_follow)
    open_blocks += 1
    try:
        yield
    finally:
        open_blocks -= 1
        handle.remove()
        _active.reset(token)
    if not block.used:
        warn("no layer in the block took the mask: does the model have layers of ours?", NothingDoneWarning, 3)


def mask_for(layer: nn.Module, x: Tensor, channel_axis: int = 1) -> Tensor | None:
    """Return the mask of the innermost block for a layer's input; None without a block, or without positions.

    Raises: ShapeError if the layer needs one of its own.
    """
    block = _active.get()
    positions = tuple(x.shape[2:] if channel_axis == 1 else x.shape[1:-1])
    if block is None or not positions:
        return None
    block.used = True
    found = block.masks.get(positions)
    if found is None:
        known = ", ".join("×".join(map(str, size)) for size in block.masks)
        found = f"the block has masks for {known}"
    if not isinstance(found, str) and found.shape[0] not in (1, len(x)):
        found = f"that of the block is for {found.shape[0]} examples, and its input has {len(x)}"
    if isinstance(found, str):
        raise ShapeError(
            f"the layer needs a mask of its own for {'×'.join(map(str, positions))} positions: {found}\nThe layer is "
            f"{describe(layer)}. Call it with mask=..., in a module of your own."
        )
    return found if channel_axis == 1 else found.movedim(1, -1)


def _follow(module: nn.Module, args: Any, output: Any) -> None:
    """Resample the mask where a layer changes the number of positions; a forward hook on every module."""
    block = _active.get()
    if block is None or not isinstance(module, (*CONVOLUTIONS, *AVERAGES, *MAXIMA)):
        return
    x, y = args[0], output[0] if isinstance(output, tuple) else output
    before, after = tuple(x.shape[2:]), tuple(y.shape[2:])
    old = block.masks.get(before)
    if old is None or before == after:
        return
    new = old if isinstance(old, str) else _resampled(module, x, old, before, after)
    there = block.masks.setdefault(after, new)
    if there is not new and not (isinstance(there, Tensor) and isinstance(new, Tensor) and torch.equal(there, new)):
        block.masks[after] = new if isinstance(new, str) else "two ways lead to so many positions, with other masks"


def _resampled(module: Any, x: Tensor, mask: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor | str:
    """Return the mask behind a layer, or why it cannot be told."""
    name = f"{describe(module)} changes their number"
    if why := _why_not_alone(module, x):
        return f"{name}, and {why}"
    lengths = _lengths(mask.expand(len(mask), 1, *before))
    if lengths is None:
        return f"{name}, and the mask is not padding at the end of each example"
    new = torch.ones(len(mask), 1, *after, dtype=torch.bool, device=mask.device)
    for a, (length, size) in enumerate(zip(lengths, after, strict=True)):
        kernel, stride, padding, dilation = (_along(v, a) for v in _geometry(module))
        becomes = torch.div(length + 2 * padding - dilation * (kernel - 1) - 1, stride, rounding_mode="floor") + 1
        becomes = torch.where(length > 0, becomes, 0)
        inside = torch.arange(size, device=mask.device) < becomes[:, None]
        new &= inside.reshape(len(mask), 1, *(size if i == a else 1 for i in range(len(after))))
    return new


def _why_not_alone(module: Any, x: Tensor) -> str | None:
    """Say why an example beside longer ones does not become what it becomes alone."""
    _, _, padding, _ = _geometry(module)
    padded = any(_along(padding, a) for a in range(x.dim() - 2))
    if getattr(module, "ceil_mode", False):
        return "by ceil_mode its last window may reach beyond the example"
    if padded and getattr(module, "padding_mode", "zeros") != "zeros":
        return f"it pads by {module.padding_mode}"
    if padded and isinstance(module, AVERAGES) and not module.count_include_pad:
        return "at the end of an example it averages over fewer positions"
    if padded and isinstance(module, MAXIMA) and bool((x < 0).any()):
        return "the largest of negative values beside a filling of 0 is 0"
    return None


def _lengths(mask: Tensor) -> list[Tensor] | None:
    """Return for each axis of positions the length of each example (N,); None if the mask is no padding at the end."""
    lengths, rebuilt = [], torch.ones_like(mask)
    for axis in range(2, mask.dim()):
        others = [i for i in range(1, mask.dim()) if i != axis]
        there = mask.sum(others) > 0  # (N, positions along the axis)
        lengths.append(there.sum(1))
        inside = torch.arange(mask.shape[axis], device=mask.device) < lengths[-1][:, None]
        rebuilt &= inside.reshape(len(mask), *(mask.shape[i] if i == axis else 1 for i in range(1, mask.dim())))
    return lengths if torch.equal(rebuilt, mask) else None


def _geometry(module: Any) -> tuple[Any, Any, Any, Any]:
    padding = module.padding
    if isinstance(padding, str):  # "same" is for stride 1, where nothing changes
        padding = 0
    return module.kernel_size, module.stride, padding, getattr(module, "dilation", 1)


def _along(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple | list) else value)
