"""What fuse takes into a batch norm, what it leaves and why, and that the copy trains as the original does."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from folding import Net
from steadynorm.errors import FuseError, ModelError
from steadynorm.nn.finishing import MODULES
from surgery_models import NOTHING_DONE, assert_unchanged, network, state_of

pytestmark = NOTHING_DONE

X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def ready(model):
    """Parameters and statistics that do something, in float64."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator)
                value.copy_(drawn.abs() + 0.5 if "running_var" in name else 0.3 * drawn)
    return model.double()


def steps(model, x, count=3):
    """Losses of some steps of training, the state afterwards, and what evaluation gives then."""
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(count):
        loss = sum(out.square().mean() for out in outputs(model(x.clone())))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, dict(model.state_dict()), outputs(model.eval()(x.clone()))


def outputs(y):
    return [y] if isinstance(y, torch.Tensor) else list(y.values() if isinstance(y, dict) else y)


def check(model, x=X, **expected):
    """Fuse; the copy must train as the model does, which stays as it is; return copy and report.

    Args:
        expected: for each norm the activation that it takes, with " + r" where there is a residual; None if it is kept.
    """
    model = ready(model)
    before = state_of(model)
    fused, report = sn.fuse(model, x)
    assert_unchanged(model, before)
    assert list(fused.state_dict()) == list(model.state_dict())
    assert [m.training for m in fused.modules()] == [m.training for m in model.modules()]
    torch.testing.assert_close(steps(fused, x), steps(model, x), rtol=1e-9, atol=1e-9)
    taken = {row["layer"]: _taken(row) for row in report if row["kind"] not in ("LayerNorm", "GroupNorm")}
    if expected:
        assert taken == {name.replace("_", "."): value for name, value in expected.items()}
    return fused, report


def _taken(row):
    if row["done"] == "kept":
        assert row["why"]
        return None
    return (row.get("activation") or "") + (" + r" if row.get("residual") else "")


def why(report, name):
    return next(row["why"] for row in report if row["layer"] == name)


# --- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_every_activation_that_is_a_module(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), MODULES[name](), nn.Conv2d(4, 2, 1))
    fused, _ = check(model, **{"1": name})
    assert fused[1].activation == name
    assert type(fused[2]) is nn.Identity


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, sn.nn.BatchNorm2d, sn.nn.GhostBatchNorm2d])
def test_torchs_and_ours(norm):
    layer = sn.nn.GhostBatchNorm2d(4, ghost_batch_size=2) if norm is sn.nn.GhostBatchNorm2d else norm(4)
    fused, _ = check(nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.ReLU(inplace=True)), **{"1": "relu"})
    assert type(fused[1]) is (sn.nn.BatchNorm2d if norm is nn.BatchNorm2d else norm)


@pytest.mark.parametrize(
    "module", [nn.ELU(), nn.PReLU(), nn.LeakyReLU(0.2), nn.GELU("tanh"), nn.Dropout(0.0), nn.Hardtanh()], ids=repr
)
def test_other_modules_stay(module):
    fused, report = check(nn.Sequential(nn.BatchNorm2d(3), module), **{"0": None})
    assert type(fused[1]) is type(module)
    assert "no activation follows" in why(report, "0")


def test_an_identity_between_is_nothing():
    check(nn.Sequential(nn.BatchNorm2d(3), nn.Identity(), nn.ReLU()), **{"0": "relu"})


def test_an_activation_that_is_also_called_elsewhere_stays():
    act = nn.Tanh()
    fused, report = check(Net(lambda m, x: m.act(m.n(m.act(x))), n=nn.BatchNorm2d(3), act=act), n=None)
    assert why(report, "n") == "act is also called elsewhere"
    assert isinstance(fused.act, nn.Tanh)


USES = {
    "returned as well": lambda m, x: (y := m.n(x), m.act(y)),
    "taken twice": lambda m, x: (y := m.n(x)).mean() + m.act(y),
    "a view of it": lambda m, x: (y := m.n(x), y[:1] * 2, m.act(y))[1:],
}


@pytest.mark.parametrize("way", USES.values(), ids=USES.keys())
def test_what_others_see_stays(way):
    _, report = check(Net(way, n=nn.BatchNorm2d(3), act=nn.Tanh()), n=None)
    assert "its output goes to" in why(report, "n")


def test_what_is_put_aside_stays():
    kept = []

    def way(m, x):
        y = m.n(x)
        kept[:] = [y]
        return m.act(y)

    _, report = check(Net(way, n=nn.BatchNorm2d(3), act=nn.Tanh()), n=None)
    assert "something that keeps it" in why(report, "n")


def test_what_only_autograd_shows():
    seen = []

    def way(m, x):
        y = m.n(x)
        if y.requires_grad:
            y.register_hook(seen.append)
        return m.act(y)

    _, report = check(Net(way, n=nn.BatchNorm2d(3), act=nn.Tanh()), n=None)
    assert "register_hook" in why(report, "n")


def test_hooks_see_what_they_saw():
    for which in ("n", "act"):
        model = Net(lambda m, x: m.act(m.n(x)), n=nn.BatchNorm2d(3), act=nn.Tanh())
        getattr(model, which).register_forward_hook(lambda *_: None)
        _, report = check(model, n=None)
        assert why(report, "n") == f"{which} has a hook, which would see other values"


def test_where_values_decide():
    model = Net(lambda m, x: m.act(m.n(x)) if x.sum() > 0 else m.n(x), n=nn.BatchNorm2d(3), act=nn.Tanh())
    _, report = check(model, n=None)
    assert "values decide" in why(report, "n")


def test_where_the_modes_differ():
    model = Net(lambda m, x: m.act(m.n(x)) if m.training else m.n(x), n=nn.BatchNorm2d(3), act=nn.Tanh())
    _, report = check(model, n=None)
    assert "its output goes to" in why(report, "n")


def test_no_border_of_a_module_is_crossed():
    class Stem(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = nn.BatchNorm2d(3)

        def forward(self, x):
            return self.n(x)

    model = Net(lambda m, x: m.act(m.stem(x)), stem=Stem(), act=nn.ReLU())
    fused, report = check(model, stem_n=None)
    assert "called by another module" in why(report, "stem.n")
    torch.testing.assert_close(fused.stem(X), model.stem(X))


class OwnForward(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) * 2


def test_every_other_reason():
    torch.manual_seed(0)
    frozen = nn.BatchNorm2d(3)
    sn.freeze_(frozen)
    model = nn.Sequential(OwnForward(3), nn.ReLU(), nn.LayerNorm(6), nn.ReLU(), nn.GroupNorm(1, 3), frozen, nn.ReLU())
    _, report = check(model)
    assert why(report, "0") == "OwnForward overrides forward"
    assert why(report, "2") == why(report, "4") == "is no batch norm"
    assert _taken(report.rows[3]) == "relu"  # a frozen one of ours takes it, too


def test_the_model_may_be_the_layer():
    with pytest.warns(sn.errors.NothingDoneWarning, match="fused 0 of 1"):
        sn.fuse(nn.BatchNorm2d(3), X.float())


def test_a_model_without_any():
    with pytest.warns(sn.errors.NothingDoneWarning, match="no normalization layer"):
        sn.fuse(nn.Linear(2, 2), torch.randn(2, 2))


def test_the_network_of_all_tools():
    model = network()
    fused, report = sn.fuse(model, torch.randn(4, 2, 6, 6).double())
    assert [row["layer"] for row in report if row["done"] == "fused"] == ["1"]
    assert "values decide" in why(report, "3.left.1")
    assert sn.fuse(fused, torch.randn(4, 2, 6, 6).double())[1].rows[0]["why"] == "has an activation already, relu"


def test_what_is_asked_of_modules_is_an_error():
    def way(m, x):
        return m.act(m.n(x)) + isinstance(m.act, nn.ReLU)

    model = Net(way, n=nn.BatchNorm2d(3), act=nn.ReLU())
    before = state_of(model)
    with pytest.raises(FuseError, match="asks what its modules are"):
        sn.fuse(model, X.float())
    assert_unchanged(model, before)


def test_a_model_that_does_not_train_on_the_example():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.ReLU())
    with pytest.raises(ModelError, match="Expected more than 1 value per channel"):
        sn.fuse(model, torch.randn(1, 3, 4, 4))


def test_modes_are_kept_and_the_copy_is_a_module_like_others():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3), nn.Tanh()).double()
    model[2].eval()
    fused, _ = check(model, **{"0": "relu", "2": "tanh"})
    assert [m.training for m in fused] == [True, True, False, True]
    again = pickle.loads(pickle.dumps(fused))
    torch.testing.assert_close(again(X), fused(X))
    assert F.mse_loss(again.eval()(X), copy.deepcopy(model).eval()(X)) < 1
