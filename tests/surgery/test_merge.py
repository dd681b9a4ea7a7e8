"""Running statistics merged over ranks, and compared."""

import copy
import math

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from ranks import run_on_ranks
from steadynorm.errors import ArgumentError, ModelError, SynchronizationError
from surgery_models import assert_unchanged, state_of

WEIGHTS = [3.0, 0.0, 5.0]


def population(rank):
    g = torch.Generator().manual_seed(rank)
    return torch.randn([6, 4, 10][rank], 3, generator=g, dtype=torch.float64) * (1 + rank) + 3 * rank


def network(rank):
    """Its running statistics are exactly the moments of the rank's population."""
    model = nn.Sequential(
        nn.BatchNorm1d(3), nn.LayerNorm(3), sn.nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)
    )
    model.append(sn.nn.WhiteningNorm1d(3)).append(sn.nn.LpBatchNorm1d(3, p=1)).append(sn.nn.FrozenBatchNorm1d(3))
    model.double()
    x = population(rank)
    for layer in (model[0], model[2]):
        layer.running_mean.copy_(x.mean(0))
        layer.running_var.copy_(x.var(0, unbiased=False))
        layer.num_batches_tracked.fill_(rank + 1)
    return model


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    return None


def everything(rank):
    found = {}
    model = network(rank)
    found["before"] = error_of(sn.assert_synchronized, model)
    for name, weights in (("equal", None), ("weighted", WEIGHTS)):
        merged = copy.deepcopy(model)
        found[f"{name} report"] = list(sn.merge_statistics_(merged, weights=weights))
        found[name] = merged.state_dict()
        found[f"{name} after"] = error_of(sn.assert_synchronized, merged)

    state = state_of(model)
    found["other weights"] = error_of(sn.merge_statistics_, model, weights=[1, 1, 1 + rank])
    found["bad weights"] = error_of(sn.merge_statistics_, model, weights=[1, -1, 1] if rank == 2 else None)
    found["other layers"] = error_of(sn.merge_statistics_, nn.BatchNorm1d(3 + (rank == 1)))
    assert_unchanged(model, state)
    broken = network(rank)
    broken[2].running_var[1] = math.nan if rank == 1 else 1.0
    state = state_of(broken)
    found["nan"] = error_of(sn.merge_statistics_, broken)
    assert_unchanged(broken, state)

    layer = nn.BatchNorm1d(2)
    layer.running_mean.fill_(math.nan)  # on every rank: the same
    found["nan is nan"] = error_of(sn.assert_synchronized, layer)
    with torch.no_grad():
        layer.weight[0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)) if rank == 2 else 1.0
    found["one bit"] = error_of(sn.assert_synchronized, layer)

    layer.weight.data[0] = 1.0
    layer.running_mean[0] = math.nan if rank == 1 else 0.0
    found["one nan"] = error_of(sn.assert_synchronized, layer)

    layer = nn.BatchNorm1d(1)  # what the hooks average: means 0 and 3, variances 1 and 1
    layer.running_mean.fill_(3.0 * (rank == 2))
    group = dist.new_group([0, 2])
    if rank == 1:
        found["outside"] = error_of(sn.merge_statistics_, layer, process_group=group)
    else:
        theirs = layer.running_var.clone()
        dist.all_reduce(theirs, group=group)
        sn.merge_statistics_(layer, process_group=group)
        found["b8"] = float(theirs) / 2, layer.running_var
    return found


def test_three_ranks():
    results = run_on_ranks(3, everything)
    check_merged(results)
    check_b8(results)
    check_refusals(results)
    check_differences(results)


def check_merged(results):
    populations = [population(rank) for rank in range(3)]
    for name, weights in (("equal", [1.0, 1.0, 1.0]), ("weighted", WEIGHTS)):
        shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        each = torch.cat([(w / len(x)).expand(len(x)) for w, x in zip(shares, populations, strict=True)]).unsqueeze(1)
        joined = torch.cat(populations)  # each value with the weight of its rank
        mean = (each * joined).sum(0)
        var = (each * (joined - mean).square()).sum(0)
        for result in results:
            state = result[name]
            for layer in ("0", "2"):
                assert_close(state[f"{layer}.running_mean"], mean)
                assert_close(state[f"{layer}.running_var"], var)
                assert state[f"{layer}.num_batches_tracked"] == 3
                for entry in ("running_mean", "running_var"):  # bit for bit
                    assert torch.equal(state[f"{layer}.{entry}"], results[0][name][f"{layer}.{entry}"])
            assert result[f"{name} after"] is None
            assert [row["done"] for row in result[f"{name} report"]] == [
                "merged",
                "skipped",
                "merged",
                *["skipped"] * 4,
            ]
    reasons = [row.get("why") for row in results[0]["equal report"]]
    for reason, word in zip(reasons[3:], ["no running statistics", "covariance", "norms", "frozen"], strict=True):
        assert word in reason
    moved = results[0]["equal report"][0]
    expected = (results[0]["equal"]["0.running_mean"] - populations[0].mean(0)).abs()
    var = results[0]["equal"]["0.running_var"] + 1e-5
    assert moved["mean"] == pytest.approx(float((expected / var.sqrt()).max()))
    assert moved["variance"] == pytest.approx(
        float((var / (populations[0].var(0, unbiased=False) + 1e-5)).max()), rel=1e-6
    )


def check_b8(results):
    for rank in (0, 2):
        averaged, merged = results[rank]["b8"]
        assert averaged == 1.0
        assert_close(merged, torch.tensor([3.25]))
    assert isinstance(results[1]["outside"], ArgumentError)


def check_refusals(results):
    for result in results:
        assert isinstance(result["other weights"], SynchronizationError)
        assert "rank 1: the weights" in str(result["other weights"])
        assert "rank 2: the weights" in str(result["other weights"])
        assert isinstance(result["bad weights"], ArgumentError if result is results[2] else SynchronizationError)
        assert isinstance(result["other layers"], SynchronizationError)
        assert "rank 1: (the model)" in str(result["other layers"])
        assert isinstance(result["nan"], ModelError)
        assert "those of 2 on rank 1" in str(result["nan"])


def check_differences(results):
    for result in results:
        message = str(result["before"])
        assert "0: running_mean on rank 1, 2" in message
        assert "2: running_var on rank 1, 2" in message
        assert "weight" not in message
        assert result["nan is nan"] is None
        assert "(the model): weight on rank 2\n" in str(result["one bit"])
        assert "(the model): running_mean on rank 1\n" in str(result["one nan"])


def test_without_a_group():
    model = network(0)
    before = state_of(model)
    report = sn.merge_statistics_(model)
    assert_unchanged(model, before)
    assert report.notes == ["there is no process group, so nothing was to be merged"]
    sn.assert_synchronized(model)
    with pytest.raises(ArgumentError, match="1 finite numbers, one a rank"):
        sn.merge_statistics_(model, weights=[1, 2])
