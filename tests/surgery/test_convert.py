import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from surgery_models import (
    DATA,
    NOTHING_DONE,
    Branches,
    Custom,
    assert_unchanged,
    network,
    small_networks,
    state_of,
    twin,
)


def rows_of(report):
    return {row["layer"].split(" ")[0]: row for row in report}


def x_of(n=5, seed=0):
    return torch.randn(n, *DATA, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30)
@given(small_networks(), st.sampled_from(["torch", "batch"]))
@NOTHING_DONE
def test_there_and_back_gives_the_same_bytes(model, first):
    sn.convert_(model, first)
    kept, before = dict(model.state_dict(keep_vars=True)), state_of(model)
    sn.convert_(model, "batch" if first == "torch" else "torch")
    sn.convert_(model, first)
    assert all(value is kept[name] for name, value in model.state_dict(keep_vars=True).items())
    before["identities"] = state_of(model)["identities"]  # the counters of skipped updates are in no state_dict
    assert_unchanged(model, before)


@pytest.mark.parametrize("training", [True, False])
def test_between_torchs_layers_and_ours_nothing_is_computed_otherwise(training):
    model = network().train(training)
    model[4].p = 0.0
    with torch.no_grad():
        model(x_of())
    mine = copy.deepcopy(model)
    report = sn.convert_(mine, "batch")
    assert [type(m) for m in (mine[1], mine[3].shared, mine[8])] == [sn.nn.BatchNorm2d] * 2 + [sn.nn.BatchNorm1d]
    assert {row["done"] for row in report if row["kind"].startswith("BatchNorm")} == {"converted"}
    assert_close(mine(x_of(seed=1)), model(x_of(seed=1)))
    assert_close(mine.state_dict(), model.state_dict())


def test_who_holds_the_layer_holds_the_new_one():
    layer = nn.BatchNorm2d(6, eps=1e-3).requires_grad_(False)
    layer.note = "a user's"
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    calls = []
    handle = layer.register_forward_hook(lambda *_: calls.append("hook"))
    gamma, beta = layer.weight, layer.bias
    report = sn.convert_(layer, "group", num_groups=3)
    assert isinstance(layer, nn.GroupNorm)
    assert (layer.num_groups, layer.eps, layer.note, layer.training) == (3, 1e-3, "a user's", True)
    assert layer.weight is gamma
    assert layer.bias is beta
    assert not gamma.requires_grad
    assert optimizer.param_groups[0]["params"][0] is gamma
    layer(torch.randn(2, 6, 3, 3))
    handle.remove()
    layer(torch.randn(2, 6, 3, 3))
    assert calls == ["hook"]
    assert [*report] == [
        {
            "layer": "(the model)",
            "kind": "BatchNorm2d",
            "done": "converted",
            "to": "GroupNorm(3, 6, eps=0.001, affine=True, bias=True)",
            "lost": "running_mean, running_var, num_batches_tracked",
            "new": None,
        }
    ]
    assert isinstance(pickle.loads(pickle.dumps(layer)), nn.GroupNorm)


FORMULAS = {  # on (N, C, H, W), without γ and β
    "layer": lambda x: (x - x.mean((1, 2, 3), True)) / (x.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt(),
    "instance": lambda x: (x - x.mean((2, 3), True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt(),
}


@pytest.mark.parametrize("to", FORMULAS)
def test_what_the_names_mean(to):
    layer, x = nn.BatchNorm2d(4).double(), torch.randn(3, 4, 5, 5).double()
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.normal_()
    expected = FORMULAS[to](x) * layer.weight.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)
    sn.convert_(layer, to)
    assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("features", "groups"), [(1, 1), (2, 1), (3, 1), (9, 1), (16, 8), (32, 16), (48, 16), (64, 32), (96, 32)]
)
def test_groups_of_two_features_at_least(features, groups):
    layer = nn.BatchNorm2d(features)
    sn.convert_(layer, "group")
    assert layer.num_groups == groups


@NOTHING_DONE
def test_single_values_are_refused():
    for layer, to, options in (
        (nn.BatchNorm1d(4), "group", {"num_groups": 4}),
        (nn.BatchNorm1d(4), "instance", {}),
        (nn.BatchNorm1d(1), "layer", {}),
        (nn.SyncBatchNorm(4), "group", {"num_groups": 4}),
    ):
        before = state_of(layer)
        (row,) = sn.convert_(layer, to, **options)
        assert row["done"] == "skipped"
        assert "its own mean" in row["why"]
        assert_unchanged(layer, before)
    with_positions = nn.BatchNorm1d(4)
    sn.convert_(with_positions, "instance", batches=[torch.randn(3, 4, 7)])
    assert isinstance(with_positions, nn.InstanceNorm1d)
    shrunk = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    (row,) = sn.convert_(shrunk, "instance", batches=[torch.randn(3, 4, 7, 7)])
    assert "its input has one position" in row["why"]


@NOTHING_DONE
def test_rms_norm_where_features_are_the_last_axis():
    layer, x = nn.BatchNorm1d(4), torch.randn(3, 4)
    assert "last axis" in next(iter(sn.convert_(layer, "rms")))["why"]
    (row,) = sn.convert_(layer, "rms", batches=[x])
    assert isinstance(layer, nn.RMSNorm)
    assert "bias" in row["lost"]
    assert_close(layer(x), x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt())


@NOTHING_DONE
def test_what_is_skipped_and_why():
    model = nn.Sequential(
        nn.LayerNorm(4),
        Custom(4),
        nn.LazyBatchNorm1d(),
        sn.nn.BatchNorm1d(4, activation="relu"),
        nn.BatchNorm1d(3),
        nn.SyncBatchNorm(4),
        nn.BatchNorm1d(4),
    )
    before = state_of_initialized(model)
    report = sn.convert_(model, "group", num_groups=2, where=lambda name, _: name != "6")
    assert [row["why"].split(":")[0] for row in report if row["done"] == "skipped"] == [
        "is no batch norm",
        "Custom overrides forward",
        "not initialized yet",
        "its activation, relu, would be lost",
        "3 features cannot be cut into 2 groups of equal size",
        "not selected",
    ]
    assert isinstance(model[5], nn.GroupNorm)
    assert [type(m) for m in model][:5] == before[:5]
    assert "does not say for how many dimensions" in next(iter(sn.convert_(nn.SyncBatchNorm(4), "instance")))["why"]
    assert next(iter(sn.convert_(nn.BatchNorm1d(4), "torch")))["why"] == "is one already"
    assert sn.convert_(nn.ReLU(), "group").notes == ["the model has no normalization layer"]


def state_of_initialized(model):
    return [type(m) for m in model]


def test_settings_that_users_changed_after_construction():
    layer = nn.BatchNorm1d(3, momentum=0.3)
    layer.track_running_stats = False  # the buffers stay, and evaluation uses them
    plain = type("Plain", (nn.BatchNorm1d,), {"__init__": lambda self: nn.BatchNorm1d.__init__(self, 3, eps=0.5)})()
    for module in (layer, plain):
        expected = copy.deepcopy(module)
        sn.convert_(module, "batch")
        assert (module.eps, module.momentum) == (expected.eps, expected.momentum)
        assert module.track_running_stats == expected.track_running_stats
        for mode in (True, False):
            x = torch.randn(4, 3)
            assert_close(module.train(mode)(x), expected.train(mode)(x))
        assert_close(module.state_dict(), expected.state_dict())


@pytest.mark.parametrize("words", [{"affine": False}, {"bias": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("to", ["batch", "group", "layer"])
def test_without_parts(words, to):
    layer = nn.BatchNorm2d(4, **words)
    keys = {"weight", "bias"} & layer.state_dict().keys()
    sn.convert_(layer, to)
    assert {"weight", "bias"} & layer.state_dict().keys() == keys
    layer(torch.randn(2, 4, 3, 3))


def test_half_precision():
    layer = nn.BatchNorm1d(4).bfloat16()
    sn.convert_(layer, "batch")
    assert layer.weight.dtype == torch.bfloat16
    assert layer.running_mean.dtype == torch.float32  # as our layers keep them


def test_a_compiled_model_is_traced_again():
    torch.compiler.reset()
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    compiled, x = torch.compile(model, backend="aot_eager"), torch.randn(2, *DATA)
    compiled(x)
    sn.convert_(compiled, "group")
    assert_close(compiled(x), model(x))
    assert isinstance(model[1], nn.GroupNorm)


class TestCalibration:
    def test_first_layers_keep_their_moments(self):
        model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)).double().eval()
        with torch.no_grad():
            model[1].running_mean.normal_()
            model[1].running_var.uniform_(0.1, 3)
            model[1].weight.normal_()
        batches = [x_of(n, seed=n) for n in (3, 1, 8)]
        with torch.no_grad():
            old = model(torch.cat(batches))
            gamma = model[1].weight
            report = sn.convert_(model, "group", batches=batches)
            new = model(torch.cat(batches))
        assert model[1].weight is gamma
        assert [row["done"] for row in report] == ["calibrated"]
        for moment in (torch.mean, torch.var):
            assert_close(moment(new, (0, 2, 3)), moment(old, (0, 2, 3)), rtol=1e-9, atol=1e-9)

    def test_a_whole_network_comes_closer(self):
        torch.manual_seed(1)
        norms = [nn.BatchNorm2d(16), nn.BatchNorm2d(16), nn.BatchNorm2d(16)]
        for norm in norms:
            nn.init.uniform_(norm.weight, 0.2, 2)
            nn.init.normal_(norm.bias)
        model = nn.Sequential(nn.Conv2d(2, 16, 3), norms[0], nn.ReLU(), nn.Conv2d(16, 16, 1), norms[1], norms[2])
        model, data = model.double().eval(), [x_of(16, seed) * 3 + 1 for seed in range(6)]
        sn.recalibrate_(model, data)
        old = model(data[0])
        plain, calibrated = copy.deepcopy(model), copy.deepcopy(model)
        sn.convert_(plain, "group")
        sn.convert_(calibrated, "group", batches=data)
        assert (calibrated(data[0]) - old).square().mean() < 0.5 * (plain(data[0]) - old).square().mean()

    def test_a_layer_that_no_batch_reaches_keeps_gamma_and_beta(self):
        model = network()
        before = model[3].rare.weight.clone()
        report = sn.convert_(model, "group", batches=[x_of()])
        assert report.notes == ["not calibrated (" + WHY + "): 3.rare"]
        assert torch.equal(model[3].rare.weight, before)
        assert type(model[3].rare) is nn.GroupNorm

    def test_a_feature_that_is_constant_keeps_its_gamma(self):
        layer = nn.BatchNorm2d(4).eval()
        sn.convert_(layer, "layer", batches=[torch.ones(2, 4, 3, 3)])
        assert torch.equal(layer.weight, torch.ones(4))

    def test_what_cannot_be_calibrated(self):
        tied = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
        tied[1].weight = tied[0].weight
        for model, to in ((tied, "group"), (nn.BatchNorm2d(2, affine=False), "group"), (nn.BatchNorm2d(2), "batch")):
            before = {k: v.clone() for k, v in model.state_dict().items()}
            report = sn.convert_(model, to, batches=[torch.randn(3, *DATA)])
            assert {row["done"] for row in report} == {"converted"}
            assert "not calibrated" in report.notes[0]
            for name, value in model.state_dict().items():
                assert torch.equal(value, before[name])

    def test_a_residual_has_no_place(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = sn.nn.BatchNorm2d(2)

            def forward(self, x):
                return self.norm(x, residual=x)

        model = Net()
        data = [torch.randn(3, *DATA)]
        before = state_of(model)
        with pytest.raises(ModelError, match="calls with x, residual"):
            sn.convert_(model, "group", batches=data)
        assert_unchanged(model, before)


WHY = "no γ and β of its own, statistics that recalibrate_ takes, or no batch that reached it"


class TestFunctions:
    def test_any_module_for_any_layer(self):
        model = Branches().double()
        x = torch.randn(2, 4, 5, 5).double()
        shared = model.shared
        report = sn.convert_(
            model,
            lambda m: nn.Sequential(nn.GroupNorm(2, 4), nn.ReLU()).double(),
            where=lambda name, _: name == "alias",
        )
        assert model.alias is shared
        assert isinstance(shared, nn.Sequential)
        assert shared[0].num_groups == 2
        row = rows_of(report)["shared"]
        assert row["to"] == "Sequential"
        assert row["new"] == "0.weight, 0.bias"
        model(x)

    @NOTHING_DONE
    def test_the_layer_itself_stays(self):
        model = network()
        before = state_of(model)
        report = sn.convert_(model, lambda m: m)
        assert {row["why"] for row in report} == {"the function returned it as it is"}
        assert_unchanged(model, before)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda m: None, "received NoneType for 1"),
            (lambda m: nn.Sequential(m), "cannot contain it"),
            (lambda m: 1 / 0, "division"),
        ],
    )
    def test_wrong_functions(self, function, message):
        model = network()
        before = state_of(model)
        with pytest.raises((ArgumentError, ZeroDivisionError), match=message):
            sn.convert_(model, function)
        assert_unchanged(model, before)

    def test_a_copy_may_be_wrapped(self):
        layer, x = nn.BatchNorm1d(3), torch.randn(4, 3)
        expected = copy.deepcopy(layer)(x).relu()
        sn.convert_(layer, lambda m: nn.Sequential(copy.copy(m), nn.ReLU()))
        assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "grupo"}, "one of torch, group, layer"),
        ({"to": "group", "groups": 2}, "options must be among affine, .*; received groups"),
        ({"to": lambda m: m, "eps": 1.0}, "no options"),
        ({"to": "group", "batches": torch.ones(3)}, "iterable of batches"),
        ({"to": "group", "batches": [3]}, "a batch must be a tensor"),
    ],
)
def test_wrong_calls(arguments, message):
    model = network()
    before = state_of(model)
    with pytest.raises(ArgumentError, match=message):
        sn.convert_(model, **arguments)
    assert_unchanged(model, before)


class Failing(list):
    """Batches, of which one raises instead."""

    def __init__(self, at, error):
        super().__init__(x_of(seed=k) for k in range(4))
        self.at, self.error = at, error

    def __iter__(self):
        for k, x in enumerate(super().__iter__()):
            if k == self.at:
                raise self.error
            yield x


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("error", [RuntimeError("loader"), KeyboardInterrupt()])
def test_faults_of_the_loader(at, error):
    model = network()
    before = state_of(model)
    with pytest.raises(type(error)):
        sn.convert_(model, "group", batches=Failing(at, error))
    assert_unchanged(model, before)


def test_data_that_are_not_finite():
    model = network()
    before = state_of(model)
    with pytest.raises(ModelError, match="finite"):
        sn.convert_(model, "group", batches=[x_of(), x_of() * torch.nan])
    assert_unchanged(model, before)


def test_interrupted_while_layers_become_others(monkeypatch):
    from steadynorm.surgery import convert

    for stop in range(1, 5):
        model, count = network(), 0
        before = state_of(model)

        def interrupted(module, form, swap=convert.swap, stop=stop):
            nonlocal count
            count += 1
            swap(module, form)
            if count == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(convert, "swap", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sn.convert_(model, "group", batches=[x_of()])
        monkeypatch.undo()
        assert_unchanged(model, before)


def test_what_opacus_does():
    """It returns a new GroupNorm(gcd(32, C), C): γ, β and ε are the defaults again, and subclasses stay (B15)."""
    layer = type("Mine", (nn.BatchNorm2d,), {})(8, eps=1e-3)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.bias.fill_(-1.0)
    theirs = nn.GroupNorm(8, 8)
    state = twin(layer).state_dict()
    sn.convert_(layer, "group")
    assert type(layer) is nn.GroupNorm
    assert layer.eps == 1e-3
    assert torch.equal(layer.weight, state["weight"])
    assert torch.equal(layer.bias, state["bias"])
    flat, x = nn.BatchNorm1d(8), torch.randn(4, 8)
    assert theirs(x).abs().max() < 1e-4  # one value a group is its own mean
    sn.convert_(flat, "group")
    assert flat(x).std() > 0.5
