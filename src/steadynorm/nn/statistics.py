"""What layers with running statistics share: the buffers and their dtype."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

from .._torch import buffers_of
from ..functional._tensors import wide_dtype

__all__ = ["WideStatistics"]


class WideStatistics(Module):
    """Keeps its ``statistics`` in float32 or wider, whatever the model is cast to.

    In 16 bits a moving average stops moving: with momentum 0.001 it sticks as soon as a step falls below half a unit in
    the last place. So ``.half()``, ``.bfloat16()``, ``.to(dtype)``, a constructor's ``dtype`` and a 16-bit checkpoint
    reach the parameters only; ``.double()`` widens the statistics too. Differs from torch, which casts them along.
    """

    running_mean: Tensor | None
    running_var: Tensor | None

    statistics = ("running_mean", "running_var")

    def widen_statistics(self) -> None:
        """Replace statistics that are narrower than float32 by their float32 values."""
        for name in self.statistics:
            statistic = buffers_of(self).get(name)
            if statistic is not None and not is_lazy(statistic) and statistic.dtype != wide_dtype(statistic.dtype):
                setattr(self, name, statistic.to(wide_dtype(statistic.dtype)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        statistics = {id(buffers_of(self).get(name)) for name in self.statistics}

        def convert(tensor: Tensor) -> Tensor:
            converted = fn(tensor)
            if id(tensor) in statistics and converted.dtype != wide_dtype(converted.dtype):
                return tensor.to(converted.device, torch.float32)  # from the original: nothing is rounded on the way
            return converted

        super()._apply(convert, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.widen_statistics()  # load_state_dict(assign=True) takes the checkpoint's dtype
