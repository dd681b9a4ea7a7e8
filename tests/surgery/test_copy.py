"""Running statistics given from one network to another."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.testing import assert_close

import oracles
import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from surgery_models import DATA, NOTHING_DONE, assert_unchanged, network, state_of

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def trained(*norms, seed=0):
    model = network(*norms)
    torch.manual_seed(seed)
    for _ in range(3 + seed):
        model(torch.randn(8, *DATA, dtype=torch.float64) * (1 + seed) + seed)
    return model


def statistics(model):
    return {k: v.clone() for k, v in model.state_dict().items() if k.endswith(BUFFERS)}


@pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])
def test_a_copy_is_a_copy(norms):
    source, target = trained(*norms), trained(seed=2)
    before, weights = state_of(source), [p.clone() for p in target.parameters()]
    hooks = [target[1].register_forward_hook(lambda *args: None)]
    identities = [id(v) for v in (*target.buffers(), *target.modules())]
    report = sn.copy_statistics_(source, target)
    assert_close(statistics(target), statistics(source), rtol=0, atol=0)
    assert_unchanged(source, before)
    assert all(torch.equal(a, b) for a, b in zip(weights, target.parameters(), strict=True))
    assert identities == [id(v) for v in (*target.buffers(), *target.modules())]
    assert len(target[1]._forward_hooks) == len(hooks)
    assert {row["layer"]: row["done"] for row in report}["10"] == "skipped"  # a layer norm
    assert {row["done"] for row in report if row["layer"] != "10"} == {"copied"}
    source[1].running_mean.add_(1)  # no memory is shared
    assert not torch.equal(source[1].running_mean, target[1].running_mean)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99, 1.0])
def test_averages_are_those_of_the_formula(decay, spread):
    source, target = trained(seed=1), trained()
    old, theirs = statistics(target), statistics(source)
    sn.copy_statistics_(source, target, decay=decay, spread=spread)
    new = statistics(target)
    for name in [k.removesuffix("running_mean") for k in old if k.endswith("running_mean")]:
        (mt, vt), (ms, vs) = ((state[name + "running_mean"], state[name + "running_var"]) for state in (old, theirs))
        assert_close(new[name + "running_mean"], decay * mt + (1 - decay) * ms)
        between = decay * (1 - decay) * (mt - ms).square() if spread else 0
        assert_close(new[name + "running_var"], decay * vt + (1 - decay) * vs + between)
        count = new[name + "num_batches_tracked"]
        assert count.dtype == torch.int64
        assert count == theirs[name + "num_batches_tracked"]


def test_with_spread_it_is_the_pooled_distribution():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(30, 1, generator=g).double() * 2 + 5, torch.randn(10, 1, generator=g).double() - 3
    layers = []
    for x in (a, b):
        layers.append(nn.BatchNorm1d(1).double())
        mean, var = oracles.mean_and_variance(x[:, 0].tolist())
        layers[-1].running_mean.fill_(mean)
        layers[-1].running_var.fill_(var)
    sn.copy_statistics_(layers[1], layers[0], decay=0.75, spread=True)
    mean, var = oracles.mean_and_variance([*a[:, 0].tolist(), *b[:, 0].tolist()])
    assert float(layers[0].running_mean) == pytest.approx(mean)
    assert float(layers[0].running_var) == pytest.approx(var)


def test_wrappers_are_seen_through():
    student = trained()
    teacher = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    student(torch.randn(8, *DATA, dtype=torch.float64))
    sn.copy_statistics_(torch.compile(student), nn.DataParallel(teacher))
    assert_close(statistics(teacher.module), statistics(student), rtol=0, atol=0)
    nested = copy.deepcopy(student)
    nested[3] = torch.compile(nested[3])
    target = trained(seed=4)
    sn.copy_statistics_(nested, target)
    assert_close(statistics(target), statistics(student), rtol=0, atol=0)


def test_by_order():
    source = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(2))
    for i, layer in enumerate(source):
        layer.running_mean.fill_(i + 1.0)
    target = nn.ModuleDict({"first": sn.nn.BatchNorm1d(3), "other": nn.Linear(3, 2), "second": nn.BatchNorm1d(2)})
    with pytest.raises(ArgumentError, match=r"same names, received 0, 1 and first, second: use match='order'"):
        sn.copy_statistics_(source, target)
    sn.copy_statistics_(source, target, match="order")
    assert target["first"].running_mean.tolist() == [1, 1, 1]
    assert target["second"].running_mean.tolist() == [2, 2]


@NOTHING_DONE
def test_what_is_left_says_why():
    source = nn.ModuleDict({k: nn.BatchNorm1d(2) for k in ("same", "frozen", "bare", "unchosen")})
    target = nn.ModuleDict({k: nn.BatchNorm1d(2) for k in ("frozen", "missing", "unchosen")})
    target["same"] = source["same"]
    target["bare"] = nn.BatchNorm1d(2, track_running_stats=False)
    sn.freeze_(target["frozen"])
    report = sn.copy_statistics_(source, target, where=lambda name, module: name != "unchosen")
    assert {row["layer"]: row["why"] for row in report} == {
        "same": "is the source's own layer",
        "frozen": "is frozen",
        "missing": "the source has no batch norm of this name",
        "bare": "keeps no running statistics",
        "unchosen": "not selected",
    }


@NOTHING_DONE
def test_methods_copy_all_of_their_statistics():
    for make in (lambda: sn.nn.WhiteningNorm1d(3), lambda: sn.nn.LpBatchNorm1d(3, p=1)):
        source, target = make(), make()
        for _ in range(4):
            source(torch.randn(16, 3) @ torch.randn(3, 3))
        x = torch.randn(5, 3)
        sn.copy_statistics_(source, target)
        assert_close(target.eval()(x), source.eval()(x), rtol=0, atol=0)
        report = sn.copy_statistics_(source, target, decay=0.5, spread=True)
        assert "keeps" in report.rows[0]["why"]


def test_refusals_leave_the_target_as_it_was():
    source, target = trained(seed=1), trained()
    before = state_of(target)

    def refused(error, words, *args, **options):
        with pytest.raises(error, match=words):
            sn.copy_statistics_(*args, **options)
        assert_unchanged(target, before)

    refused(ArgumentError, "between 0 and 1, or None to copy; received 1.5", source, target, decay=1.5)
    refused(ArgumentError, "give a decay, received None", source, target, spread=True)
    refused(ArgumentError, "'name' or 'order', received 'place'", source, target, match="place")
    refused(ArgumentError, "equally many batch norms, received 1 in the source", source[1], target, match="order")
    refused(ArgumentError, "must be a torch.nn.Module, received dict", {}, target)
    other = copy.deepcopy(source)
    other[1] = nn.BatchNorm2d(5)
    refused(ModelError, "must keep the same statistics, but 1 keeps", other, target)
    other[1] = sn.nn.WhiteningNorm2d(4)
    refused(ModelError, "running_cov", other, target)
    source[3].shared.running_var[0] = torch.nan
    refused(ModelError, r"the source's statistics of 3\.shared must be finite", source, target)
    target[1].running_var[0] = torch.inf
    source = trained(seed=1)
    before = state_of(target)
    refused(ModelError, "the target's statistics of 1 must be finite", source, target, decay=0.5)
    sn.copy_statistics_(source, target)  # a copy heals it
    assert bool(torch.isfinite(target[1].running_var).all())


def test_a_failure_half_way_is_taken_back(monkeypatch):
    source, target = trained(seed=1), trained()
    before, calls = state_of(target), []
    copy_ = torch.Tensor.copy_

    def failing(self, *args):
        calls.append(self)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return copy_(self, *args)

    monkeypatch.setattr(torch.Tensor, "copy_", failing)
    with pytest.raises(KeyboardInterrupt):
        sn.copy_statistics_(source, target)
    monkeypatch.undo()
    assert_unchanged(target, before)
