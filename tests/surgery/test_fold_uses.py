"""Who else uses a layer, its weight or its output: when folding would not be exact."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import steadynorm as sn
from folding import Net, check, layers, ready, why
from surgery_models import NOTHING_DONE

pytestmark = NOTHING_DONE

# --- who else uses it -------------------------------------------------------------------------------------------------


def circle(y):
    """Return y, which a list that holds itself holds too."""
    ring = [y]
    ring.append(ring)
    return y


USES = {
    "both used once": (lambda s, x: s.m(s.d(s.n(s.c(x)))), {"n": "c", "m": "d"}, ""),
    "output used elsewhere": (lambda s, x: s.n(y := s.c(x)) + y + s.m(x), {"n": None, "m": None}, "c also goes to add"),
    "output returned": (lambda s, x: (s.m(s.n(y := s.c(x))), y)[0] + y.mean(), {"n": None, "m": None}, "goes to mean"),
    "residual": (lambda s, x: s.n(s.c(x)) + s.m(s.d(x)) + x, {"n": "c", "m": "d"}, ""),
    "convolution called twice, once bare": (lambda s, x: s.n(s.c(x)) + s.c(x) + s.m(x), {"n": None, "m": None}, "add"),
    "convolution with two batch norms": (
        lambda s, x: s.n(s.c(x)) + s.m(s.c(x)),
        {"n": None, "m": None},
        "the output of c also goes to",
    ),
    "both called twice, together": (lambda s, x: s.m(s.d(s.n(s.c(s.n(s.c(x)))))), {"n": "c", "m": "d"}, ""),
    "batch norm of two convolutions": (
        lambda s, x: s.n(s.c(x)) + s.n(s.d(x)) + s.m(x),
        {"n": "c, d", "m": None},
        "model",
    ),
    "batch norm of two convolutions, another behind one": (
        lambda s, x: s.n(s.c(x)) + s.m(s.n(s.d(x))),
        {"n": "c, d", "m": "d"},
        "",
    ),
    "batch norm of a convolution and of the input": (
        lambda s, x: s.n(s.c(x)) + s.n(x) + s.m(x),
        {"n": None, "m": None},
        "outside of the model",
    ),
    "batch norm before a convolution and an addition": (
        lambda s, x: s.d(y := s.n(x)) + y + s.m(x),
        {"n": None, "m": None},
        "goes to add",
    ),
    "convolution of a batch norm and of the input": (
        lambda s, x: s.d(s.n(x)) + s.d(x) + s.m(x),
        {"n": None, "m": None},
        "d also takes",
    ),
    "weight used by a function": (
        lambda s, x: s.n(s.c(x)) + F.conv2d(x, s.c.weight, padding=1) + s.m(x),
        {"n": None, "m": None},
        "c: its parameters are also used by conv2d",
    ),
    "weight read for a penalty": (
        lambda s, x: s.n(s.c(x)) * s.c.weight.square().sum() + s.m(x),
        {"n": None, "m": None},
        "square",
    ),
    "batch norm's scale used elsewhere": (
        lambda s, x: s.n(s.c(x)) * s.n.weight.sum() + s.m(x),
        {"n": None, "m": None},
        "its parameters are also used by sum",
    ),
    "functional convolution": (
        lambda s, x: s.n(F.conv2d(x, s.c.weight, padding=1)) + s.m(x),
        {"n": None, "m": None},
        "comes from conv2d",
    ),
    "functional batch norm": (
        lambda s, x: F.batch_norm(s.c(x), s.n.running_mean, s.n.running_var, eps=s.n.eps) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "did not run",
    ),
    "changed in place before": (lambda s, x: s.n(s.c(x).add_(1)) + s.m(x), {"n": None, "m": None}, "add_"),
    "changed in place by another name": (
        lambda s, x: [y := s.c(x), y.view(-1).mul_(2), s.n(y)][-1] + s.m(x),
        {"n": None, "m": None},
        "mul_",
    ),
    "written into": (
        lambda s, x: [y := s.c(x), y.__setitem__(0, 1.0), s.n(y)][-1] + s.m(x),
        {"n": None, "m": None},
        "__setitem__",
    ),
    "changed in place after": (lambda s, x: s.m(s.n(s.c(x)).relu_()), {"n": "c", "m": None}, "relu_"),
    "put aside": (
        lambda s, x: [setattr(s, "aside", s.c(x)), s.n(s.aside)][-1] + s.m(x),
        {"n": None, "m": None},
        "something that keeps it",
    ),
    "a nonlinearity behind what only moves": (
        lambda s, x: s.n(s.c(x).relu().flip(2)) + s.m(x),
        {"n": None, "m": None},
        "its input comes from relu in the model",
    ),
    "held by a circle that nobody keeps": (lambda s, x: s.n(circle(s.c(x))) + s.m(s.d(x)), {"n": "c", "m": "d"}, ""),
    "never called": (lambda s, x: s.n(s.c(x)), {"n": "c", "m": None}, "did not run on the examples"),
}


@pytest.mark.parametrize("case", USES)
def test_uses(case):
    way, expected, reason = USES[case]
    _, report = check(ready(Net(way, **layers())), torch.randn(2, 3, 5, 5), expected, torch.randn(1, 3, 6, 7))
    assert reason in " ".join(why(report).values())


class Same(torch.autograd.Function):
    """Hands out its input under another name."""

    @staticmethod
    def forward(ctx, x):
        return x


def scripted_tanh():
    with pytest.warns(DeprecationWarning, match="script"):
        return torch.jit.script(nn.Tanh())


BENEATH = {"TorchScript": scripted_tanh, "an autograd.Function": lambda: Same.apply}


@pytest.mark.parametrize("kind", BENEATH)
def test_uses_that_no_function_of_python_makes(kind):
    beneath = BENEATH[kind]()
    model = ready(Net(lambda s, x: s.n(y := s.c(x)) + s.beneath(y) + s.m(s.d(x)), **layers()))
    model.beneath = beneath
    _, report = check(model, torch.randn(2, 3, 5, 5), {"n": None, "m": "d"})
    assert "the output of c also goes to" in why(report)["n"]


def test_a_layer_called_with_other_parameters_is_kept():
    def way(s, x):
        ones = {name: torch.ones_like(p) for name, p in s.c.named_parameters()}
        return s.n(torch.func.functional_call(s.c, ones, (x,))) + s.m(s.d(x))

    _, report = check(ready(Net(way, **layers())), torch.randn(2, 3, 5, 5), {"n": None, "m": "d"})
    assert "c: is also called with other parameters than its own" in why(report)["n"]


def test_an_empty_batch_shows_nothing():
    """Of no values every axis might be that of the features."""
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    _, report = sn.fold(model, torch.randn(0, 4, 4))
    assert "empty batch" in why(report)["1"]


# --- weights that are computed, shared, or watched --------------------------------------------------------------------


def weight_norm_of_old(layer):
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(layer)


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight_norm": weight_norm_of_old,
    "old spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.random_unstructured(layer, "weight", amount=0.5),
    "pruned bias": lambda layer: prune.random_unstructured(layer, "bias", amount=0.5),
}


@pytest.mark.parametrize("kind", COMPUTED)
def test_computed_weights_become_plain(kind):
    model = nn.Sequential(
        COMPUTED[kind](nn.Linear(5, 4)), nn.BatchNorm1d(4), nn.ReLU(), COMPUTED[kind](nn.Linear(4, 2))
    )
    model(torch.randn(6, 5))  # leaves a computed tensor in the module, as a user's training does
    before = model[0].weight.clone()
    folded, _ = check(ready(model), torch.randn(6, 5), {"1": "0"})
    assert list(dict(folded[0].named_parameters())) == ["weight", "bias"]
    assert type(folded[0]) is nn.Linear
    assert not folded[0]._forward_pre_hooks
    assert len(list(folded[3].parameters())) == len(list(model[3].parameters())), "what is not folded into is left"
    assert torch.equal(model[0].weight, before)


def test_a_shared_weight_is_kept():
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    second.weight = first.weight
    model = ready(nn.Sequential(first, nn.BatchNorm2d(3), nn.ReLU(), second, nn.BatchNorm2d(3)))
    folded, report = check(model, torch.randn(2, 3, 5, 5), {"1": None, "4": None})
    assert "0: shares its parameters with 3" in why(report)["1"]
    assert folded[0].weight is folded[3].weight


class Packed(torch.Tensor):
    """As quantizing and distributing libraries have them."""

    def new_empty(self, *args, **kwargs):
        return super().new_empty(*args, **kwargs).as_subclass(Packed)


def test_parameters_of_another_kind_are_kept():
    model = ready(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    model[0].weight = nn.Parameter(model[0].weight.detach().as_subclass(Packed))
    folded, report = check(model, torch.randn(3, 4), {"1": None})
    assert "0: has parameters of another kind, Packed" in why(report)["1"]
    assert type(folded[0].weight) is Packed


def test_a_shared_block_folds_once():
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
    model = ready(nn.Sequential(block, nn.Sequential(block, nn.Tanh()), block))
    folded, _ = check(model, torch.randn(2, 3, 5, 5), {"0.1 (also 1.0.1, 2.1)": "0.0"})
    assert folded[0] is folded[2]
    assert isinstance(folded[1][0][1], nn.Identity)


def see(module, args, output):
    return None


def see_before(module, args):
    return None


def see_gradients(module, *gradients):
    return None


HOOKS = {
    "register_forward_hook": see,
    "register_forward_pre_hook": see_before,
    "register_full_backward_hook": see_gradients,
    "register_full_backward_pre_hook": see_gradients,
}


@pytest.mark.parametrize("where", ["0", "1"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_layer_with_a_hook_is_kept(where, hook):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    getattr(model.get_submodule(where), hook)(HOOKS[hook])
    _, report = check(model, torch.randn(2, 3, 5, 5), {"1": None})
    assert "hook, which would see other values" in why(report)["1"]


def test_a_hook_on_the_block_between_is_kept_and_one_around_both_is_not():
    model = ready(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)))
    model.register_forward_hook(see)
    check(model, torch.randn(2, 3, 5, 5), {"1": "0.0"})
    model[0].register_forward_hook(see)
    _, report = check(model, torch.randn(2, 3, 5, 5), {"1": None})
    assert "0.0 also goes to a hook of 0" in why(report)["1"]
