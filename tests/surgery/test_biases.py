"""Biases in front of batch norm: which go, which stay, and that nothing else changes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import steadynorm as sn
from folding import Net, layers, ready
from steadynorm.errors import ModelError
from steadynorm.surgery import biases as module_of_biases
from surgery_models import NOTHING_DONE, assert_unchanged, state_of

pytestmark = NOTHING_DONE


def outputs(model, x, training):
    """What a model gives in one mode, its own state aside."""
    twin = copy.deepcopy(model).train(training)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        return twin(x), {name: b for name, b in twin.named_buffers() if "running_var" in name}


def check(model, x, dropped):
    """Drop, and hold what must hold."""
    before, held = copy.deepcopy(model), dict(model.named_parameters())
    modules, random = list(model.modules()), torch.get_rng_state()
    report = sn.drop_redundant_biases_(model, x)
    assert {row["layer"]: row["into"] for row in report if row["done"] == "dropped"} == dropped, report
    assert all(row["why"] for row in report if row["done"] == "kept")
    assert list(model.modules()) == modules
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    left = dict(model.named_parameters())
    assert set(held) - set(left) == {f"{name}.bias" if name else "bias" for name in dropped}
    assert all(held[name] is parameter for name, parameter in left.items())
    for training in (False, True):
        for inputs in (x, 3 * x.flip(0) + 1):
            (ours, our_var), (theirs, their_var) = (outputs(m, inputs, training) for m in (model, before))
            scale = theirs.abs().max()
            assert (ours - theirs).abs().max() <= 1e-6 * scale
            for name, var in their_var.items():
                torch.testing.assert_close(our_var[name], var)
    return report


CONVS = [
    (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), 1),
    (nn.Conv2d(3, 4, 3, padding=1, groups=1), nn.BatchNorm2d(4), 2),
    (nn.Conv3d(3, 4, 3), sn.nn.BatchNorm3d(4), 3),
    (nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4, affine=False), 2),
    (nn.Linear(3, 4), sn.nn.BatchNorm1d(4, activation="relu"), 0),
    (nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), 0),
    (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None), 2),
]


@pytest.mark.parametrize(("layer", "norm", "spatial"), CONVS)
@pytest.mark.parametrize("training", [True, False])
def test_every_kind(layer, norm, spatial, training):
    model = ready(nn.Sequential(copy.deepcopy(layer), copy.deepcopy(norm), nn.Tanh()).double()).train(training)
    check(model, torch.randn(4, 3, *[6] * spatial).double(), {"0": "1"})


def test_in_float32_and_from_a_batch_of_one():
    model = ready(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))).train()
    report = sn.drop_redundant_biases_(model, torch.randn(1, 3))
    assert [row["done"] for row in report] == ["dropped"]
    assert model[0].bias is None
    assert model.training


def test_training_goes_on_as_before():
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).double()).train()
    before = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sn.drop_redundant_biases_(model, torch.randn(2, 3, 6, 6).double())
    theirs = torch.optim.SGD(before.parameters(), 0.1)
    for _ in range(3):
        x = torch.randn(4, 3, 6, 6).double()
        for m, o in ((model, optimizer), (before, theirs)):
            o.zero_grad()
            m(x).square().mean().backward()
            o.step()
    torch.testing.assert_close(model[0].weight, before[0].weight)
    torch.testing.assert_close(model.eval()(x), before.eval()(x))


class OtherForward(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) * x


CASES = {
    "both": (lambda s, x: s.m(s.d(s.n(s.c(x)).relu())), {}, {"c": "n", "d": "m"}, ""),
    "one convolution, two batch norms": (lambda s, x: s.n(s.c(x)) + s.m(s.c(x)) + s.d(x), {}, {"c": "m, n"}, "d"),
    "one batch norm, two convolutions": (lambda s, x: s.n(s.c(x)) + s.n(s.d(x)), {}, {}, "n also takes"),
    "the same without running statistics": (
        lambda s, x: s.n(s.c(x)) + s.n(s.d(x)),
        {"n": nn.BatchNorm2d(3, track_running_stats=False)},
        {"c": "n", "d": "n"},
        "",
    ),
    "another use": (lambda s, x: s.n(y := s.c(x)) + y + s.d(x), {}, {}, "its output goes to add"),
    "a nonlinearity between": (lambda s, x: s.n(s.c(x).relu()) + s.d(x), {}, {}, "its output goes to relu"),
    "zeros padded between": (
        lambda s, x: s.n(nn.functional.pad(s.c(x), (1, 1))) + s.d(x).mean(),
        {},
        {},
        "zeros are padded before n",
    ),
    "another axis": (lambda s, x: s.n(s.c(x).transpose(1, 2)) + s.d(x), {}, {}, "n normalizes another axis"),
    "dropout between": (lambda s, x: s.n(s.drop(s.c(x))) + s.d(x), {"drop": nn.Dropout(0.5)}, {}, "goes to dropout"),
    "another way in training": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if s.training else 0) + s.d(x),
        {},
        {},
        "its output goes to add",
    ),
    "another way in evaluation": (
        lambda s, x: s.n(s.c(x)) + (0 if s.training else s.c(x)) + s.d(x),
        {},
        {},
        "its output goes to add",
    ),
    "an overridden forward": (lambda s, x: s.n(s.c(x)) + s.d(x), {"n": OtherForward(3)}, {}, "overrides forward"),
    "values decide": (lambda s, x: s.n(s.c(x)) + s.d(x) if x.sum() < 1e9 else x, {}, {}, "values decide"),
    "the bias is used": (lambda s, x: s.n(s.c(x)) * s.c.bias.sum() + s.d(x), {}, {}, "also used by sum"),
    "group norm": (lambda s, x: s.n(s.c(x)) + s.d(x), {"n": nn.GroupNorm(1, 3)}, {}, "group_norm"),
    "chain": (lambda s, x: s.m(s.n(s.c(x))) + s.d(x), {}, {"c": "n"}, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    way, changed, dropped, reason = CASES[case]
    x = torch.randn(4, 3, 3, 3).double()
    report = check(ready(Net(way, **layers(**copy.deepcopy(changed))).double()), x, dropped)
    assert reason in str(report)


def test_a_linear_layer_on_three_axes_keeps_its_bias():
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).double())
    assert "another axis" in str(check(model, torch.randn(2, 4, 4).double(), {}))
    check(model, torch.randn(6, 4).double(), {"0": "1"})


@pytest.mark.parametrize("where", [0, 1])
def test_hooks_keep_it(where):
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).double())
    model[where].register_forward_hook(lambda *_: None)
    assert "hook" in str(check(model, torch.randn(6, 4).double(), {}))


def test_computed_and_shared_biases_stay():
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4)).double())
    model[2].bias = model[0].bias
    assert "shares its parameters with" in str(check(model, torch.randn(6, 4).double(), {}))
    parametrizations.weight_norm(model[0], "bias", dim=None)
    assert "computes its bias" in str(sn.drop_redundant_biases_(model, torch.randn(6, 4).double()))


def test_a_computed_weight_does_not_matter():
    model = ready(nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4)).double())
    report = sn.drop_redundant_biases_(model, torch.randn(6, 4).double())
    assert [row["done"] for row in report] == ["dropped"]
    assert model[0].bias is None


def test_nothing_to_drop():
    report = sn.drop_redundant_biases_(nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4)), torch.randn(2, 4))
    assert len(report) == 0
    assert report.title == "dropped 0 of 0 biases"


def test_twice_is_once():
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).double())
    x = torch.randn(6, 4).double()
    check(model, x, {"0": "1"})
    assert len(check(model, x, {})) == 0


@pytest.mark.parametrize("error", [ModelError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["trace", "_absorb", "prove"])
def test_whichever_step_fails_the_model_is_as_it_was(error, step, monkeypatch):
    """After the step is done for the last time, when most is changed."""
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4)).double())
    original, left = getattr(module_of_biases, step), [0] if step == "prove" else [1, 0]

    def fail(*args, **kwargs):
        result = original(*args, **kwargs)
        if left.pop(0) == 0:
            raise error
        return result

    x = torch.randn(6, 4).double()
    before, identities = state_of(model), [id(p) for p in model.parameters()]
    monkeypatch.setattr(module_of_biases, step, fail)
    with pytest.raises(type(error)):
        sn.drop_redundant_biases_(model, x)
    assert not left
    assert [id(p) for p in model.parameters()] == identities
    assert_unchanged(model, before)
