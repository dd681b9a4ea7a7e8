"""What ``torch.export`` sees of a layer in training: the operators of torch's layer, one for one.

Quantizers and compilers of other makers look for torch's batch norm in a graph, by its operators and what goes into
them. So what our layers add for safety's sake, the guard against batches that are not finite, is not exported.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional import RunningStatistics
from .finishing import Affine, wide_affine

__all__ = ["batch_norm", "is_exporting"]


def is_exporting() -> bool:
    """Tell whether ``torch.export`` is tracing; whoever builds on it, as exports to ONNX, is included."""
    return torch.compiler.is_exporting()


def batch_norm(x: Tensor, affine: Affine, running: RunningStatistics | None, momentum: float, eps: float) -> Tensor:
    """Return x normalized by its own statistics; torch's operator moves the running ones, if there are any."""
    mean = var = None
    if running is not None:
        running.num_batches_tracked.add_(1)
        mean, var = running.mean, running.var
    return F.batch_norm(x, mean, var, *wide_affine(*affine), True, momentum, eps)
