"""recalibrate_ across processes: the statistics of the whole, on every rank, whatever share of the data each has."""

import pytest
import torch
import torch.distributed as dist
from torch.testing import assert_close

import steadynorm as sn
from ranks import run_on_ranks
from steadynorm.errors import ArgumentError, SynchronizationError
from surgery_models import DATA, network

X = torch.randn(21, *DATA, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SHARES = {2: (X[:15], X[15:]), 3: (X[:4], X[:0], X[4:])}  # uneven ones, and an empty one


def statistics(model):
    return {n: v for n, v in model.state_dict().items() if "running" in n or "tracked" in n}


WAYS = [("one", "pooled"), ("exact", "pooled"), ("one", "paper")]


def recalibrate(rank, ranks):
    share = SHARES[ranks][rank]
    batches = list(share.split(3)) if len(share) else []
    found = []
    for passes, estimator in WAYS:
        model = network()
        sn.recalibrate_(model, batches, passes=passes, estimator=estimator, process_group=dist.group.WORLD)
        found.append(statistics(model))
    return found


@pytest.mark.parametrize("ranks", [2, 3])
def test_equal_to_one_process(ranks):
    results = run_on_ranks(ranks, recalibrate, ranks)
    batches = [part for share in SHARES[ranks] if len(share) for part in share.split(3)]
    for way, (passes, estimator) in enumerate(WAYS):
        expected = network()
        sn.recalibrate_(expected, batches, passes=passes, estimator=estimator)
        for found in results:
            assert_close(found[way], statistics(expected), rtol=1e-12, atol=1e-12)
            for name, value in found[way].items():
                assert torch.equal(value, results[0][way][name]), name  # bit for bit


def fail_on_one(rank):
    model = network()
    before = {n: v.clone() for n, v in model.state_dict().items()}

    def loader():
        yield X[:3]
        if rank == 1:
            raise OSError("disk")
        yield X[3:6]

    try:
        sn.recalibrate_(model, loader(), process_group=dist.group.WORLD)
    except Exception as error:
        assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
        return error
    raise AssertionError("it should have failed")


def test_a_failure_on_one_rank_ends_all():
    zero, one, two = run_on_ranks(3, fail_on_one)
    assert isinstance(one, OSError)
    for error in (zero, two):
        assert isinstance(error, SynchronizationError)
        assert "rank 1 did not: OSError: disk" in str(error)


def test_a_tolerance_needs_one_process():
    with pytest.raises(ArgumentError, match="stop together"):
        sn.recalibrate_(network(), [], tolerance=0.1, process_group=object())
