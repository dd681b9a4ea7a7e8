import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

import ranks
import steadynorm as sn
from steadynorm.errors import ArgumentError
from surgery_models import DATA, NOTHING_DONE, Custom, assert_unchanged, network, small_networks, state_of

NORMS = pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])


def x_of(n=5, seed=0):
    return torch.randn(n, *DATA, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(norms):
    model = network(*norms)
    model[4].p = 0.0
    with torch.no_grad():
        for seed in range(3):
            model(x_of(seed=seed) * 2 + 1)
    return model


def statistics_of(model):
    return {name: value.clone() for name, value in model.state_dict().items() if "running" in name or "num_" in name}


def step(model, parameters, x):
    """One optimizer step with weight decay and momentum, as fine-tuning has them."""
    optimizer = torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=0.01)
    model(x).square().sum().backward()
    optimizer.step()


@settings(max_examples=30)
@given(small_networks(), st.booleans(), st.booleans(), st.booleans())
@NOTHING_DONE
def test_freeze_and_unfreeze_give_the_same_bytes(model, statistics, affine, training):
    model.train(training)
    if not (statistics or affine):
        return
    before = state_of(model)
    attributes = [dict(vars(m)) for m in model.modules()]
    sn.freeze_(model, statistics=statistics, affine=affine)
    sn.unfreeze_(model)
    assert_unchanged(model, before)
    assert [dict(vars(m)) for m in model.modules()] == attributes


@NORMS
def test_frozen_statistics_are_those_of_evaluation_in_every_mode(norms):
    model = trained(norms)
    expected, x = copy.deepcopy(model).eval()(x_of()), x_of()
    report = sn.freeze_(model, where=lambda name, module: not isinstance(module, Custom))
    before = statistics_of(model)
    model[9].eval()  # the user's subclass
    for _ in range(2):
        assert_close(model.train()[:9](x), copy.deepcopy(model).eval()[:9](x))
    model.eval()
    assert_close(model(x), expected)
    after = statistics_of(model)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {row["done"] for row in report if row["kind"].startswith("BatchNorm")} == {"statistics"}
    assert {row["batches"] for row in report if row["done"] != "skipped"} == {3, 6, 0}
    assert report.notes == ["these had seen no batch, so they are frozen at what was loaded or at 0 and 1: 3.rare"]


@NORMS
@pytest.mark.parametrize("affine", [False, True])
def test_training_on(norms, affine):
    model = trained(norms)
    parameters = list(model.parameters())
    sn.freeze_(model, affine=affine, where=lambda name, module: not isinstance(module, Custom))
    layer = model[1]
    before, gamma = statistics_of(layer), layer.weight.clone()
    if affine:
        model.requires_grad_(True)  # a callback that thaws all parameters
    step(model.train(), parameters, x_of())
    assert all(torch.equal(v, before[k]) for k, v in statistics_of(layer).items())
    assert torch.equal(layer.weight, gamma) == affine
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]


@NORMS
def test_it_stays_frozen(norms):
    model = trained(norms)
    sn.freeze_(model, affine=True)
    keys = list(trained(norms).state_dict())
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    copies = [
        model.train().eval().train(),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(buffer, weights_only=False),
        copy.deepcopy(model).to(torch.float32).to(torch.float64),
    ]
    for other in copies:
        assert list(other.state_dict()) == keys
        before, gamma = statistics_of(other[1]), other[1].weight.clone()
        step(other.train(), [p for p in other.parameters() if p.requires_grad], x_of())
        assert all(torch.equal(v, before[k]) for k, v in statistics_of(other[1]).items())
        assert torch.equal(other[1].weight, gamma)
        sn.unfreeze_(other)
        assert type(other[1]) is norms[0]
        assert other[1].weight.requires_grad
    fresh = network(*norms)
    fresh.load_state_dict(model.state_dict())
    sn.freeze_(fresh)
    fresh.load_state_dict(model.state_dict())
    assert_close(fresh.eval()(x_of()), model.eval()(x_of()))


def test_compiled():
    torch.compiler.reset()
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    compiled, x = torch.compile(model, backend="aot_eager"), torch.randn(4, *DATA)
    compiled(x)
    sn.freeze_(compiled)
    before = statistics_of(model)
    expected = copy.deepcopy(model).eval()(x)
    for _ in range(2):
        assert_close(compiled(x), expected)
    assert all(torch.equal(v, before[k]) for k, v in statistics_of(model).items())
    sn.unfreeze_(compiled)
    compiled(x)
    assert int(model[1].num_batches_tracked) == 2


class TestWhatOthersDoToIt:
    """Tools that look for torch's batch norms find no frozen layer."""

    @NORMS
    def test_update_bn(self, norms):
        """It resets every batch norm and trains on; one that is only in eval() is overwritten (B7)."""
        ours, theirs = trained(norms), trained(norms)
        sn.freeze_(ours, where=lambda name, _: name in ("1", "8"))
        theirs[1].eval()
        for model in (ours, theirs):
            before = statistics_of(model[1])
            torch.optim.swa_utils.update_bn([x_of(seed=9) * 5], model)
            kept = all(torch.equal(v, before[k]) for k, v in statistics_of(model[1]).items())
            assert kept == (model is ours)

    @NORMS
    def test_convert_sync_batchnorm(self, norms):
        model = trained(norms)
        sn.freeze_(model)
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        assert isinstance(converted[1], sn.nn.FrozenBatchNorm2d)
        assert not isinstance(converted[1], _BatchNorm)

    @NORMS
    def test_callbacks_that_freeze_and_thaw(self, norms):
        """Lightning's BaseFinetuning sets track_running_stats of batch norms, and requires_grad of all parameters.

        Its freezing turns a layer of torch into one that normalizes with the batch again.
        """

        def callback(model, trains):
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.track_running_stats = trains
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad = trains

        for trains in (False, True):
            model = trained(norms)
            sn.freeze_(model, affine=True, where=lambda name, _: name == "1")
            expected = copy.deepcopy(model[1])(torch.ones(2, 4, 3, 3).double())
            callback(model, trains)
            if trains:
                step(model.train(), model.parameters(), x_of())
            assert_close(model.train()[1](torch.ones(2, 4, 3, 3).double()), expected)

    @NORMS
    def test_an_optimizer_with_weight_decay(self, norms):
        model = trained(norms)
        sn.freeze_(model, affine=True)
        gamma = model[1].weight.clone()
        step(model, model.parameters(), x_of())
        assert torch.equal(model[1].weight, gamma)


def data_parallel(rank):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    model(torch.randn(8, *DATA))
    sn.freeze_(model, affine=True)
    before = statistics_of(model)
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
    for k in range(2):
        optimizer.zero_grad()
        wrapped(torch.randn(4, *DATA, generator=torch.Generator().manual_seed(10 * rank + k))).square().sum().backward()
        optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in statistics_of(model).items())
    return model[3].weight.detach()


def test_data_parallel():
    first, second = ranks.run_on_ranks(2, data_parallel)
    assert torch.equal(first, second)


def test_affine_only():
    model = trained((nn.BatchNorm2d, nn.BatchNorm1d))
    model[1].bias.requires_grad_(False)
    report = sn.freeze_(model, statistics=False, affine=True)
    assert type(model[1]) is nn.BatchNorm2d
    assert not any(p.requires_grad for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters())
    assert {row["done"] for row in report} == {"affine", "skipped"}
    model(x_of())
    assert int(model[1].num_batches_tracked) == 4
    sn.freeze_(model, where=lambda name, _: name == "1")  # and the statistics afterwards
    assert isinstance(model[1], sn.nn.FrozenBatchNorm2d)
    assert model[1].affine_frozen
    sn.unfreeze_(model)
    assert model[1].weight.requires_grad
    assert not model[1].bias.requires_grad
    assert model[9].weight.requires_grad


@NOTHING_DONE
def test_what_is_skipped_and_why():
    paused = nn.BatchNorm1d(4)
    made = sn.nn.FrozenBatchNorm1d(4)
    model = nn.Sequential(
        nn.LayerNorm(4),
        Custom(4),
        nn.LazyBatchNorm1d(),
        nn.BatchNorm1d(4, track_running_stats=False),
        made,
        paused,
        nn.BatchNorm1d(4),
        nn.InstanceNorm1d(4, track_running_stats=True),
    )
    with sn.paused_statistics(paused):
        report = sn.freeze_(model, where=lambda name, _: name != "6")
    assert [row["why"].split(":")[0] for row in report if row["done"] == "skipped"] == [
        "is no batch norm",
        "Custom overrides forward",
        "not initialized yet",
        "keeps no running statistics",
        "frozen already",
        "is in a block of paused_statistics",
        "not selected",
        "is no batch norm",
    ]
    assert [row["why"] for row in sn.unfreeze_(model)][4:6] == [
        "was made frozen: convert_ makes it a batch norm",
        "is not frozen",
    ]
    bare = nn.BatchNorm1d(2, affine=False)
    assert [row["why"] for row in sn.freeze_(bare, statistics=False, affine=True)] == ["has neither γ nor β"]
    assert sn.freeze_(nn.ReLU()).notes == ["the model has no normalization layer"]


@NOTHING_DONE
def test_a_frozen_layer_is_not_converted():
    layer = nn.BatchNorm1d(4)
    sn.freeze_(layer)
    assert [row["why"] for row in sn.convert_(layer, "group")] == ["is frozen: unfreeze_ it first"]
    assert [row["why"] for row in sn.recalibrate_(layer, [torch.randn(4, 4)])] == ["frozen"]
    made = sn.nn.FrozenBatchNorm1d(4)
    sn.convert_(made, "batch")
    assert type(made) is sn.nn.BatchNorm1d


def test_synchronized_layers():
    layer = nn.SyncBatchNorm(3)
    with torch.no_grad():
        layer.running_mean.fill_(2.0)
    sn.freeze_(layer)
    for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 4), (1, 3, 1, 1, 1)):
        assert_close(layer(torch.full(shape, 2.0)), torch.zeros(shape))
    sn.unfreeze_(layer)
    assert type(layer) is nn.SyncBatchNorm


def test_half_precision_of_torch():
    layer = nn.BatchNorm1d(3).bfloat16()
    sn.freeze_(layer)
    assert_close(layer(torch.ones(2, 3).bfloat16()), torch.ones(2, 3).bfloat16())
    sn.unfreeze_(layer)
    assert layer.running_mean.dtype == torch.bfloat16


def test_our_activation_stays():
    layer, x = sn.nn.BatchNorm1d(3, activation="relu"), torch.randn(5, 3)
    sn.freeze_(layer)
    assert torch.equal(layer(x), torch.relu(x / (1 + 1e-5) ** 0.5))


def test_what_timm_does():
    """Its freeze and unfreeze build new layers: momentum and num_batches_tracked are the defaults again (B17)."""
    layer = nn.BatchNorm2d(3, momentum=0.01)
    layer(torch.randn(2, 3, 4, 4))
    theirs = nn.BatchNorm2d(3, eps=layer.eps)  # their round trip copies γ, β and the statistics only
    assert (theirs.momentum, int(theirs.num_batches_tracked)) == (0.1, 0)
    sn.freeze_(layer)
    sn.unfreeze_(layer)
    assert (layer.momentum, int(layer.num_batches_tracked)) == (0.01, 1)
    for kind, shape in ((nn.BatchNorm1d, (2, 3)), (nn.BatchNorm3d, (2, 3, 2, 2, 2))):  # and 2-D is not all there is
        other = kind(3)
        sn.freeze_(other)
        other.train()(torch.randn(shape))
        assert int(other.num_batches_tracked) == 0


def test_nothing_to_freeze():
    model = network()
    before = state_of(model)
    with pytest.raises(ArgumentError, match="nothing would be frozen"):
        sn.freeze_(model, statistics=False)
    assert_unchanged(model, before)


@pytest.mark.parametrize("tool", [sn.freeze_, sn.unfreeze_])
def test_faults(tool, monkeypatch):
    from steadynorm.surgery import freeze

    model = network()
    if tool is sn.unfreeze_:
        sn.freeze_(model, affine=True)
    before = state_of(model)
    name = "_freeze" if tool is sn.freeze_ else "_unfreeze"
    work = getattr(freeze, name)
    for stop in range(1, 4):
        count = 0

        def interrupted(*args, stop=stop):
            nonlocal count
            count += 1
            work(*args)
            if count == stop:
                raise KeyboardInterrupt
            return "done"

        monkeypatch.setattr(freeze, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            tool(model)
        monkeypatch.undo()
        assert_unchanged(model, before)
    with pytest.raises(ZeroDivisionError):
        tool(model, where=lambda name, module: 1 / (name != "8"))
    assert_unchanged(model, before)
