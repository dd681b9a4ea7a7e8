"""Other makers' layers, by classes that look like theirs: told by name and parts, believed after a trial, converted."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from steadynorm.errors import ArgumentError, NothingDoneWarning
from steadynorm.surgery import foreign
from surgery_models import assert_unchanged, state_of


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm's: batch norm, drop, activation."""

    def __init__(self, n, act=None, drop=None):
        super().__init__(n)
        self.drop, self.act = drop or nn.Identity(), act or nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class FrozenBatchNorm2d(nn.Module):
    """As torchvision's and detectron2's: four buffers."""

    def __init__(self, n):
        super().__init__()
        self.eps = 1e-5
        for name, start in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, torch.full((n,), float(start)))

    def forward(self, x):
        scale = (self.weight * (self.running_var + self.eps).rsqrt()).reshape(1, -1, 1, 1)
        return x * scale + self.bias.reshape(1, -1, 1, 1) - self.running_mean.reshape(1, -1, 1, 1) * scale


class FrozenBatchNormAct2d(FrozenBatchNorm2d):
    """As timm's."""

    def __init__(self, n):
        super().__init__(n)
        self.drop, self.act = nn.Identity(), nn.SiLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class ABN(nn.Module):
    """As inplace_abn's: none of torch's batch norms."""

    def __init__(self, n, activation="leaky_relu"):
        super().__init__()
        self.eps, self.momentum, self.activation, self.activation_param = 1e-5, 0.1, activation, 0.01
        self.weight, self.bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
        self.register_buffer("running_mean", torch.zeros(n))
        self.register_buffer("running_var", torch.ones(n))

    def forward(self, x):
        statistics = self.running_mean, self.running_var, self.weight, self.bias
        y = F.batch_norm(x, *statistics, self.training, self.momentum, self.eps)
        return F.leaky_relu(y, self.activation_param) if self.activation == "leaky_relu" else y


MADE = {kind.__name__: kind for kind in (BatchNormAct2d, FrozenBatchNorm2d, FrozenBatchNormAct2d, ABN)}
kinds = pytest.mark.parametrize("kind", MADE.values(), ids=MADE)


def network(layer):
    torch.manual_seed(0)
    with torch.no_grad():
        for value in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            value.copy_(torch.rand_like(value) + 0.5)
    return nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 2, 1))


X = torch.randn(6, 3, 7, 7, generator=torch.Generator().manual_seed(1))


@kinds
def test_it_becomes_ours_and_does_what_it_did(kind):
    model = network(kind(4))
    before, layer = copy.deepcopy(model), model[1]
    report = sn.convert_(model, "batch")
    assert [row["done"] for row in report] == ["converted"]
    assert model[1] is layer
    assert type(layer) is sn.nn.BatchNorm2d
    constant = "Frozen" in kind.__name__
    for training in () if constant else (True, False):
        torch.testing.assert_close(model.train(training)(X), before.train(training)(X))
    torch.testing.assert_close(model.eval()(X), before.eval()(X))
    torch.testing.assert_close(layer.running_var, before[1].running_var)
    assert all(isinstance(v, nn.Parameter) and v.requires_grad for v in (layer.weight, layer.bias))


@kinds
def test_then_every_tool_acts_on_it(kind):
    model = network(kind(4)).eval()
    expected = model(X)
    sn.convert_(model, "batch")
    folded, report = sn.fold(model, X)
    assert report.rows[0]["done"] == "folded"
    torch.testing.assert_close(folded(X), expected, rtol=1e-4, atol=1e-5)
    for tool in (sn.freeze_, sn.unfreeze_, sn.synchronize_, sn.desynchronize_):
        assert tool(model).rows[0]["done"] != "skipped"
    torch.testing.assert_close(model(X), expected)
    sn.recalibrate_(model, [X])
    assert sn.convert_(model, "frozen").rows[0]["done"] == "converted"


@kinds
def test_parameters_are_the_same_ones(kind):
    model = network(kind(4))
    before = dict(model[1].named_parameters())
    sn.convert_(model, "batch")
    assert all(getattr(model[1], name) is parameter for name, parameter in before.items())


def test_in_one_step_to_another_kind():
    model = network(BatchNormAct2d(4))
    sn.convert_(model, "renorm")
    assert isinstance(model[1], sn.nn.BatchRenorm2d)
    assert model[1].activation == "relu"


class Liar(nn.BatchNorm2d):
    """Says that nothing follows, and does more."""

    def forward(self, x):
        return super().forward(x) + 0.5


class Slow(nn.BatchNorm2d):
    """Gives the right output, and moves its statistics otherwise."""

    def forward(self, x):
        y = super().forward(x)
        if self.training:
            self.running_var.mul_(2)
        return y


class Attached(nn.BatchNorm2d):
    """A user's own, of one line more."""

    def forward(self, x):
        return torch.tanh(super().forward(x))


@pytest.fixture
def register(monkeypatch):
    monkeypatch.setattr(foreign, "_register", dict(foreign._register))
    return sn.surgery.register


@pytest.mark.parametrize("kind", [Liar, Slow])
def test_a_description_is_tried_before_it_is_believed(kind, register):
    register(kind)
    model = network(kind(4))
    before = state_of(model)
    with pytest.warns(NothingDoneWarning, match="does not compute what it is registered as"):
        sn.convert_(model, "batch")
    assert_unchanged(model, before)


def test_a_trial_runs_no_hook_and_leaves_random_numbers_and_statistics_alone():
    layer = BatchNormAct2d(4, act=nn.PReLU())
    seen = []
    layer.register_forward_hook(lambda *_: seen.append(1))
    before, random = copy.deepcopy(layer.state_dict()), torch.get_rng_state()
    with pytest.warns(NothingDoneWarning, match="has no like among our activations: PReLU"):
        sn.convert_(layer, "batch")
    layer.act = nn.ReLU()
    sn.convert_(layer, "batch")
    assert not seen
    assert torch.equal(torch.get_rng_state(), random)
    torch.testing.assert_close(layer.running_mean, before["running_mean"], rtol=0, atol=0)


@pytest.mark.parametrize(
    "layer", [BatchNormAct2d(4, drop=nn.Dropout(0.5)), BatchNormAct2d(4, act=nn.ELU()), ABN(4, "elu")]
)
def test_what_ours_cannot_do_stays(layer):
    with pytest.warns(NothingDoneWarning, match="what follows in it has no like among our activations"):
        sn.convert_(layer, "batch")


def test_a_class_of_ones_own_takes_one_call(register):
    with pytest.warns(NothingDoneWarning, match="Attached overrides forward"):
        sn.freeze_(Attached(3))
    register(Attached, after=lambda layer: [nn.Tanh()])
    with pytest.warns(NothingDoneWarning, match=r'Attached overrides forward: convert_\(model, "batch"\) first'):
        sn.freeze_(Attached(3))
    model = network(Attached(4)).eval()
    expected = model(X)
    sn.convert_(model, "batch")
    torch.testing.assert_close(model(X), expected)


def test_ours_is_not_foreign_though_it_has_their_name():
    assert foreign.foreign(sn.nn.FrozenBatchNorm2d(3)) is None


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sn.surgery.register(3), "cls must be a class of modules or its name, received 3"),
        (lambda: sn.surgery.register(Liar, dimensions=4), "dimensions must be 1, 2 or 3, received 4"),
        (lambda: sn.surgery.register(Liar, after=[nn.ReLU()]), "after must be a function of the layer"),
    ],
)
def test_what_register_refuses(call, text, register):
    with pytest.raises(ArgumentError, match=text):
        call()


class SyncBatchNormAct(nn.SyncBatchNorm):
    """As timm's."""

    def forward(self, x):
        return F.relu(super().forward(x))


class Broken(nn.BatchNorm2d):
    """Cannot run on what a trial gives it."""

    def forward(self, x):
        raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("kind", "text"),
    [(SyncBatchNormAct, "shares its batch with other processes"), (Broken, "cannot be tried: ZeroDivisionError: no")],
)
def test_what_cannot_be_known_stays(kind, text, register):
    register(kind, after=lambda layer: [nn.ReLU()])
    model = network(kind(4))
    before = state_of(model)
    with pytest.warns(NothingDoneWarning, match=text):
        sn.convert_(model, "batch")
    assert_unchanged(model, before)


def test_on_the_meta_device_nothing_is_believed():
    with pytest.warns(NothingDoneWarning, match="is on the meta device"):
        sn.convert_(BatchNormAct2d(4).to("meta"), "batch")


@kinds
def test_fold_takes_it_as_it_is_and_leaves_what_came_after(kind):
    model = network(kind(4)).eval()
    after = [part for part in foreign.foreign(model[1]).after(model[1]) if type(part) is not nn.Identity]
    folded, report = sn.fold(model, X)
    assert report.rows[0]["into"] == "0", report
    torch.testing.assert_close(folded(X), model(X), rtol=1e-4, atol=1e-5)
    assert type(folded[1]) is (type(after[0]) if after else nn.Identity)


def test_fold_leaves_an_activation_of_its_own_that_ours_do_not_have():
    model = network(BatchNormAct2d(4, act=nn.PReLU(4), drop=nn.Dropout(0.5))).eval()
    folded, report = sn.fold(model, X)
    assert report.rows[0]["into"] == "0"
    assert [type(part) for part in folded[1]] == [nn.Dropout, nn.PReLU]
    torch.testing.assert_close(folded(X), model(X), rtol=1e-4, atol=1e-5)


def test_fold_does_not_believe_a_liar(register):
    register(Liar)
    with pytest.warns(NothingDoneWarning, match="Liar does more than what it is registered as"):
        sn.fold(network(Liar(4)).eval(), X)
