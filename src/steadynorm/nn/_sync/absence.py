"""When a collective fails: who is not there, and who is somewhere else."""

import time

import torch.distributed as dist
from torch.distributed import ProcessGroup

from ...errors import SynchronizationError

__all__ = ["absence"]

PATIENCE = 5.0  # seconds that a survivor waits for the words of the others
INTERVAL = 0.05  # seconds


def absence(group: ProcessGroup, place: str, error: Exception) -> SynchronizationError:
    """Return the error that says where every rank of the group was when a collective failed on this one.

    Each survivor leaves its place in the group's store, ends the group's connections, so that those who wait for it
    fail as well instead of waiting for their timeout, and then waits a few seconds for the places of the others. The
    group cannot be used again.
    """
    me, size = dist.get_rank(group), dist.get_world_size(group)
    try:
        store = group.get_group_store()
        store.set(_key(me), place)
        group.abort()
        missing = [_key(rank) for rank in range(size)]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not store.check(missing):
            time.sleep(INTERVAL)
        there = {rank: store.get(_key(rank)).decode() for rank in range(size) if store.check([_key(rank)])}
    except RuntimeError as gone:  # torch's DistError is one
        return SynchronizationError(
            f"all {size} ranks must take part in {place}; on rank {me} the exchange failed, and the process that hosts "
            f"the group's store is gone, so who is absent cannot be told: see how that process ended.\n{gone}\n{error}"
        )
    absent = [rank for rank in range(size) if rank not in there]
    elsewhere = [f"rank {rank} was at {where}" for rank, where in there.items() if where != place]
    return SynchronizationError(
        f"all {size} ranks must take part in {place}; on rank {me} the exchange failed. "
        + (f"Absent: rank {', '.join(map(str, absent))}. " if absent else "")
        + (f"Elsewhere: {'; '.join(elsewhere)}. " if elsewhere else "")
        + "A rank that ended early, failed, or took a branch without this layer leaves the others waiting: see its own "
        f"output, and let every rank call the layer equally often, with an empty batch if it has none.\n{error}"
    )


def _key(rank: int) -> str:
    return f"steadynorm/place/{rank}"
