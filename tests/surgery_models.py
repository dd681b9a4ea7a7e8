"""Small models of every shape that a tool must survive, and how to compare one with what it was."""

import copy

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

import steadynorm as sn

# For tests of what a tool leaves, and why: their subject is the report. The warning has tests/surgery/test_change.py.
NOTHING_DONE = pytest.mark.filterwarnings("ignore::steadynorm.errors.NothingDoneWarning")


class Branches(nn.Module):
    """Two branches, added; the first is normalized twice, once by a shared layer; one branch is not always taken."""

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.shared = norm(4)
        self.left = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), norm(4), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(4, 4, 1), norm(4))
        self.alias = self.shared
        self.rare = norm(4)

    def forward(self, x):
        y = self.shared(self.left(x) + self.right(x))
        if float(x.detach().mean()) > 100:
            y = self.rare(y)
        return self.alias(y) + x


class Custom(nn.BatchNorm1d):
    """A user's subclass with a forward of its own."""

    def forward(self, x):
        return super().forward(x * 2) + 1


def network(norm2d=nn.BatchNorm2d, norm1d=nn.BatchNorm1d):
    """Convolutions, branches, dropout, a subclass, a layer norm."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        norm2d(4),
        nn.ReLU(),
        Branches(norm2d),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
        norm1d(6),
        Custom(6),
        nn.LayerNorm(6),
    ).double()


DATA = (2, 6, 6)


def state_of(model):
    """Everything that a tool must leave as it was, comparable with ==."""
    return {
        "values": {k: v.clone() for k, v in model.state_dict(keep_vars=True).items()},
        "identities": [id(v) for v in (*model.parameters(), *model.buffers(), *model.modules())],
        "classes": [type(m) for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "momenta": [getattr(m, "momentum", None) for m in model.modules()],
        "tracking": [getattr(m, "track_running_stats", None) for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "random": torch.get_rng_state().tolist(),
    }


def assert_unchanged(model, before):
    after = state_of(model)
    values, expected = after.pop("values"), dict(before)
    for name, value in expected.pop("values").items():
        assert torch.equal(values[name].flatten().view(torch.uint8), value.flatten().view(torch.uint8)), name  # bytes
    for name, value in expected.items():
        assert after[name] == value, name


@st.composite
def small_networks(draw):
    """Random chains of layers with torch's batch norms and ours, for inputs of (N, 3, 5, 5)."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    layers, channels = [], 3
    for _ in range(draw(st.integers(1, 4))):
        norm = draw(st.sampled_from([nn.BatchNorm2d, sn.nn.BatchNorm2d]))
        width = draw(st.integers(1, 4))
        layers.append(nn.Conv2d(channels, width, draw(st.sampled_from([1, 3])), padding=1))
        layers.append(norm(width, affine=draw(st.booleans())))
        layers.append(draw(st.sampled_from([nn.ReLU(), nn.Tanh(), nn.Identity()])))
        channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if draw(st.booleans()):
        layers.append(draw(st.sampled_from([nn.BatchNorm1d, sn.nn.BatchNorm1d]))(channels))
    return nn.Sequential(*layers).double()


def twin(model):
    return copy.deepcopy(model)
