"""Batch normalization over the batches of all ranks, as a layer."""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from .. import kernels
from ..errors import ShapeError
from ._sync.exchange import join, total
from ._sync.operators import batch_norm_by_joined_moments
from .batchnorm import BatchNormBase
from .dispatch import code_for, moments
from .finishing import finish, wide_affine
from .moving import is_recomputation
from .naming import describe

__all__ = ["SyncBatchNorm"]

# attributes that only a synchronized layer has: one that becomes another drops them
OF_EXCHANGE = ("_held", "_place")


class SyncBatchNorm(BatchNormBase):
    r"""Batch normalization with the statistics of all processes of a group: one batch, of which each holds a part.

    .. math:: n = \sum_r n_r, \quad \mu = \frac1n \sum_r n_r \mu_r, \quad
              \sigma^2 = \frac1n \sum_r n_r \bigl(\sigma_r^2 + (\mu_r - \mu)^2\bigr)

    r counts the ranks; the rest is :class:`steadynorm.nn.BatchNorm2d` with these μ and σ². In training forward is one
    collective of 2C + 1 float64 numbers a rank, and backward one of 2C numbers. Every rank merges in the order of the
    ranks, so running statistics that were equal stay equal bit for bit. ∂γ and ∂β are this rank's own sums, as in
    torch: DistributedDataParallel averages them like all gradients.

    Every rank must call the layer equally often and in the same order, forward and backward; one that has no data takes
    part with an empty batch, whose output it must let into its loss. In evaluation nothing is exchanged. Without an
    initialized process group, in a group of one, or in a process outside of the group, it is plain batch norm.

    Reference: Ioffe & Szegedy 2015, Algorithm 1, over the joined batch; merging by Chan, Golub & LeVeque 1979
    (:func:`steadynorm.functional.merge_moments`).

    Shape: (N, C) to (N, C, D, H, W), residual alike; mask broadcastable to (N, 1, *S). N may differ between ranks.

    Args:
        process_group: whose batches are one; None for all processes. A deep copy shares it; a pickle forgets it.
        others: as of :class:`steadynorm.nn.BatchNorm2d`.

    Differs from ``torch.nn.SyncBatchNorm``: trains on the CPU too, under gloo; takes a residual, a mask, an activation;
    has all that :class:`BatchNormBase` lists. It is none of torch's ``SyncBatchNorm``.

    Numerics: as batch norm; counts and merging are in float64. Under activation checkpointing the recomputation runs
    the same collectives again, so all ranks must checkpoint the same parts. There are no second derivatives, and
    ``torch.compile`` breaks its graph here, while ranks are synchronized.

    Raises: as batch norm does, for one value a feature over all ranks on each of them. SynchronizationError, on every
    survivor, if a rank ends or does not take part within the group's timeout: it names the layer, who is absent, and
    who is at another layer. With nccl a collective fails in torch's watchdog, which ends the process instead.
    """

    axes = (2, 3, 4, 5)
    _held: "Held"
    _place: str | None = None  # what to call it in errors, looked up at the first exchange

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        single_value: str = "error",
        channel_axis: int = 1,
    ) -> None:
        options: dict[str, Any] = {
            "bias": bias,
            "activation": activation,
            "single_value": single_value,
            "channel_axis": channel_axis,
        }
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.process_group = process_group

    @property
    def process_group(self) -> ProcessGroup | None:
        """Whose batches are one; None for all processes."""
        return self._held.group

    @process_group.setter
    def process_group(self, group: ProcessGroup | None) -> None:
        self._held = Held(group)

    def _synchronizes_in(self) -> ProcessGroup | None:
        """Return the group in which this call exchanges; None if it does not."""
        if not (self.training and dist.is_available() and dist.is_initialized()):
            return None
        group = dist.group.WORLD if self.process_group is None else self.process_group
        return group if dist.get_world_size(group) > 1 else None

    def _has_one_value(self, x: Tensor) -> bool:
        # of all ranks together this is known after the exchange only
        return self._synchronizes_in() is None and super()._has_one_value(x)

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        group = self._synchronizes_in()
        if group is None:
            return super()._normalize_by_batch(x, residual, mask)
        together = self._normalize_together
        if torch.compiler.is_compiling():  # the graph breaks; as a decorator it would import the compiler for everyone
            disable: Any = torch.compiler.disable
            together = disable(together)
        return together(x, residual, mask, group)

    def _normalize_together(
        self, x: Tensor, residual: Tensor | None, mask: Tensor | None, group: ProcessGroup
    ) -> Tensor:
        if self._place is None:
            self._place = describe(self)
        with torch.no_grad():
            joined = join(moments(x, mask), group, f"{self._place}, forward")
        # all ranks do the same, those without an example too; the shape first, which needs no wait for the device
        if mask is None and x.shape[0] * x.shape[2:].numel() <= 1 and joined.count == 1:
            if self._takes_single_values():
                return self._normalize_by_running(x, residual, mask)
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got one on all ranks together, here input size "
                f"{x.shape}\nThe layer is {self._place}. One value is its own mean, so nothing of it would be left."
            )
        reduce = partial(total, group=group, place=f"{self._place}, backward")
        running = self._running_statistics()
        if code_for(x, residual, self.weight, self.bias, None if running is None else running.mean) == "kernel":
            y = kernels.batch_norm_by_moments(
                x, residual, self.weight, self.bias, joined, self.eps, self.activation, mask=mask, reduce=reduce
            )
        else:
            y = batch_norm_by_joined_moments(x, *wide_affine(self.weight, self.bias), joined, self.eps, reduce)
            y = finish(y, residual, self.activation)
        if running is not None and not self._pauses and not is_recomputation():
            count, mean, var = joined
            kernels.move(running, mean, var, self.momentum, count=count, bessel=True)
        return y


class Held:
    """A process group within a layer: copies of the layer share it, and pickles leave it out."""

    def __init__(self, group: ProcessGroup | None) -> None:
        self.group = group

    def __deepcopy__(self, memo: object) -> "Held":
        return self

    def __reduce__(self) -> tuple[type["Held"], tuple[None]]:
        return Held, (None,)
