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


def run_on_ranks(ranks: int, function: Callable[..., Any], *args: Any, seconds: float = 60) -> list[Any]:
    """Call ``function(rank, *args)`` in each process and return what it returned, or the exception that it raised."""
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _worker, args=(ranks, function, args, folder, seconds), nprocs=ranks, start_method="spawn", join=True
        )
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(ranks)]


def _worker(rank: int, ranks: int, function: Callable[..., Any], args: Any, folder: str, seconds: float) -> None:
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
    dist.barrier()
    dist.destroy_process_group()
