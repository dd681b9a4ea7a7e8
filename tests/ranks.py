"""Run a function on several processes joined by gloo, and give its results back by rank."""

import os
import pickle
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_on_ranks(
    ranks: int, function: Callable[..., Any], *args: Any, seconds: float = 60, breaks: bool = False
) -> list[Any]:
    """Call ``function(rank, *args)`` in each process and return what it returned, or the exception that it raised.

    Args:
        seconds: timeout of the group.
        breaks: the group does not survive the function; None for a rank that did not either.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _worker, args=(ranks, function, args, folder, seconds, breaks), nprocs=ranks, start_method="spawn"
        )
        results = [Path(folder, str(rank)) for rank in range(ranks)]
        return [pickle.loads(r.read_bytes()) if r.exists() or not breaks else None for r in results]


def _worker(
    rank: int, ranks: int, function: Callable[..., Any], args: Any, folder: str, seconds: float, breaks: bool
) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    store = dist.FileStore(os.path.join(folder, "store"), ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=seconds))
    try:
        result: Any = function(rank, *args)
    except Exception as error:
        traceback.print_exc()
        result = error
    Path(folder, str(rank)).write_bytes(pickle.dumps(result))
    if breaks:
        os._exit(0)  # the group's own end would wait for those who are gone
    dist.barrier()
    dist.destroy_process_group()
