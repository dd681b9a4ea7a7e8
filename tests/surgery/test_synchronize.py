"""A model there and back, without a process group; and what torch's conversion does instead."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from surgery_models import NOTHING_DONE, Custom, assert_unchanged, small_networks, state_of

KINDS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, sn.nn.BatchNorm1d, sn.nn.BatchNorm2d, sn.nn.BatchNorm3d]


class Preset(nn.BatchNorm2d):
    """A subclass that only chooses settings."""

    def __init__(self, num_features):
        super().__init__(num_features, eps=1e-3, momentum=0.01)


class Checking(nn.BatchNorm2d):
    """A subclass whose forward is torch's, but calls a method that is its own."""

    def _check_input_dim(self, input):
        if input.dim() != 3:
            raise ValueError("expected an image without a batch")


def trained(kind):
    layer = kind(3)
    dims = 2 + max(d for d in (1, 2, 3) if f"{d}d" in str(kind.__mro__))
    layer(torch.randn(4, 3, *[2] * (dims - 2)))
    return layer, torch.randn(5, 3, *[2] * (dims - 2))


@settings(max_examples=30)
@given(small_networks())
def test_there_and_back_gives_the_same_bytes(model):
    before, attributes = state_of(model), [dict(vars(m)) for m in model.modules()]
    sn.synchronize_(model)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(type(m) is sn.nn.SyncBatchNorm for m in norms)
    assert [id(v) for v in model.parameters()] == before["identities"][: len(list(model.parameters()))]
    assert list(model.state_dict()) == list(before["values"])
    sn.desynchronize_(model)
    assert_unchanged(model, before)
    assert [dict(vars(m)) for m in model.modules()] == attributes


@pytest.mark.parametrize("kind", [*KINDS, Preset], ids=lambda k: f"{k.__module__.split('.')[0]}.{k.__name__}")
def test_without_a_group_it_is_the_layer_that_it_was(kind):
    layer, x = trained(kind)
    twin = copy.deepcopy(layer)
    (row,) = sn.synchronize_(layer)
    assert row["done"] == "synchronized"
    for mode in (True, False):
        assert_close(layer.train(mode)(x), twin.train(mode)(x))
    assert_close(layer.state_dict(), twin.state_dict())
    again = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    sn.desynchronize_(again)
    assert type(again) is kind
    assert_close(again.state_dict(), twin.state_dict())
    assert_close(again(x), twin(x))


def test_b13_a_subclass_keeps_its_behaviour():
    x = torch.randn(4, 3)
    custom, lazy = Custom(3).eval(), nn.LazyBatchNorm1d()
    expected = custom(x)
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(custom))
    assert not torch.allclose(theirs(x), expected)  # its forward is gone, and nothing was said

    model = nn.Sequential(
        custom, lazy, Checking(3), Preset(3), nn.LayerNorm(3), sn.nn.GhostBatchNorm1d(3, ghost_batch_size=2)
    )
    report = sn.synchronize_(model)
    assert torch.equal(custom(x), expected)
    reasons = [row.get("why") for row in report]
    assert reasons[0] == "Custom overrides forward"
    assert "not initialized yet" in reasons[1]
    assert "_check_input_dim of its own" in reasons[2]
    assert reasons[3] is None
    assert "no batch norm" in reasons[4]
    assert "GhostBatchNorm1d normalizes otherwise" in reasons[5]
    assert [row["done"] for row in report].count("synchronized") == 1


def test_b18_there_is_a_way_back():
    x = torch.randn(4, 3)  # no image
    theirs = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3))
    theirs.eval()(x)  # it does not know any more that it was for images
    layer = nn.BatchNorm2d(3)
    sn.synchronize_(layer)
    sn.desynchronize_(layer)
    with pytest.raises(ValueError, match="expected 4D input"):
        layer(x)


def test_torchs_own_synchronized_layers():
    layer = nn.SyncBatchNorm(3).half()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    sn.synchronize_(layer)
    assert type(layer) is sn.nn.SyncBatchNorm
    assert layer.running_mean.dtype is torch.float32
    layer(torch.randn(4, 3, dtype=torch.float16)).sum().backward()  # on the CPU, which torch's refuses
    optimizer.step()
    sn.desynchronize_(layer)
    assert type(layer) is nn.SyncBatchNorm
    assert layer.process_group is None
    assert layer.running_mean.dtype is torch.float16
    assert vars(layer).keys() == vars(nn.SyncBatchNorm(3)).keys()


@NOTHING_DONE
def test_frozen_and_converted_layers():
    layer, x = trained(nn.BatchNorm2d)
    sn.synchronize_(layer)
    sn.freeze_(layer)
    assert isinstance(layer, sn.nn.FrozenBatchNorm2d)
    assert "frozen" in next(iter(sn.synchronize_(layer)))["why"]
    assert "frozen" in next(iter(sn.desynchronize_(layer)))["why"]
    sn.unfreeze_(layer)
    assert type(layer) is sn.nn.SyncBatchNorm
    assert next(iter(sn.synchronize_(layer)))["why"] == "is synchronized already"
    expected = layer.eval()(x)
    sn.convert_(layer, "renorm", r_max=1.0, d_max=0.0)
    assert isinstance(layer, sn.nn.BatchRenorm2d)
    assert next(iter(sn.desynchronize_(layer)))["why"] == "is not synchronized"
    sn.convert_(layer, "sync")
    sn.desynchronize_(layer)
    assert type(layer) is sn.nn.BatchNorm2d
    assert_close(layer(x), expected)
    made = sn.nn.SyncBatchNorm(3)
    assert "was made synchronized" in next(iter(sn.desynchronize_(made)))["why"]
    assert sn.synchronize_(nn.Linear(2, 2)).notes == ["the model has no normalization layer"]


def test_domains_are_synchronized_one_by_one():
    layer = sn.nn.DomainBatchNorm2d(3, domains=["a", "b"])
    before = state_of(layer)
    sn.synchronize_(layer)
    with sn.nn.domain("a"):
        layer(torch.randn(2, 3, 4, 4))
    sn.desynchronize_(layer)
    assert state_of(layer)["classes"] == before["classes"]


def test_a_failure_changes_nothing(monkeypatch):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    before = state_of(model)
    calls = []

    def failing(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sn.nn.SyncBatchNorm, "widen_statistics", failing)
    with pytest.raises(KeyboardInterrupt):
        sn.synchronize_(model)
    assert_unchanged(model, before)
