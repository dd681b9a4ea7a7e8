"""Constant statistics: in both modes, under every tool that changes batch norms, and from every checkpoint."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError
from steadynorm.nn import FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d

KINDS = {1: FrozenBatchNorm1d, 2: FrozenBatchNorm2d, 3: FrozenBatchNorm3d}
kinds = pytest.mark.parametrize("dims", KINDS)


def trained(dims=2, **options):
    """A batch norm of ours with statistics and parameters of its own."""
    layer = {1: sn.nn.BatchNorm1d, 2: sn.nn.BatchNorm2d, 3: sn.nn.BatchNorm3d}[dims](3, **options)
    for _ in range(3):
        layer(torch.randn(8, 3, *[2] * dims) * 2 + 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


@kinds
def test_both_modes_are_batch_norm_in_evaluation(dims):
    layer = trained(dims)
    frozen = KINDS[dims](3)
    frozen.load_state_dict(layer.state_dict())
    before = copy.deepcopy(frozen.state_dict())
    x = torch.randn(4, 3, *[2] * dims)
    expected = layer.eval()(x)
    for mode in (True, False):
        assert torch.equal(frozen.train(mode)(x), expected)
        assert torch.equal(frozen(x[:1]), expected[:1])  # an example alone
        assert frozen(x[:0]).shape == x[:0].shape
    assert_close(frozen.state_dict(), before, rtol=0, atol=0)


def test_thawing_loses_nothing():
    layer = trained(momentum=0.3)
    frozen = FrozenBatchNorm2d(3, momentum=0.3)
    frozen.load_state_dict(layer.state_dict())
    back = sn.nn.BatchNorm2d(3, momentum=frozen.momentum)
    back.load_state_dict(frozen.state_dict())
    assert list(frozen.state_dict()) == list(layer.state_dict())
    assert int(back.num_batches_tracked) == 3
    assert_close(back.state_dict(), layer.state_dict(), rtol=0, atol=0)


def test_parameters_train_only_when_asked():
    frozen = FrozenBatchNorm2d(3)
    assert [p.requires_grad for p in frozen.parameters()] == [False, False]
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    frozen(x).sum().backward()
    assert_close(x.grad, torch.ones_like(x) / (1 + 1e-5) ** 0.5)
    assert frozen.weight.grad is None
    frozen.requires_grad_()(x).sum().backward()
    assert_close(frozen.bias.grad, torch.full((3,), 16.0))


def test_tools_for_batch_norms_leave_it_alone():
    frozen = FrozenBatchNorm2d(3)
    frozen.load_state_dict(trained().state_dict())
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), frozen, sn.nn.BatchNorm2d(3))
    before = copy.deepcopy(frozen.state_dict())
    assert not isinstance(frozen, torch.nn.modules.batchnorm._BatchNorm)
    data = [torch.randn(4, 3, 5, 5) for _ in range(3)]
    torch.optim.swa_utils.update_bn(data, model)
    report = sn.recalibrate_(model, data)
    assert [row["why"] for row in report if row["layer"] == "1"] == ["frozen"]
    with sn.paused_statistics(model):
        model.train()(data[0])
    assert torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)[1] is frozen
    assert_close(frozen.state_dict(), before, rtol=0, atol=0)


class Detectron2Frozen(torch.nn.Module):
    """The layout of detectron2's layer: four buffers, version 3."""

    _version = 3

    def __init__(self):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(3) + 0.5)


class TorchvisionFrozen(Detectron2Frozen):
    """torchvision's: the same without a version."""

    _version = 1


@pytest.mark.parametrize("peer", [Detectron2Frozen, TorchvisionFrozen])
@pytest.mark.parametrize("assign", [False, True])
def test_layouts_of_others_load(peer, assign):
    theirs = torch.nn.Sequential(peer())
    state = theirs.state_dict()
    with torch.device("meta" if assign else "cpu"):
        model = torch.nn.Sequential(FrozenBatchNorm2d(3))
    assert str(model.load_state_dict(state, assign=assign)) == "<All keys matched successfully>"
    assert "0.num_batches_tracked" not in state
    x = torch.randn(2, 3, 4, 4)
    layer = theirs[0]
    expected = torch.nn.functional.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)
    assert_close(model(x), expected)
    assert int(model[0].num_batches_tracked) == 0


def test_gamma_and_beta_alone_are_an_affine_map():
    frozen = FrozenBatchNorm2d(3, eps=1e-3)
    frozen.load_state_dict(trained().state_dict())
    frozen.load_state_dict({"weight": torch.tensor([1.0, 2, 3]), "bias": torch.tensor([0.0, 1, -1])})
    x = torch.randn(2, 3, 4, 4)
    scale, shift = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([1.0, 2, 3], [0.0, 1, -1]))
    assert_close(frozen(x), x * scale + shift)
    with pytest.raises(RuntimeError, match=r"Missing key.*running_var"):
        frozen.load_state_dict({"weight": torch.ones(3), "bias": torch.ones(3), "running_mean": torch.ones(3)})
    stateless = torch.nn.BatchNorm2d(3, track_running_stats=False)  # version 2: what is missing there is missing
    with pytest.raises(RuntimeError, match=r"Missing key.*running_mean"):
        frozen.load_state_dict(stateless.state_dict())


@given(st.sampled_from([1, 2, 3]), st.sampled_from([torch.float16, torch.bfloat16, torch.float64]), st.integers(0, 9))
def test_statistics_stay_wide(dims, dtype, seed):
    torch.manual_seed(seed)
    frozen = KINDS[dims](3)
    frozen.load_state_dict(trained(dims).state_dict())
    mean = frozen.running_mean.clone()
    x = torch.randn(2, 3, *[2] * dims, dtype=dtype)
    y = frozen.to(dtype)(x)
    assert y.dtype == dtype
    assert frozen.weight.dtype == dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert frozen.running_mean.dtype == wide
    assert torch.equal(frozen.running_mean, mean.to(wide))


def test_fx_keeps_it_whole():
    model = torch.nn.Sequential(FrozenBatchNorm2d(3, activation="relu"), torch.nn.Conv2d(3, 2, 1))
    traced = torch.fx.symbolic_trace(model)
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "call_module", "output"]
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(traced(x), model(x))


def test_statistics_are_required():
    with pytest.raises(ArgumentError, match="needs running statistics, received track_running_stats=False"):
        FrozenBatchNorm2d(3, track_running_stats=False)
