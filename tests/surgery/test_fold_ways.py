"""Ways that depend on the input: by values, by sizes, by the arguments that are given."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from folding import Net, check, layers, outcome, ready, why
from surgery_models import NOTHING_DONE

pytestmark = NOTHING_DONE


class Deciding(nn.Module):
    def __init__(self, decide):
        super().__init__()
        self.decide = decide
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return y * 2 if self.decide(y) else y - 1


VALUES = {
    "bool": lambda y: y.sum() > 0,
    "item": lambda y: y.sum().item() > 0,
    "float": lambda y: float(y.sum()) > 0,
    "tolist": lambda y: y.flatten().tolist()[0] > 0,
    "numpy": lambda y: y.numpy().sum() > 0,
    "equal": lambda y: torch.equal(y, y),
    "any": lambda y: bool((y > 100).any()),
    "random": lambda y: torch.rand(()) < 0.5,
}


@pytest.mark.parametrize("case", VALUES)
def test_where_values_decide_layers_are_kept_unless_examples_are_trusted(case):
    model, x = ready(Deciding(VALUES[case])), torch.randn(2, 3, 5, 5)
    _, report = check(model, x, {"norm": None})
    assert "values decide" in why(report)["norm"]
    assert "test_fold_ways.py:" in why(report)["norm"]
    _, report = check(model, x, {"norm": "conv"}, trust_examples=True)
    assert [row["evidence"] for row in report] == ["seen, not traced"]


def test_only_the_layers_concerned_are_kept():
    model = ready(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), Deciding(VALUES["bool"]), nn.Sequential()))
    x = torch.randn(2, 3, 5, 5)
    check(model, x, {"1": "0", "2.norm": None})
    _, report = check(model, x, {"1": "0", "2.norm": "2.conv"}, trust_examples=True)
    assert [row["evidence"] for row in report] == ["traced", "seen, not traced"]


def test_a_module_that_hands_out_a_number_makes_its_caller_unsure():
    class Asks(nn.Module):
        def forward(self, x):
            return x.mean().item()

    model = ready(Net(lambda s, x: s.n(s.c(x)) + s.m(s.d(x)) if s.asks(x) > -9 else x, **layers(asks=Asks())))
    _, report = check(model, torch.randn(2, 3, 5, 5), {"n": None, "m": None})
    assert "item" in why(report)["n"]


def test_what_a_deciding_module_was_given_counts_as_used_by_it():
    class Maybe(nn.Module):
        def forward(self, x, y):
            return x + y if x.sum() > 1e9 else x

    model = ready(Net(lambda s, x: s.maybe(x, y := s.c(x)) + s.n(y) + s.m(s.d(x)), **layers(maybe=Maybe())))
    _, report = check(model, torch.randn(2, 3, 5, 5), {"n": None, "m": "d"})
    assert "c also goes to maybe" in why(report)["n"]


def test_a_condition_on_the_models_own_state_is_the_same_for_every_input():
    def way(self, x):
        return self.n(self.c(x)) if self.gate and self.gate.item() == 1 else self.c(x)

    model = ready(Net(way, **layers(m=nn.Identity())))
    model.register_buffer("gate", torch.ones(()))
    check(model, torch.randn(2, 3, 5, 5), {"n": "c"})


def turns(count):
    """The first convolution again and again, as often as the input's sizes say."""

    def way(s, x):
        y = s.c(x)
        for _ in range(count(x)):
            y = s.c(y)
        return s.n(y) + s.m(s.d(x))

    return way


def guard(s, x):
    if x.shape[1] != 3 or x.size(0) < 1:
        raise ValueError(f"expected 3 channels, received {x.shape}")
    assert x.shape[-1] % 1 == 0
    return s.n(s.c(x)) + s.m(s.d(x))


SIZES = {
    "a guard": (guard, {"n": "c", "m": "d"}, ""),
    "both ways the same for the layers": (
        lambda s, x: s.n(s.c(x)) + s.m(s.d(F.interpolate(x, (5, 5)) if x.shape[2:] != (5, 5) else x)).mean(),
        {"n": "c", "m": "d"},
        "",
    ),
    "one way without the batch norm": (
        lambda s, x: (s.n(y) if (y := s.c(x)).shape[0] > 1 else y) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "one way with another use of the weight": (
        lambda s, x: s.n(s.c(x)) + s.m(s.d(x)) + (s.c(x) if x.shape[2] > 99 else 0),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "nested": (
        lambda s, x: (s.n(s.c(x)) if x.shape[0] < 9 or x.shape[2] < 9 else s.c(x)) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "arithmetic": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if 2 * x.shape[0] + x.shape[2] // 2 - 1 == 77 else 0) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "truth": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if x.shape[2] % 5 else 0) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "fraction": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if x.shape[2] / 2 - 0.5 > 9 else 0) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "rounded": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if math.ceil(x.shape[2] / 2) == 9 else 0) + s.m(s.d(x)),
        {"n": None, "m": "d"},
        "c also goes to add",
    ),
    "len": (
        lambda s, x: s.n(s.c(x)) + (s.c(x) if len(x) > 9 else 0) + s.m(s.d(x)),
        {"n": None, "m": None},
        "sizes decide: len at test_fold_ways.py",
    ),
    "a loop over the batch": (turns(lambda x: x.shape[0] - 2), {"n": None, "m": "d"}, "c also goes to c"),
    "a loop over positions": (turns(lambda x: 5 - x.shape[2]), {"n": None, "m": "d"}, "c also goes to c"),
    "a way that cannot be tried": (
        lambda s, x: s.n(s.c(x)) + s.m(s.d(x)) + (s.c(x.reshape(3, 3, 5, 5)) if x.shape[0] == 3 else 0),
        {"n": None, "m": None},
        "sizes decide at test_fold_ways.py",
    ),
    "too often": (
        lambda s, x: s.n(s.c(x)) + s.m(s.d(x)) + sum(1 for i in range(9) if x.shape[0] > i),
        {"n": None, "m": None},
        "sizes decide too often, among others at test_fold_ways.py",
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_where_sizes_decide_both_ways_count(case):
    way, expected, reason = SIZES[case]
    model, x = ready(Net(way, **layers())), torch.randn(2, 3, 5, 5)
    _, report = check(model, x, expected)
    assert reason in " ".join(why(report).values())
    _, report = check(model, x, {"n": "c", "m": "d"}, trust_examples=True)
    assert [row["evidence"] for row in report] == [
        "traced" if into else "seen, not traced" for into in expected.values()
    ]


def test_several_examples_must_agree():
    model = ready(Net(lambda s, x, bare=False: s.c(x) if bare else s.m(s.n(s.c(x))), **layers()))
    x = torch.randn(2, 3, 5, 5)
    check(model, x, {"n": "c", "m": "c"})
    _, report = sn.fold(model, [x, (x, True)])
    assert outcome(report) == {"n": None, "m": None}


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict", "list"])
def test_kinds_of_examples(kind):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x, y=None, *, scale=1.0):
            return {"a": self.norm(self.conv(x)) * scale, "b": [x if y is None else y]}

    x = torch.randn(2, 3, 5, 5)
    given = {"tensor": x, "tuple": (x, x), "dict": {"x": x, "scale": 2.0}, "list": [x, (x, x), {"x": x, "y": x}]}
    _, report = sn.fold(ready(Two()), given[kind])
    assert outcome(report) == {"norm": "conv"}
