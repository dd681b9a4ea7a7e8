"""torch's private names: no other file touches them. Each says why, and what replaces it when it goes.

`tests/test_torch.py` holds each against what it is taken for.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.multiprocessing.reductions import StorageWeakRef

# Layers derive from these bases, and tools find layers by them, as optimizers, ``update_bn`` and trainers do. Replaced
# by: a tuple of all of torch's public batch norms, and of all its normalizations with running statistics.
from torch.nn.modules.batchnorm import _BatchNorm as TorchBatchNorm
from torch.nn.modules.batchnorm import _LazyNormBase as LazyTorchNorm
from torch.nn.modules.batchnorm import _NormBase as TorchNorm
from torch.nn.utils import prune

# Every operation of a run, below Python. Replaced by: nothing public; ``torch.utils._python_dispatch`` is where torch's
# own documentation takes it from.
from torch.utils._python_dispatch import TorchDispatchMode

# Tensors in nested arguments. Replaced by: ``torch.utils.pytree``, once it is public, or thirty lines of recursion.
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = [
    "Dispatch",
    "Function",
    "HookTable",
    "LazyTorchNorm",
    "SingleLevelFunction",
    "StorageKey",
    "TorchBatchNorm",
    "TorchNorm",
    "autograd_runs",
    "buffers_of",
    "children_of",
    "forget_buffer",
    "hook_tables",
    "is_view",
    "module_tables",
    "open_scope",
    "operators_are_seen",
    "parameters_of",
    "plain",
    "plain_name",
    "pruned_name",
    "saves_are_seen",
    "storage_of",
    "tree_leaves",
    "tree_map_only",
    "unwrapped",
    "version_of",
    "without_torch_function",
    "written",
]

# ======================================================================================================================
# for the layers and their kernels
# ======================================================================================================================
if TYPE_CHECKING:

    class Function:
        """``torch.autograd.Function``, whose ``apply`` has no types."""

        @classmethod
        def apply(cls, *args: Any) -> Tensor:
            """Run forward, and remember backward."""

    SingleLevelFunction = Function
else:
    Function = torch.autograd.Function
    # ``torch.autograd.Function`` without what its ``apply`` does about functorch's transforms, in which the layers take
    # torch's operators: that would cost as much again as the rest of a call through Python. Replaced by: Function.
    SingleLevelFunction = getattr(torch.autograd.function, "_SingleLevelFunction", Function)


def plain() -> bool:
    """Tell whether neither a functorch transform, nor forward-mode AD, nor a dispatch mode, nor a tracer is active.

    A custom operator would lose tangents without an error, has no rule for ``vmap``, and is unknown to what counts or
    records torch's operators: there torch's own serve. Replaced by: nothing but ``torch.jit.is_tracing``; the public
    ways to ask about transforms are for one tensor.
    """
    if is_transformed() or forward_ad._current_level >= 0:
        return False
    # the compiler's own tracing is another matter, and could not look at these
    return torch.compiler.is_compiling() or not (torch._C._len_torch_dispatch_stack() or torch._C._is_tracing())


def operators_are_seen() -> bool:
    """Tell whether a tracer, a compiler, a transform or forward-mode AD looks at each operator that runs.

    As :func:`plain`, but that it takes no offence at dispatch modes: for an operator that changes its arguments and
    returns nothing, of which they have nothing to know.
    """
    return torch.compiler.is_compiling() or is_transformed() or forward_ad._current_level >= 0 or torch._C._is_tracing()


def is_transformed() -> bool:
    """Tell whether a functorch transform runs: ``vmap``, ``grad`` and their kin. Replaced by: nothing public."""
    return torch._C._are_functorch_transforms_active()


def open_scope() -> tuple[dict[str, tuple[str, type]], str] | None:
    """Return the modules in whose forward ``torch.export`` is, and the key of the innermost; None if it is in none.

    A module is a key, with its path in the model and its class. Each node gets a copy, ``meta["nn_module_stack"]``, by
    whose classes quantizers look for layers. Where dynamo traces (``strict=True``) there is none. Replaced by: nothing.
    """
    mode = get_proxy_mode()
    scopes = getattr(getattr(mode, "tracer", None), "module_stack", None)
    return (scopes, next(reversed(scopes))) if scopes else None


def is_view(x: Tensor) -> bool:
    """Tell whether autograd has x for a view: what is written to it reaches its base. Replaced by: ``x.is_view``."""
    return x._is_view()


def saves_are_seen() -> bool:
    """Tell whether hooks see what autograd saves; checkpoints set them.

    Replaced by: True, the careful answer, which is given where torch has no such function.
    """
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: True)
    return top(False) is not None


def _checkpoint_is_on_the_stack() -> bool:
    """Look for a frame of ``torch.utils.checkpoint`` that recomputes: slower, and sees checkpoints only."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("unpack_hook", "backward") and code.co_filename == torch.utils.checkpoint.__file__:
            return True
        frame = frame.f_back
    return False


def _graph_task() -> Callable[[], bool]:
    task_id = getattr(torch._C, "_current_graph_task_id", None)
    return _checkpoint_is_on_the_stack if task_id is None else lambda: task_id() != -1


autograd_runs = _graph_task()
"""Tell whether autograd is running a backward pass in this thread; torch's own trackers ask the same function. Replaced
by: the call stack, on which a checkpoint's recomputation can be seen, where torch has no such function."""

# ======================================================================================================================
# for surgery
# ======================================================================================================================
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


def plain_name(name: str) -> str:
    """Return the name of a module or a tensor as it is in a model that nobody has compiled.

    Replaced by: the names of the model before it was compiled.
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


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


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor has been written to, in inference mode always 0. Replaced by: a copy, compared."""
    return 0 if tensor.is_inference() else tensor._version


def written(operator: Any, args: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the arguments that an operator of a dispatch mode writes to.

    Replaced by: the operator's name, in which a trailing underscore or ``out`` says so.
    """
    for argument, value in zip(operator._schema.arguments, args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield value
