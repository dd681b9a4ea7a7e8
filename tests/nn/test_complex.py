"""Complex batch norm as a layer: parts, statistics, and what tools make of it."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ChannelError, DtypeError
from surgery_models import NOTHING_DONE


def drawn(*shape, dtype=torch.complex64):
    return torch.randn(*shape, dtype=dtype) * (2 + 1j) + 3


def test_training_and_evaluation():
    torch.manual_seed(0)
    layer = sn.nn.ComplexBatchNorm2d(3, momentum=None)
    batches = [drawn(8, 3, 5, 5) for _ in range(4)]
    for x in batches:
        y = layer(x)
    assert_close(y.abs().square().mean(), torch.tensor(1.0), atol=1e-3, rtol=0)
    values = torch.cat(batches).movedim(1, 0).flatten(1)
    parts = torch.view_as_real(values)
    assert_close(layer.running_mean, parts.mean(1).flatten())
    for c in range(3):
        assert_close(layer.running_cov[c], torch.cov(parts[c].T), rtol=5e-2, atol=5e-2)
    y = layer.eval()(torch.cat(batches))
    assert_close(y.mean((0, 2, 3)), torch.zeros(3, dtype=torch.complex64), atol=1e-3, rtol=0)


def test_activation_and_residual_work_on_each_part():
    layer, plain = sn.nn.ComplexBatchNorm1d(3, activation="relu"), sn.nn.ComplexBatchNorm1d(3)
    x, r = drawn(8, 3, 4), drawn(8, 3, 4)
    z = plain(x) + r
    assert_close(layer(x, r), torch.complex(z.real.relu(), z.imag.relu()))
    mask = torch.arange(4) < torch.randint(1, 5, (8, 1, 1))
    hidden = torch.where(mask, x, torch.nan)
    for training in (True, False):
        twin = sn.nn.ComplexBatchNorm1d(3).train(training)
        assert_close(layer.train(training)(hidden, mask=mask) == 0, layer(x, mask=mask) == 0)
        assert_close(twin(hidden, mask=mask)[~mask.expand_as(x)], torch.zeros(int((~mask).sum()) * 3).cfloat())


def test_restarts_and_repr():
    layer = sn.nn.ComplexBatchNorm2d(3, activation="tanh")
    nn.init.normal_(layer.gamma)
    layer(drawn(4, 3, 2, 2))
    layer.reset_parameters()
    fresh = sn.nn.ComplexBatchNorm2d(3)
    assert_close(layer.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    assert repr(layer) == (
        "ComplexBatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, activation=tanh)"
    )
    assert sn.nn.ComplexBatchNorm2d(3, affine=False).gamma is None
    assert sn.nn.ComplexBatchNorm2d(3, bias=False).beta is None


def test_wrong_input():
    layer = sn.nn.ComplexBatchNorm1d(3)
    with pytest.raises(DtypeError, match="needs complex tensors"):
        layer(torch.randn(4, 3))
    with pytest.raises(DtypeError, match="needs complex tensors"):
        layer(drawn(4, 3), torch.randn(4, 3))
    with pytest.raises(ChannelError, match="must have 3 complex features, received 6"):
        layer(drawn(4, 6))
    assert int(layer.num_batches_tracked) == 0


@NOTHING_DONE
def test_tools_say_why_they_leave_it():
    model = nn.Sequential(sn.nn.ComplexBatchNorm1d(3))
    batches = [drawn(16, 3) for _ in range(3)]
    assert "keeps a covariance" in sn.recalibrate_(model, batches).rows[0]["why"]
    assert "otherwise than by" in sn.freeze_(model).rows[0]["why"] or "no running" in sn.freeze_(model).rows[0]["why"]
    assert sn.synchronize_(model).rows[0]["done"] == "skipped"
    assert "complex" in sn.convert_(model, "batch").rows[0]["why"]
    assert "complex" in sn.convert_(nn.Sequential(nn.BatchNorm1d(3)), "complex").rows[0]["why"]
    with sn.paused_statistics(model):
        model(batches[0])
    assert int(model[0].num_batches_tracked) == 0
    assert not sn.diagnose(model, batches).at_least("warning")
