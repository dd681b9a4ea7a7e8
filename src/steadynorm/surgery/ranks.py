"""What the ranks of a process group tell each other while they change or look at their models together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch.distributed import ProcessGroup

from ..errors import SynchronizationError

__all__ = ["exchange", "together"]


@contextmanager
def together(group: ProcessGroup | None) -> Iterator[None]:
    """Let a block that fails on one rank fail on all of them, instead of leaving the others to wait."""
    try:
        yield
    except Exception as error:
        exchange(f"{type(error).__name__}: {error}", group)
        raise
    failures = [(rank, words) for rank, words in enumerate(exchange(None, group)) if words is not None]
    if failures:
        rank, words = failures[0]
        raise SynchronizationError(f"every rank must succeed, but rank {rank} did not: {words}")


def exchange(value: Any, group: ProcessGroup | None) -> list[Any]:
    """Return every rank's value, by rank; without a group this process is the only one."""
    if group is None:
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values
