"""torch's private names: no other file touches them. Each says why, and what replaces it when it goes.

`tests/test_torch.py` holds each against what it is taken for.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

# ======================================================================================================================
# for surgery
# ======================================================================================================================
# Tools find layers by these bases, as optimizers, ``update_bn`` and trainers do. Replaced by: a tuple of all of torch's
# public batch norms, and of all its normalizations with running statistics.
from torch.nn.modules.batchnorm import _BatchNorm as TorchBatchNorm
from torch.nn.modules.batchnorm import _NormBase as TorchNorm
from torch.nn.utils import prune

# Every operation of a run, below Python. Replaced by: nothing public; ``torch.utils._python_dispatch`` is where torch's
# own documentation takes it from.
from torch.utils._python_dispatch import TorchDispatchMode

# Tensors in nested arguments. Replaced by: ``torch.utils.pytree``, once it is public, or thirty lines of recursion.
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = [
    "Dispatch",
    "HookTable",
    "StorageKey",
    "TorchBatchNorm",
    "TorchNorm",
    "buffers_of",
    "children_of",
    "forget_buffer",
    "hook_tables",
    "module_tables",
    "parameters_of",
    "pruned_name",
    "storage_of",
    "tree_leaves",
    "tree_map_only",
    "unwrapped",
    "without_torch_function",
    "written",
]

if TYPE_CHECKING:

    class Dispatch(nullcontext[None]):
        """The base of modes that see every operation: torch's has no types."""

else:
    Dispatch = TorchDispatchMode

HookTable = dict[int, Callable[..., Any]]
StorageKey = tuple[int, StorageWeakRef]

without_torch_function: Any = torch._C.DisableTorchFunction
"""A block in which function modes are left out: a dispatch mode's own calls are not the model's. Replaced by:
``torch.DisableTorchFunction`` leaves out the functions of subclasses alone."""


def unwrapped(module: nn.Module) -> nn.Module:
    """Return what ``torch.compile`` wraps, or the module: hooks on the wrapper are ignored.

    Replaced by: keeping a reference to what one compiles.
    """
    inner: nn.Module | None = getattr(module, "_orig_mod", None)
    return module if inner is None else inner


def parameters_of(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """Return the table of a module's own parameters, absent ones included: the public ways to it leave those out.

    Replaced by: ``named_parameters(recurse=False)`` to read, ``setattr`` to write.
    """
    return module._parameters


def buffers_of(module: nn.Module) -> dict[str, Tensor | None]:
    """Return the table of a module's own buffers; a buffer put there is not copied, and no ``__setattr__`` sees it.

    Replaced by: ``named_buffers(recurse=False)`` to read, ``setattr`` to write.
    """
    return module._buffers


def children_of(module: nn.Module) -> dict[str, nn.Module | None]:
    """Return the table of a module's children, whatever their names: ``setattr`` wants identifiers.

    Replaced by: ``named_children`` to read, ``set_submodule`` to write.
    """
    return module._modules


def forget_buffer(module: nn.Module, name: str) -> None:
    """Take a buffer away, and the note that it is in no checkpoint: ``del`` leaves that behind.

    Replaced by: ``delattr``, with one more word in the module's ``__dict__``.
    """
    delattr(module, name)
    module._non_persistent_buffers_set.discard(name)


def hook_tables(module: nn.Module) -> tuple[HookTable, HookTable, HookTable, HookTable]:
    """Return the tables of a module's hooks: before forward, after forward, before backward, after backward.

    A scripted module has no tables of the last two. Replaced by: nothing; torch does not say what hooks there are.
    """
    backward_pre, backward = (getattr(module, name, {}) for name in ("_backward_pre_hooks", "_backward_hooks"))
    return module._forward_pre_hooks, module._forward_hooks, backward_pre, backward


def module_tables() -> set[str]:
    """Return the names of what every module holds besides its content: hooks, and what goes with them.

    Replaced by: nothing; a copy of the list from torch's source.
    """
    content = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
    return vars(nn.Module()).keys() - content


def pruned_name(method: prune.BasePruningMethod) -> str:
    """Return the name of the parameter that a pruning method masks. Replaced by: the buffer that ends in ``_mask``."""
    return method._tensor_name


def storage_of(tensor: Tensor) -> StorageKey:
    """Return which storage a tensor stands in, with a reference that keeps the address from being used again.

    Replaced by: ``untyped_storage().data_ptr()``, which is 0 for all empty tensors.
    """
    storage = tensor.untyped_storage()
    reference: Any = StorageWeakRef
    return storage._cdata, reference(storage)


def written(operator: Any, args: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the arguments that an operator of a dispatch mode writes to.

    Replaced by: the operator's name, in which a trailing underscore or ``out`` says so.
    """
    for argument, value in zip(operator._schema.arguments, args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield value
