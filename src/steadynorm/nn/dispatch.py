"""Which code computes a call: the fused kernels, or torch's own operators. Both give the same results."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from .. import kernels

__all__ = ["route"]

# By the input's dtype: what the running statistics, γ and β may be.
_STATISTICS = {torch.float32: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
_WEIGHTS = {
    torch.float32: (torch.float32, torch.bfloat16),
    torch.bfloat16: (torch.float32, torch.bfloat16),
    torch.float64: (torch.float64,),
}
_PLAIN = (Tensor, Parameter)


def route(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None
) -> Literal["kernel", "traced kernel", "torch"]:
    """Choose for one call; the first eager one that a kernel could take loads the kernels, or builds them.

    A kernel takes tensors on the CPU, of float32, bfloat16 or float64, not empty, of no subclass, outside of
    transforms, forward-mode AD and dispatch modes. Under ``torch.compile`` it is an operator that stays whole, if the
    kernels are there already; ``torch.export`` sees torch's own operators, so that its programs run anywhere.
    """
    if not (kernels.plain() and _suits(x, residual, weight, bias, mean)):
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
    return all(v is None or (v.dtype in allowed and type(v) in _PLAIN and v.is_cpu) for v in (weight, bias))
