"""A rank that is not there ends the others with an error that names it, and does not let them wait for ever."""

import os
import socket
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn

import steadynorm as sn
from ranks import run_on_ranks
from steadynorm.errors import SynchronizationError
from steadynorm.nn._sync import absence

TIMEOUT = 3.0  # seconds of the group
PATIENCE = 2.0  # seconds for the words of the others, instead of the usual
RANKS = 3
SECOND = "'second' (SyncBatchNorm(5"


class Network(nn.Module):
    def __init__(self, group):
        super().__init__()
        self.first = sn.nn.SyncBatchNorm(3, process_group=group)
        self.linear = nn.Linear(3, 5)
        self.second = sn.nn.SyncBatchNorm(5, process_group=group)

    def forward(self, x, skips=False, ends=False):
        x = self.linear(self.first(x))
        if ends:
            os._exit(0)
        return x if skips else self.second(x)


def step(rank, what):
    """One step, of which rank 1 leaves something out; the error that it ends with, and after how long."""
    group = dist.new_group(timeout=timedelta(seconds=TIMEOUT))
    model, x = Network(group), torch.randn(4, 3, requires_grad=True)
    began = time.monotonic()
    try:
        y = model(x, **({what: True} if rank == 1 and what in ("ends", "skips") else {}))
        if what == "backward" and rank == 1:
            return None
        y.sum().backward()
        if what == "skips":
            model(x)
    except SynchronizationError as error:
        return str(error), time.monotonic() - began
    return "no error", 0.0


def absences(rank):
    """Skip, stay away, and end: each in a group of its own, which does not survive it."""
    found = {}
    absence.PATIENCE = PATIENCE
    for what in ("skips", "backward", "ends"):
        found[what] = step(rank, what)
        if what != "ends":
            dist.barrier()
    return found


def test_a_rank_that_skips_stays_away_or_ends():
    results = run_on_ranks(RANKS, absences, breaks=True)
    assert results[1] is None  # it has ended
    for found in (results[0], results[2]):
        message, seconds = found["skips"]
        assert f"take part in {SECOND}" in message
        assert "Absent" not in message
        assert "Elsewhere: rank 1 was at 'first' (SyncBatchNorm(3" in message
        assert seconds < 2 * TIMEOUT + PATIENCE

        message, seconds = found["backward"]
        assert "Absent: rank 1. " in message
        assert f"take part in {SECOND}" in message
        assert ", backward; " in message
        assert seconds < 2 * TIMEOUT + PATIENCE

        message, seconds = found["ends"]
        assert "Absent: rank 1. " in message
        assert f"take part in {SECOND}" in message
        assert ", forward; " in message
        assert seconds < 2 * TIMEOUT + PATIENCE


def lose_the_store(rank, port):
    """Skip on rank 1 and tell what it says there, too; then lose rank 0, which hosts the store."""
    absence.PATIENCE = PATIENCE
    dist.barrier()  # nobody is connecting any more
    dist.destroy_process_group()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=TIMEOUT))
    skipped = step(rank, "skips")[0]
    dist.barrier()
    try:
        Network(None)(torch.randn(4, 3), ends=rank == 0)
    except SynchronizationError as error:
        return skipped, str(error)
    return skipped, "no error"


def test_the_host_of_the_store_is_gone():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    zero, one, two = run_on_ranks(RANKS, lose_the_store, port, breaks=True)
    assert zero is None
    assert "take part in 'first'" in one[0]
    assert f"rank 0 was at {SECOND}" in one[0]
    for _, message in (one, two):
        assert "the process that hosts the group's store is gone" in message
        assert SECOND in message


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
