"""Where one way to normalize becomes another, it is that other: outputs, gradients and buffers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import steadynorm as sn

X = {1: (6, 4, 5), 2: (6, 4, 3, 5), 3: (6, 4, 2, 3, 2)}
EXACT = {"rtol": 1e-12, "atol": 1e-12}
dims = pytest.mark.parametrize("dims", X)


def kind(name, dims):
    return getattr(sn.nn, f"{name}{dims}d")


def assert_same(layer, other, *, steps=3, shape=X[2], names=("running_mean", "running_var", "num_batches_tracked")):
    """Train both on the same data, then evaluate: all that they share is the same all the way."""
    other.load_state_dict(layer.state_dict(), strict=False)
    for _ in range(steps):
        x = torch.randn(shape, dtype=torch.float64) * 2 + 1
        pair = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [module(v) for module, v in zip((layer, other), pair, strict=True)]
        dy = torch.randn_like(x)
        for y in outputs:
            y.backward(dy)
        assert_close(*outputs, **EXACT)
        assert_close(pair[0].grad, pair[1].grad, **EXACT)
        for a, b in zip(layer.parameters(), other.parameters(), strict=True):
            assert_close(a.grad, b.grad, **EXACT)
        for name in names:
            assert_close(getattr(layer, name), getattr(other, name), **EXACT)
    assert_close(layer.eval()(x), other.eval()(x), **EXACT)


def plain(dims):
    layer = kind("BatchNorm", dims)(4, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    return layer


@dims
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("GhostBatchNorm", {"ghost_batch_size": 6}),
        ("GhostBatchNorm", {"ghost_batch_size": 100}),
        ("BatchRenorm", {"r_max": 1.0, "d_max": 0.0}),
        ("BatchRenorm", {}),  # before its ramps begin
        ("LpBatchNorm", {"p": 2, "centred": True}),
        ("NoisyBatchNorm", {"dose": 0}),
        ("ExampleWeightedBatchNorm", {"alpha": 0}),
    ],
)
def test_is_batch_norm(name, options, dims):
    assert_same(plain(dims), kind(name, dims)(4, dtype=torch.float64, **options), shape=X[dims])


@dims
def test_one_domain_is_batch_norm(dims):
    layer = kind("DomainBatchNorm", dims)(4, dtype=torch.float64, domains=["all"])
    reference = plain(dims)
    layer.load_state_dict(reference.state_dict())
    with sn.nn.domain("all"):
        for _ in range(2):
            x = torch.randn(X[dims], dtype=torch.float64)
            assert torch.equal(layer(x), reference(x))
        assert torch.equal(layer.eval()(x), reference.eval()(x))
    assert_close(layer.domains["all"].state_dict(), reference.state_dict(), rtol=0, atol=0)


def test_renorm_is_batch_norm_where_the_running_statistics_are_the_batch_s():
    x = torch.randn(X[2], dtype=torch.float64) * 3 + 2
    layer = sn.nn.BatchRenorm2d(4, dtype=torch.float64, r_max=3.0, d_max=5.0)
    moments = sn.functional.batch_moments(x)
    layer.running_mean, layer.running_var = moments.mean.clone(), moments.var.clone()
    assert_close(layer(x), plain_output(x), **EXACT)
    assert_close(layer.running_mean, moments.mean, **EXACT)


def plain_output(x):
    return sn.nn.BatchNorm2d(4, dtype=torch.float64)(x)


def test_renorm_without_limits_is_inference():
    x = torch.randn(X[2], dtype=torch.float64) * 3 + 2
    layer = sn.nn.BatchRenorm2d(4, dtype=torch.float64, r_max=1e9, d_max=1e9, momentum=0.0)
    assert_close(layer(x), layer.eval()(x), **EXACT)


@dims
def test_whitening_of_single_features_is_batch_norm(dims):
    layer = kind("WhiteningNorm", dims)(4, dtype=torch.float64, groups=4)
    reference = plain(dims)
    layer.load_state_dict(reference.state_dict())
    x = torch.randn(X[dims], dtype=torch.float64)
    assert_close(layer(x), reference(x), **EXACT)
    assert_close(layer.running_cov.flatten(), reference.running_var, **EXACT)
    assert_close(layer.eval()(x), reference.eval()(x), **EXACT)


def test_whitening_of_uncorrelated_features_is_batch_norm_without_a_rotation():
    x = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64) * torch.tensor([3.0, 0.5]) + 7
    y, _ = sn.functional.whitening_norm(x, eps=1e-5)
    assert_close(y, sn.functional.batch_norm(x, eps=1e-5)[0], **EXACT)


@given(st.integers(0, 50), st.sampled_from([1, 2]), st.sampled_from([torch.float32, torch.float64]))
def test_whitened_covariance_is_the_identity(seed, groups, dtype):
    generator = torch.Generator().manual_seed(seed)
    mixing = 0.1 * torch.randn(6, 6, generator=generator) + torch.eye(6)
    x = (torch.randn(64, 6, 3, generator=generator).movedim(1, 2) @ mixing).movedim(1, 2).to(dtype) + 5
    y, _ = sn.functional.whitening_norm(x, groups=groups, eps=1e-7)
    _, _, cov = sn.functional.batch_covariance(y, groups=groups)
    assert_close(cov, torch.eye(6 // groups, dtype=dtype).expand_as(cov), rtol=0, atol=1e-4)


def test_iterations_come_to_zca():
    x = torch.randn(50, 4, 3, dtype=torch.float64) @ torch.rand(3, 3).double() + 1
    whitened, _ = sn.functional.whitening_norm(x, eps=1e-3)
    errors = [
        float((sn.functional.iter_norm(x, eps=1e-3, iterations=n)[0] - whitened).abs().max()) for n in (1, 2, 4, 16)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-10


@dims
def test_a_mask_of_ones_is_no_mask(dims):
    x = torch.randn(X[dims], dtype=torch.float64)
    ones = torch.ones(6, 1, *X[dims][2:]).bool()
    for name, options in (
        ("BatchNorm", {}),
        ("GhostBatchNorm", {"ghost_batch_size": 4}),
        ("BatchRenorm", {"r_max": 2.0, "d_max": 1.0}),
        ("LpBatchNorm", {"p": 1}),
        ("WhiteningNorm", {}),
        ("IterNorm", {}),
        ("ExampleWeightedBatchNorm", {"alpha": 0.3}),
        ("FrozenBatchNorm", {}),
    ):
        pair = [kind(name, dims)(4, dtype=torch.float64, **options) for _ in range(2)]
        for mode in (True, False):
            outputs = [layer.train(mode)(x, mask=mask) for layer, mask in zip(pair, (None, ones), strict=True)]
            assert_close(*outputs, **EXACT)
        assert_close(pair[0].state_dict(), pair[1].state_dict(), **EXACT)


@dims
def test_group_layer_instance_and_a_batch_of_one(dims):
    x = torch.randn(X[dims], dtype=torch.float64)
    layer_norm = nn.LayerNorm(X[dims][1:], elementwise_affine=False, dtype=torch.float64)
    assert_close(nn.GroupNorm(1, 4, dtype=torch.float64)(x), layer_norm(x), **EXACT)
    instance_norm = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims](4)
    assert_close(nn.GroupNorm(4, 4, dtype=torch.float64)(x), instance_norm(x), **EXACT)
    batch_norm = kind("BatchNorm", dims)(4, dtype=torch.float64)
    alone = torch.cat([batch_norm(example[None]) for example in x])
    assert_close(alone, instance_norm(x), **EXACT)
    ghost = kind("GhostBatchNorm", dims)(4, dtype=torch.float64, ghost_batch_size=1)
    assert_close(ghost(x), instance_norm(x), **EXACT)
    weighted = kind("ExampleWeightedBatchNorm", dims)(4, dtype=torch.float64, alpha=1).eval()
    assert_close(weighted(x), instance_norm(x), **EXACT)
