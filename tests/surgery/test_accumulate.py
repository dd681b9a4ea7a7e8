"""Micro-batches leave the running statistics of the one batch that they are cut from."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import steadynorm as sn
from steadynorm.errors import ModelError

LAYERS = [
    lambda: nn.BatchNorm2d(3, dtype=torch.float64),
    lambda: sn.nn.BatchNorm2d(3, dtype=torch.float64),
    lambda: sn.nn.BatchNorm2d(3, dtype=torch.float64, momentum=None),
    lambda: sn.nn.GhostBatchNorm2d(3, dtype=torch.float64, ghost_batch_size=2),
    lambda: sn.nn.BatchRenorm2d(3, dtype=torch.float64),
]


def data(batch=12):
    return torch.randn(batch, 3, 2, 2).double() + torch.arange(batch).reshape(-1, 1, 1, 1)  # ordered: cuts differ


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("sizes", [[4, 4, 4], [1, 5, 6], [12]])
def test_the_group_is_one_batch(make, sizes):
    layer, whole = make(), make()
    naive = copy.deepcopy(layer)
    for _ in range(2):
        x = data()
        whole(x)
        with sn.accumulated_statistics(layer):
            for micro in x.split(sizes):
                layer(micro)
                naive(micro)
    assert_close(layer.state_dict(), whole.state_dict(), rtol=1e-10, atol=1e-10)
    if len(sizes) > 1:
        assert not torch.allclose(naive.running_var, whole.running_var)


def test_masks_count():
    layer, whole = (sn.nn.BatchNorm2d(3, dtype=torch.float64) for _ in range(2))
    x, mask = data(), torch.rand(12, 1, 2, 2) < 0.5
    whole(x, mask=mask)
    with sn.accumulated_statistics(layer):
        for piece, shown in zip(x.split(4), mask.split(4), strict=True):
            layer(piece, mask=shown)
    assert_close(layer.state_dict(), whole.state_dict(), rtol=1e-10, atol=1e-10)


def test_recomputation_counts_once_and_evaluation_not_at_all():
    layer = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    frozen = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    model = nn.Sequential(layer, frozen)
    frozen.eval()
    reference = copy.deepcopy(layer)
    x = data().requires_grad_()
    reference(x)
    with sn.accumulated_statistics(model):
        for micro in x.split(6):
            checkpoint(model, micro, use_reentrant=False).sum().backward()
    assert_close(layer.state_dict(), reference.state_dict(), rtol=1e-10, atol=1e-10)
    assert int(frozen.num_batches_tracked) == 0


def test_a_block_that_fails_leaves_nothing():
    layer = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    before = copy.deepcopy(layer.state_dict())
    model = nn.Sequential(layer, nn.Flatten(0, 1), nn.Unflatten(0, (1, 36)), layer)
    with pytest.raises(RuntimeError, match="running_mean should contain 36 elements"), sn.accumulated_statistics(model):
        model(data())
    assert_close(layer.state_dict(), before, rtol=0, atol=0)
    assert not layer._forward_pre_hooks
    layer(data())
    assert int(layer.num_batches_tracked) == 1


def test_a_group_that_is_not_finite_is_refused():
    layer = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    x = data()
    x[0, 1] = torch.inf
    with sn.accumulated_statistics(layer):
        for micro in x.split(4):
            layer(micro)
    assert layer.skipped_updates.tolist() == [0, 1, 0]
    assert torch.isfinite(layer.running_var).all()


@pytest.mark.parametrize(
    "layer", [sn.nn.WhiteningNorm2d(3), sn.nn.LpBatchNorm2d(3, p=1)], ids=lambda v: type(v).__name__
)
def test_other_statistics_are_refused(layer):
    with (
        pytest.raises(ModelError, match=f"received {type(layer).__name__} at 0"),
        sn.accumulated_statistics(nn.Sequential(layer)),
    ):
        pass
