import pytest
import torch
from torch import nn

import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from surgery_models import network


@pytest.mark.parametrize("compiled", [False, True])
def test_every_parameter_once(compiled):
    model = network(sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)
    model[7].weight.requires_grad_(False)
    decayed, exempt = sn.parameter_groups(torch.compile(model) if compiled else model, 0.01)
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.01, 0.0)
    names = {p: n for n, p in model.named_parameters()}
    assert [names[p] for p in decayed["params"]] == ["0.weight", "3.left.0.weight", "3.right.0.weight"]
    rest = {n for n in names.values() if n.endswith("bias") or n.startswith(("1.", "3.shared", "8.", "9.", "10."))}
    rest |= {"3.left.1.weight", "3.right.1.weight", "3.rare.weight"}
    assert {names[p] for p in exempt["params"]} == rest
    torch.optim.SGD([decayed, exempt], lr=0.1)


def test_other_parameters():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.token = nn.Parameter(torch.ones(1, 3))
            self.norms = nn.ModuleList([nn.GroupNorm(1, 3), nn.RMSNorm((3, 4)), nn.InstanceNorm2d(3, affine=True)])
            self.tied = nn.Linear(3, 3, bias=False)
            self.tied.weight = self.token

    model = Odd()
    decayed, exempt = sn.parameter_groups(model, 1.0)
    assert decayed["params"] == [model.token]
    assert len(exempt["params"]) == 1 + 2 + 1 + 2


def test_what_a_normalization_shares_is_not_decayed():
    model = nn.Sequential(nn.RMSNorm((3, 4)), nn.Linear(4, 3, bias=False))
    model[1].weight = model[0].weight
    decayed, exempt = sn.parameter_groups(model, 1.0)
    assert decayed["params"] == []
    assert exempt["params"] == [model[0].weight]


def test_errors():
    with pytest.raises(ArgumentError, match="received -1"):
        sn.parameter_groups(nn.Linear(2, 2), -1)
    with pytest.raises(ModelError, match="LazyLinear's weight is not"):
        sn.parameter_groups(nn.LazyLinear(2), 0.1)
    with pytest.raises(ArgumentError, match="received list"):
        sn.parameter_groups([], 0.1)
