"""Which code computes a call: the fused kernels, or torch's own operators. Both give the same results.

Letters: x the input (N, C, *S), r the residual, γ and β scale and shift.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from .. import functional, kernels
from .._torch import is_view, plain
from ..functional import Moments

__all__ = ["code_for", "may_be_overwritten", "moments"]

# By the input's dtype: what the running statistics, γ and β may be.
_STATISTICS = {torch.float32: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
_WEIGHTS = {
    torch.float32: (torch.float32, torch.bfloat16),
    torch.bfloat16: (torch.float32, torch.bfloat16),
    torch.float64: (torch.float64,),
}
_PLAIN = (Tensor, Parameter)


@torch.no_grad()
def moments(x: Tensor, mask: Tensor | None = None) -> Moments:
    """Return the moments of a batch, as :func:`steadynorm.functional.batch_moments` does, without a graph."""
    if mask is not None or code_for(x, None, None, None, None) != "kernel":
        return functional.batch_moments(x, mask=mask)
    count = torch.tensor(x.numel() // x.shape[1], dtype=torch.float64)
    return Moments(count, *kernels.moments(x))


def code_for(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None
) -> Literal["kernel", "traced kernel", "torch"]:
    """Choose for one call; the first eager one that a kernel could take loads the kernels, or builds them.

    A kernel takes tensors on the CPU, of float32, bfloat16 or float64, not empty, of no subclass, outside of
    transforms, forward-mode AD and dispatch modes. Under ``torch.compile`` it is an operator that stays whole, if the
    kernels are there already; ``torch.export`` sees torch's own operators, so that its programs run anywhere.
    """
    if not (plain() and _suits(x, residual, weight, bias, mean)):
        return "torch"
    if torch.compiler.is_compiling():
        return "traced kernel" if kernels.loaded() and not torch.compiler.is_exporting() else "torch"
    return "kernel" if kernels.ready() else "torch"


def _suits(x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None) -> bool:
    dtype = x.dtype
    if not (type(x) in _PLAIN and x.is_cpu and dtype in _STATISTICS and x.layout is torch.strided and x.numel()):
        return False
    if residual is not None and not (type(residual) in _PLAIN and residual.dtype is dtype and residual.is_cpu):
        return False
    if mean is not None and not (mean.dtype is _STATISTICS[dtype] and type(mean) in _PLAIN and mean.is_cpu):
        return False
    allowed = _WEIGHTS[dtype]
    for v in (weight, bias):  # a generator would cost as much as all the rest
        if v is not None and not (v.dtype in allowed and type(v) in _PLAIN and v.is_cpu):
            return False
    return True


def may_be_overwritten(x: Tensor) -> bool:
    """Tell whether autograd made x, and would notice whoever else needs it; without gradients nothing is kept at all.

    In 16 bits y would not hold x well enough.
    """
    recorded = torch.is_grad_enabled() and x.requires_grad and not x.is_leaf and not is_view(x)
    return recorded and x.dtype is not torch.bfloat16 and (x.is_contiguous() or x.movedim(1, -1).is_contiguous())
