"""Two CPU processes that train as one: batch norm over both of their batches, which gives what one process gives."""

import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import steadynorm as sn

RANKS, EACH = 2, 4


def network() -> nn.Sequential:
    """A network that is the same in every process."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def train(model: nn.Module, rank: int | None) -> nn.Module:
    """Take ten steps, on this rank's half of each batch; None takes all."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    draw = torch.Generator().manual_seed(1)
    for _ in range(10):
        batch = torch.randn(RANKS * EACH, 6, generator=draw)
        part = batch if rank is None else batch.split(EACH)[rank]
        loss = model(part).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def work(rank: int, folder: str) -> None:
    """What each process does."""
    store = dist.FileStore(f"{folder}/store", RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    model = network()
    sn.synchronize_(model)
    train(DistributedDataParallel(model), rank)
    sn.assert_synchronized(model)
    torch.testing.assert_close(model.state_dict(), train(network(), None).state_dict())
    if rank == 0:
        print("two processes of four examples trained what one process of eight trains")
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(work, args=(folder,), nprocs=RANKS, start_method="spawn")
