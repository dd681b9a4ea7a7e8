"""How a step is computed: on which device, in which precision, by how many ranks, in how many parts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import convert_conv2d_weight_memory_format

from ...surgery.synchronize import synchronize_
from .ranks import Ranks

__all__ = ["Execution"]


@dataclass(frozen=True)
class Execution:
    """What does not belong to the recipe.

    Args:
        device: of the network.
        dtype: of the weights and the input.
        amp: compute in bfloat16 where torch's autocast says so.
        channels_last: keep images and weights so; it halves a step of narrow networks on a processor.
        compiled: by ``torch.compile``.
        accumulate: in so many parts a rank computes its share of a batch; batch norm sees one part at a time.
        synchronized: batch norm sees the batch of all ranks (:class:`steadynorm.nn.SyncBatchNorm`).
        ranks: this process among those of the run.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    amp: bool = False
    channels_last: bool = True
    compiled: bool = False
    accumulate: int = 1
    synchronized: bool = False
    ranks: Ranks = field(default_factory=Ranks)

    def prepare(self, network: nn.Module) -> tuple[nn.Module, nn.Module]:
        """Return the network in its place, and what to call in training: itself, or what wraps it."""
        network = network.to(self.device, self.dtype)
        if self.synchronized:
            synchronize_(network)
        if self.channels_last:
            convert_conv2d_weight_memory_format(network, torch.channels_last)
        called = network
        if self.ranks.together:
            called = DistributedDataParallel(network, broadcast_buffers=not self.synchronized)
        if self.compiled:
            called = torch.compile(called)  # type: ignore[assignment]
        return network, called

    def warm(self, called: nn.Module, x: Tensor) -> None:
        """Let DistributedDataParallel settle its buckets, which it does after its first backward pass.

        Sums over ranks depend on a tensor's place in a bucket, so a resumed run, whose first step would have other
        buckets, would differ in its last bits. The pass is one of evaluation: nothing is changed by it.
        """
        if self.ranks.together:
            training = called.training
            called.eval()(x).sum().backward()
            called.train(training).zero_grad()

    def placed(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch on the device, in the precision of the weights."""
        x = x.to(self.device, self.dtype, non_blocking=True)
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return x, labels.to(self.device, non_blocking=True)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16) if self.amp else nullcontext()

    def exchanging(self, called: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """Return the context of one part of a batch: gradients are exchanged after the last."""
        wrapped = getattr(called, "_orig_mod", called)
        if last or not isinstance(wrapped, DistributedDataParallel):
            return nullcontext()
        return wrapped.no_sync()

    @property
    def generators(self) -> Sequence[int]:
        """The devices, beside the processor, whose generators a step uses."""
        return [torch.device(self.device).index or 0] if self.device.startswith("cuda") else []

    def seed(self, state: Tensor) -> None:
        """Let the device's generator, if it has one of its own, follow the processor's ``state``."""
        if self.generators:
            seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(_folded(state))))
            torch.cuda.manual_seed(seed)

    def agree(self, network: nn.Module) -> None:
        """Give every rank the first one's running statistics; those of synchronized layers agree already."""
        if self.ranks.together and not self.synchronized:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


def _folded(state: Tensor) -> int:
    """Return a seed from a generator's state."""
    return int(state.long().mul(torch.arange(1, len(state) + 1)).sum())
