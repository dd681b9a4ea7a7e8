"""Out by one call: what becomes torch's computes the same, and the tools of others then keep it."""

import copy

import pytest
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError
from steadynorm.nn import ACTIVATIONS
from surgery_models import assert_unchanged, state_of


def model(activation="relu", dims=2):
    torch.manual_seed(0)
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    layer = {1: sn.nn.BatchNorm1d, 2: sn.nn.BatchNorm2d, 3: sn.nn.BatchNorm3d}[dims]
    net = nn.Sequential(conv(3, 4, 3), layer(4, activation=activation, momentum=0.3, eps=1e-3), conv(4, 2, 1)).double()
    for _ in range(3):
        net(torch.randn(8, 3, *[5] * dims).double() * 2 + 1)
    return net


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_an_activation_becomes_a_module_behind(activation, dims):
    net = model(activation, dims)
    gamma, x = net[1].weight, torch.randn(4, 3, *[5] * dims).double()
    twin = copy.deepcopy(net)
    (row,) = sn.convert_(net, "torch")
    assert row["done"] == "converted"
    assert row["new"] == "0.weight, 0.bias, 0.running_mean, 0.running_var, 0.num_batches_tracked"
    assert row.get("lost") is None
    assert [type(m).__module__.split(".")[0] for m in net.modules()] == ["torch"] * len(list(net.modules()))
    assert net[1][0].weight is gamma
    for training in (True, False):
        assert_close(net.train(training)(x), twin.train(training)(x))
    assert_close(net[1][0].state_dict(), twin[1].state_dict())
    sn.convert_(net, "batch")
    assert_close(net(x), twin(x))


def test_in_evaluation_and_for_a_single_layer():
    layer = sn.nn.GhostBatchNorm2d(4, ghost_batch_size=2, activation="silu").eval()
    x = torch.randn(4, 4, 3, 3)
    expected = layer(x)
    (row,) = sn.convert_(layer, "torch")
    assert isinstance(layer, nn.Sequential)
    assert row["lost"] == "ghost_batch_size=2"
    assert_close(layer(x), expected)
    assert not layer[0].training


def test_torchs_tools_then_keep_the_function():
    net, x = model().eval(), torch.randn(4, 3, 5, 5).double()
    expected = net(x)
    sn.convert_(net, "torch")
    assert_close(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))(x), expected)
    assert_close(fuse(copy.deepcopy(net))(x), expected)
    fused = nn.Sequential(fuse_conv_bn_eval(net[0], net[1][0]), net[1][1], net[2])
    assert_close(fused(x), expected)
    assert_close(torch.jit.script(net)(x), expected)


@pytest.mark.parametrize("options", [{"activation": "relu"}, {"channel_axis": -1}])
def test_torchs_synchronization_refuses_what_it_would_lose(options):
    net = nn.Sequential(nn.Linear(3, 4), sn.nn.BatchNorm1d(4, **options))
    before = state_of(net)
    with pytest.raises(ArgumentError, match=r"BatchNorm1d\(4.*sn\.synchronize_\(model\)"):
        nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert_unchanged(net, before)
    assert not hasattr(sn.nn.BatchNorm1d(4), "qconfig")


def test_without_an_activation_torchs_synchronization_works_as_before():
    net = nn.Sequential(sn.nn.BatchNorm1d(4))
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(net)[0]) is nn.SyncBatchNorm
