"""Is this forward a recomputation? Checkpointing runs a layer again in backward, on a batch already counted."""

import sys
from collections.abc import Callable
from types import FrameType

import torch

__all__ = ["is_recomputation"]


def is_recomputation() -> bool:
    """Tell whether autograd is running a backward pass in this thread, so that a forward now repeats an earlier one.

    Both kinds of ``torch.utils.checkpoint`` recompute there, and so do functions that recompute in their own backward.
    While ``torch.compile`` traces, the answer is no: what it traces around a checkpoint it runs once. A checkpoint
    around a module that is already compiled cannot be seen: put the compilation outside.
    """
    return not torch.compiler.is_compiling() and _backward_is_running()


def _checkpoint_is_on_the_stack() -> bool:
    """Look for a frame of ``torch.utils.checkpoint`` that recomputes: slower, and sees checkpoints only."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("unpack_hook", "backward") and code.co_filename == torch.utils.checkpoint.__file__:
            return True
        frame = frame.f_back
    return False


def _choose() -> Callable[[], bool]:
    # the one use of this private function; torch's own trackers use it for the same question
    task_id = getattr(torch._C, "_current_graph_task_id", None)
    return _checkpoint_is_on_the_stack if task_id is None else lambda: task_id() != -1


_backward_is_running = _choose()
