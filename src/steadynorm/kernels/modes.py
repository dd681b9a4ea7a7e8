"""Is this an ordinary eager call? Anything else sees torch's own operators, which it knows how to handle."""

import torch
from torch.autograd import forward_ad

__all__ = ["plain"]


def plain() -> bool:
    """Tell whether neither a functorch transform, nor forward-mode AD, nor a dispatch mode, nor a tracer is active.

    A custom operator would lose tangents without an error, has no rule for ``vmap``, and is unknown to what counts or
    records torch's operators.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    # the compiler's own tracing is another matter, and could not look at these
    return torch.compiler.is_compiling() or not (torch._C._len_torch_dispatch_stack() or torch._C._is_tracing())
