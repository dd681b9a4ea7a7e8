"""What fuse takes into a batch norm, what it leaves and why, and that the copy trains as the original does."""

import copy
import pickle
import random
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from folding import Net
from steadynorm.errors import ArgumentError, FuseError, ModelError
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
    assert why(report, "n").startswith("act is also called elsewhere; the forward of Net has arguments")
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
        assert why(report, "n").startswith(f"{which} has a hook, which would see other values")


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


# --- a forward written anew -------------------------------------------------------------------------------------------


class Block(nn.Module):
    """One norm, and whatever its subclass does with it."""

    def __init__(self):
        super().__init__()
        self.n = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)


class Basic(nn.Module):
    """As torchvision's, with one activation for all."""

    def __init__(self, downsample=None):
        super().__init__()
        self.c, self.n = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.d, self.m = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.act(self.n(self.c(x)))
        out = self.m(self.d(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.act(out)


def two_blocks():
    torch.manual_seed(0)
    return nn.Sequential(Basic(), Basic(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))))


def test_a_residual_block():
    model = two_blocks()
    fused, report = check(
        model, **{"0_n": "relu", "0_m": "relu + r", "1_n": "relu", "1_m": "relu + r", "1_downsample_1": None}
    )
    assert all(isinstance(block, Basic) for block in fused)
    assert [type(block).__name__ for block in fused] == ["FusedBasic"] * 2
    assert isinstance(fused[0].act, nn.ReLU)
    assert "add" in why(report, "1.downsample.1")
    for again in (pickle.loads(pickle.dumps(fused)), copy.deepcopy(fused)):
        assert type(again[0]) is type(fused[0])
        assert again[0].m is not fused[0].m
        torch.testing.assert_close(steps(again, X), steps(model, X), rtol=1e-9, atol=1e-9)


def test_what_the_block_looked_at_must_stay():
    fused, _ = sn.fuse(two_blocks(), X.float())
    fused[0].downsample = None
    fused[0].note = "anything"
    with pytest.raises(ArgumentError, match=r"downsample of FusedBasic must stay None.*Basic and call sn.fuse anew"):
        fused[0].downsample = nn.Identity()
    fused[1].downsample = nn.Identity()  # a child, which is called whatever it is
    assert fused(X.float()).shape == X.shape


@pytest.mark.parametrize("to", ["torch", "group", lambda norm: nn.BatchNorm2d(norm.num_features)])
def test_conversion_gives_blocks_their_own_forward_back(to):
    model = ready(two_blocks())
    fused, _ = sn.fuse(model, X)
    expected = copy.deepcopy(model)
    sn.convert_(expected, to)
    assert sn.convert_(fused, to, where="0.*").title == "converted 2 of 5 normalization layers"
    assert [type(block).__name__ for block in fused] == ["Basic", "FusedBasic"]
    assert fused[1].m.activation == "relu"
    sn.convert_(fused, to)
    assert [type(block) for block in fused] == [Basic, Basic]
    assert [type(m) for m in fused.modules()] == [type(m) for m in expected.modules()]
    if not callable(to):
        torch.testing.assert_close(
            steps(fused, X), steps(model if to == "torch" else expected, X), rtol=1e-9, atol=1e-9
        )


def test_other_tools_take_a_fused_model():
    model = ready(two_blocks())
    fused, _ = sn.fuse(model, X)
    expected = copy.deepcopy(model).eval()(X)
    folded, report = sn.fold(copy.deepcopy(fused).eval(), X)
    assert [row["done"] for row in report] == ["folded"] * 5
    frozen, ghost = copy.deepcopy(fused), copy.deepcopy(fused)
    sn.freeze_(frozen)
    sn.convert_(ghost, "ghost", ghost_batch_size=2)
    for other in (folded, frozen.eval(), ghost.eval()):
        torch.testing.assert_close(other(X), expected, rtol=1e-9, atol=1e-9)


def test_fused_again():
    fused, _ = sn.fuse(two_blocks(), X.float())
    again, report = sn.fuse(fused, X.float())
    assert {row["done"] for row in report} == {"kept"}
    assert type(again[0]) is type(fused[0])


TAKEN = {
    "relu": lambda self, x: F.relu(self.n(x)),
    "gelu": lambda self, x: F.gelu(self.n(x)),
    "leaky_relu": lambda self, x: F.leaky_relu(self.n(x), 0.01, inplace=True),
    "tanh": lambda self, x: self.n(x).tanh(),
    "relu6": lambda self, x: F.relu6(self.n(x)),
    " + r": lambda self, x: x + self.n(x),
    "silu + r": lambda self, x: F.silu(torch.add(x.sin(), self.n(x))),
    "relu + r": lambda self, x: self.n(x).add_(x).relu_(),
    "hardswish + r": lambda self, x: F.hardswish(self.n(x * 2).add(x)),
}


def block(forward, *, name="Made"):
    return type(name, (Block,), {"forward": lambda self, x: forward(self, x)})()


@pytest.mark.parametrize("taken", TAKEN)
def test_functions_and_additions(taken):
    check(block(TAKEN[taken]), n=taken)


def inside_no_grad(self, x):
    with torch.no_grad():
        y = x.exp()
    return self.n(x) + y


def inside_autocast(self, x):
    with torch.autocast("cpu", enabled=False):
        return self.n(x) + x


def asks_for_gradients(self, x):
    y = x.detach()
    y.requires_grad = True
    return self.n(y) + x


@torch.fx.wrap
def tripled(x):
    return x * 3


def into_the_residual(self, x):
    r = x * 2
    r += self.n(x)
    return r


def into_an_alias(self, x):
    r = x * 2
    view = r.flatten()
    r += self.n(x)
    return r + view.view_as(r)


def residual_is_overwritten(self, x):
    r = x * 2
    y = F.silu(self.n(x) + r)
    return y, r.zero_()


def put_aside(self, x):
    self.last = self.n(x)
    return self.last + x


def counting(self, x):
    self.count = getattr(self, "count", 0) + 1
    return self.n(x) + x


def drawing(self, x):
    return self.n(x) + x * (1 if random.random() < 2 else 0)


def drawing_of_torch(self, x):
    return self.n(x) + x * float(torch.rand(()) < 2)


def by_mode(self, x):
    return F.relu(self.n(x) + F.dropout(x, 0.0, self.training))


LEFT = {
    "a hook": (None, "has a hook"),
    "twice": (lambda self, x: self.n(x) + self.n(x.sin()), "is called 2 times"),
    "itself": (lambda self, x: (y := self.n(x)) + y, "no other tensor|its output goes to"),
    "a number": (lambda self, x: self.n(x) + 1, "no other tensor"),
    "weighted": (lambda self, x: torch.add(self.n(x), x, alpha=2), "more than two arguments"),
    "another shape": (lambda self, x: self.n(x) + x.mean((2, 3), keepdim=True), "residual must have the input's shape"),
    "larger": (lambda self, x: self.n(x) + x[None], "residual must have the input's shape"),
    "no grad": (inside_no_grad, "sets autocast or autograd"),
    "autocast": (inside_autocast, "sets autocast or autograd"),
    "into it": (into_the_residual, "added in place to another tensor"),
    "an alias": (into_an_alias, "added in place to another tensor"),
    "overwritten": (residual_is_overwritten, "modified by an inplace operation"),
    "put aside": (put_aside, "its output goes to|writes attributes|keeps it"),
    "asks for gradients": (asks_for_gradients, "writes requires_grad of a tensor"),
    "counting": (counting, "writes attributes"),
    "drawing": (drawing, "draws random numbers"),
    "drawing of torch": (drawing_of_torch, "draws random numbers|values decide|cannot follow"),
    "by mode": (by_mode, "otherwise in training than in evaluation"),
    "by values": (lambda self, x: self.n(x) + (x if x.sum() > -1e9 else 0), "values decide"),
}


@pytest.mark.parametrize("case", LEFT)
def test_left_with_the_reason(case):
    forward, reason = LEFT[case]
    model = block(forward or TAKEN[" + r"])
    if forward is None:
        model.n.register_forward_hook(lambda *_: None)
    fused, report = check(model, n=None)
    assert re.search(reason, why(report, "n")), why(report, "n")
    assert type(fused) is type(model)


def test_of_two_norms_one_may_take():
    class Two(Basic):
        def forward(self, x):
            r = self.n(x).relu()
            return self.m(x) + x.mean(0, keepdim=True) + r

    check(Two(), n="relu", m=None)


def test_two_norms_added():
    class Two(Basic):
        def forward(self, x):
            return self.act(self.n(self.c(x)) + self.m(self.d(x)))

    check(Two(), n="relu + r", m=None)


def test_an_activation_with_a_hook_stays_and_the_residual_is_taken():
    seen = []
    model = block(lambda self, x: self.act(self.n(x) + x))
    model.act.register_forward_pre_hook(lambda module, args: seen.append(1))
    fused, report = check(model, n=" + r")
    assert "act has a hook" in why(report, "n")
    seen.clear()
    fused(X)
    assert seen


class Wrapping(Block):
    def forward(self, x):
        return self.n(x) + tripled(x.sin())


def test_a_function_that_fx_leaves_whole():
    model = Wrapping()
    fused, _ = sn.fuse(ready(model), X)
    assert type(fused).__name__ == "FusedWrapping"
    again = pickle.loads(pickle.dumps(fused))
    torch.testing.assert_close(steps(again, X), steps(model, X), rtol=1e-9, atol=1e-9)


def test_what_fx_has_written_already():
    model = torch.fx.symbolic_trace(Around(branches()["0"]))
    fused, report = check(model)
    assert "pickles itself" in why(report, "branch.1")
    assert torch.fx.GraphModule in type(fused).__mro__


def test_a_block_that_pickles_itself():
    class Own(Basic):
        def __reduce__(self):
            return super().__reduce__()

    _, report = check(Own(), n=None, m=None)
    assert "pickles itself" in why(report, "n")


def test_in_bfloat16_and_mixed_precision():
    model = two_blocks()
    fused, _ = sn.fuse(model, X.float())
    x = X.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fused(x), model(x), rtol=2e-2, atol=2e-2)


def test_compiled_and_exported():
    fused, _ = sn.fuse(two_blocks(), X.float())
    x = X.float()
    expected = copy.deepcopy(fused)(x)
    compiled = torch.compile(copy.deepcopy(fused), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)
    fused.eval()
    torch.testing.assert_close(torch.export.export(fused, (x,)).module()(x), fused(x))


# --- residuals handed on ----------------------------------------------------------------------------------------------


class ConvNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x))


class Around(nn.Module):
    """What ends with a norm, and an addition behind it."""

    def __init__(self, branch):
        super().__init__()
        self.branch, self.act = branch, nn.ReLU()

    def forward(self, x):
        return self.act(x + self.branch(x))


def branches():
    torch.manual_seed(0)
    return {
        "0": nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        "norm": ConvNorm(),
        "1.norm": nn.Sequential(nn.ReLU6(), ConvNorm()),
    }


@pytest.mark.parametrize("path", branches())
def test_what_ends_with_a_norm_hands_the_residual_on(path):
    branch = branches()[path]
    name = next(name for name, module in branch.named_modules() if isinstance(module, nn.BatchNorm2d))
    model = Around(branch)
    fused, report = check(model, **{f"branch_{name.replace('.', '_')}": " + r"})
    assert why(report, f"branch.{name}") == "branch, called alone, would give something else"
    assert isinstance(fused.branch, type(branch))
    torch.testing.assert_close(fused.branch(X), ready(model).branch(X), rtol=1e-9, atol=1e-9)
    again = pickle.loads(pickle.dumps(fused))
    torch.testing.assert_close(steps(again, X), steps(model, X), rtol=1e-9, atol=1e-9)
    sn.convert_(again, "torch")
    assert [type(m) for m in again.modules()] == [type(m) for m in model.modules()]
    torch.testing.assert_close(steps(again, X), steps(model, X), rtol=1e-9, atol=1e-9)


def test_a_sequential_that_hands_on_may_be_cut_and_lengthened():
    fused, _ = sn.fuse(Around(branches()["0"]).double(), X)
    assert torch.equal(fused.branch[:1](X), fused.branch[0](X))
    with_more = copy.deepcopy(fused.branch).append(nn.ReLU())
    torch.testing.assert_close(with_more(X), copy.deepcopy(fused.branch)(X).relu())


class WithMore(ConvNorm):
    def forward(self, x):
        return self.norm(self.conv(x)) * 1


def test_what_does_not_end_with_a_norm_or_is_seen_stays():
    hooked = branches()["0"]
    hooked.register_forward_hook(lambda *_: None)
    for branch, name, reason in (
        (hooked, "1", "its output goes to|a hook of Sequential"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Identity()), "0", "does not end with it"),
        (WithMore(), "norm", "no activation follows"),
    ):
        fused, report = check(Around(branch))
        assert re.search(reason, why(report, f"branch.{name}")), why(report, f"branch.{name}")
        assert type(fused) is Around
        assert type(fused.branch) is type(branch)


def test_a_branch_that_serves_twice_hands_on_once():
    class Twice(Around):
        def forward(self, x):
            return self.branch(x + self.branch(x)) + x

    _, report = check(Twice(branches()["0"]))
    assert [row["done"] for row in report] == ["kept"]
