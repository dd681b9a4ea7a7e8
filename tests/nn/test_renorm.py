"""Batch renormalization: its constants are constant to the gradient, its limits follow the steps."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError
from steadynorm.nn import BatchRenorm2d, Ramp


def test_gradcheck_with_r_and_d_held():
    """The gradient is that of the same formula with r and d as numbers."""
    x = torch.randn(3, 2, 2, 1, dtype=torch.float64, requires_grad=True)
    gamma, beta, mean = torch.randn(3, 2, dtype=torch.float64)
    var = torch.tensor([0.5, 2.0], dtype=torch.float64)
    moments = sn.functional.batch_moments(x.detach())
    r = ((moments.var + 1e-3) / (var + 1e-3)).sqrt().clamp(1 / 1.2, 1.2)
    d = ((moments.mean - mean) / (var + 1e-3).sqrt()).clamp(-0.3, 0.3)

    def held(x):
        y, _ = sn.functional.batch_norm(x, eps=1e-3)
        along = (1, 2, 1, 1)
        return gamma.reshape(along) * (y * r.reshape(along) + d.reshape(along)) + beta.reshape(along)

    assert torch.autograd.gradcheck(held, x)
    layer = BatchRenorm2d(2, eps=1e-3, r_max=1.2, d_max=0.3, dtype=torch.float64)
    layer.load_state_dict({"weight": gamma, "bias": beta, "running_mean": mean, "running_var": var})
    dy = torch.randn_like(x)
    assert_close(layer(x), held(x))
    ours, theirs = (torch.autograd.grad(f(x), x, dy)[0] for f in (layer_again(layer, mean, var), held))
    assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert not r.eq(1).any()
    assert not d.eq(0).any()


def layer_again(layer, mean, var):
    """The layer with its running statistics as they were."""
    layer.running_mean, layer.running_var = mean.clone(), var.clone()
    return layer


def test_gradcheck_in_evaluation():
    layer = BatchRenorm2d(2, dtype=torch.float64).eval()
    x = torch.randn(2, 2, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_a_ramp_follows_the_batches_and_survives_copies():
    layer = BatchRenorm2d(3, r_max=Ramp(1.0, 3.0, 2, 4), d_max=Ramp(0.0, 5.0, 2, 4), momentum=0.0)
    x = torch.randn(4, 3, 2, 2) * 2 + 3
    batch_norm = sn.nn.BatchNorm2d(3)(x)
    outputs = [layer(x) for _ in range(6)]
    for step in (0, 1, 2):
        assert_close(outputs[step], batch_norm)
    assert not torch.allclose(outputs[3], batch_norm)
    assert not torch.allclose(outputs[4], outputs[3])
    assert_close(outputs[5], outputs[4])
    fresh = BatchRenorm2d(3, r_max=Ramp(1.0, 3.0, 2, 4), d_max=Ramp(0.0, 5.0, 2, 4), momentum=0.0)
    fresh.load_state_dict(layer.state_dict())  # goes on where the other left off
    for again in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_close(again(x), outputs[5])


def test_limits_may_be_any_function_of_the_step():
    layer = BatchRenorm2d(3, r_max=lambda step: 1 + step.float(), d_max=0.0, momentum=0.0)
    x = torch.randn(4, 3, 2, 2) * 10
    first, second = layer(x), layer(x)
    assert_close(second, 2 * first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_is_stable(dtype):
    """Constant and huge features in 16 bits: no NaN in outputs, gradients or statistics."""
    layer = BatchRenorm2d(3, r_max=3.0, d_max=5.0, dtype=dtype)
    for _ in range(5):
        x = (torch.randn(2, 3, 2, 2) * torch.tensor([1e-7, 0.0, 5e3]).reshape(1, 3, 1, 1)).to(dtype).requires_grad_()
        y = layer(x)
        y.float().square().sum().backward()
        assert torch.isfinite(y).all()
        assert torch.isfinite(x.grad).all()
    assert torch.isfinite(layer.running_var).all()
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_max": 0.9}, "r_max must be 1 or more, received 0.9"),
        ({"d_max": -1.0}, "d_max must be 0 or more"),
        ({"r_max": Ramp(0.5, 3.0, 0, 1)}, "r_max must be 1 or more"),
        ({"track_running_stats": False}, "needs running statistics"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ArgumentError, match=message):
        BatchRenorm2d(3, **options)


def test_a_ramp_goes_forward():
    with pytest.raises(ArgumentError, match="received 4 and 2"):
        Ramp(1.0, 3.0, 4, 2)
