"""The processes of one run: which of how many this is, and what they tell one another."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["Ranks", "joined"]


class Ranks:
    """This process among those of the run; one alone, where there is no process group.

    Args:
        device: on which the tensors lie that are exchanged.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.together = dist.is_initialized()
        self.rank = dist.get_rank() if self.together else 0
        self.size = dist.get_world_size() if self.together else 1
        self.device = torch.device(device)

    @property
    def first(self) -> bool:
        """Whether this process writes what one process alone may write."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Return this process's part of ``total`` things: consecutive, in the order of the ranks, as even as can be."""
        return range(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all processes."""
        if not self.together:
            return list(values)
        exact = torch.float64 if self.device.type != "mps" else torch.float32
        tensor = torch.tensor(values, dtype=exact, device=self.device)
        dist.all_reduce(tensor)
        return list(map(float, tensor))

    def told(self, value: Any) -> Any:
        """Return the first process's value, plain data."""
        box = [value]
        if self.together:
            dist.broadcast_object_list(box, device=self.device)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """Return every process's value, plain data, by rank."""
        values = [value]
        if self.together:
            values = [None] * self.size
            dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.together:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, by nccl or gloo; without ``torchrun`` this process is alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield Ranks(device)
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(device)
    finally:
        dist.destroy_process_group()
