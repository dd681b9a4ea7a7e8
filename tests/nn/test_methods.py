"""What single layers promise beyond the contracts."""

import copy
import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
import steadynorm as sn
from steadynorm.errors import ArgumentError, ShapeError
from steadynorm.nn.catalogue import CATALOGUE


def test_the_ghost_size_leaves_running_statistics_and_evaluation_alone():
    x = torch.randn(7, 3, 2, 2, dtype=torch.float64) + torch.arange(7.0, dtype=torch.float64).reshape(7, 1, 1, 1)
    plain = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    plain(x)
    for size in (1, 2, 3, 7, 50):
        layer = sn.nn.GhostBatchNorm2d(3, ghost_batch_size=size, dtype=torch.float64)
        layer(x)
        assert_close(layer.state_dict(), plain.state_dict(), rtol=1e-12, atol=1e-12)
        assert_close(layer.eval()(x[:1]), plain.eval()(x[:1]), rtol=1e-12, atol=1e-12)  # smaller than the ghost size
        plain.train()


def test_a_ghost_batch_of_one_value_is_refused():
    layer = sn.nn.GhostBatchNorm1d(3, ghost_batch_size=4)
    with pytest.raises(ShapeError, match="of which a ghost batch holds 1 example"):
        layer(torch.randn(9, 3))
    assert int(layer.num_batches_tracked) == 0
    assert layer(torch.randn(9, 3, 2)).shape == (9, 3, 2)  # one example, two values
    assert layer.eval()(torch.randn(9, 3)).shape == (9, 3)


@pytest.mark.parametrize("p", [1, 2, float("inf")])
@pytest.mark.parametrize("centred", [False, True])
def test_lp_averages_its_own_square(p, centred):
    layer = sn.nn.LpBatchNorm2d(3, p=p, centred=centred, momentum=1.0, eps=1e-3, dtype=torch.float64)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64) + 2
    y = layer(x)
    if p == 2 and centred:
        assert_close(layer.running_var, x.var((0, 2, 3)))
    else:  # in evaluation the same batch gives the same output
        assert_close(layer.eval()(x), y)


def test_noise_is_new_at_every_step_and_absent_in_evaluation():
    layer = sn.nn.NoisyBatchNorm2d(3)
    x = torch.randn(8, 3, 4, 4)
    assert not torch.allclose(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))
    state = torch.get_rng_state()
    sn.nn.NoisyBatchNorm2d(3, dose=0.0)(x)
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn for nothing


def test_weighted_in_evaluation():
    layer = sn.nn.ExampleWeightedBatchNorm2d(3, alpha=0.25, dtype=torch.float64)
    plain = sn.nn.BatchNorm2d(3, dtype=torch.float64)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64) * 2 + 1
    assert_close(layer(x), plain(x))
    with torch.no_grad():
        layer.weight.normal_()
    mean, var = layer.running_mean, layer.running_var
    expected = oracles.example_weighted_norm(x, mean, var, layer.weight, layer.bias, layer.eps, 0.25)
    assert_close(layer.eval()(x), expected)
    assert_close(layer(x[2:3]), expected[2:3])  # an example's companions do not matter


def test_a_batch_that_cannot_be_whitened_is_refused():
    layer = sn.nn.WhiteningNorm1d(6)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ShapeError, match="received 6 values, 6 features\nThe layer is WhiteningNorm1d"):
        layer(torch.randn(6, 6))
    assert_close(layer.state_dict(), before, rtol=0, atol=0)
    layer(torch.randn(7, 6))
    sn.nn.WhiteningNorm1d(6, groups=3)(torch.randn(6, 6))
    sn.nn.IterNorm1d(6)(torch.randn(6, 6))
    with pytest.raises(ArgumentError, match="groups must divide the number of features 6, received 4"):
        sn.nn.WhiteningNorm1d(6, groups=4)


KINDS = pytest.mark.parametrize("kind", [sn.nn.WhiteningNorm2d, sn.nn.IterNorm2d])


@KINDS
def test_running_covariances_are_averaged_like_variances(kind):
    layer = kind(4, groups=2, momentum=0.3, dtype=torch.float64)
    expected = torch.eye(2).double().expand(2, 2, 2)
    for _ in range(3):
        x = torch.randn(5, 4, 2, 2, dtype=torch.float64)
        layer(x)
        rows = x.movedim(1, 0).reshape(2, 2, -1)
        expected = 0.7 * expected + 0.3 * torch.stack([torch.cov(group) for group in rows])
    assert_close(layer.running_cov, expected)
    layer.reset_running_stats()
    assert_close(layer.state_dict(), kind(4, groups=2, dtype=torch.float64).state_dict())


@KINDS
def test_a_batch_norm_s_checkpoint_becomes_the_diagonal(kind):
    plain = torch.nn.BatchNorm2d(4)
    plain(torch.randn(8, 4, 2, 2) * 3 + 1)
    model, source = torch.nn.Sequential(kind(4, groups=2)), torch.nn.Sequential(plain)
    assert str(model.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    assert_close(model[0].running_cov.diagonal(dim1=1, dim2=2).flatten(), plain.running_var)
    if kind is sn.nn.WhiteningNorm2d:
        x = torch.randn(3, 4, 2, 2)
        assert_close(model.eval()(x), plain.eval()(x))


@KINDS
@given(st.data())
def test_properties_of_whitening(kind, data):
    """Any dtype and magnitude: statistics wide and finite; a bad feature spoils its own group, which then waits."""
    dtype = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    scale = data.draw(st.sampled_from([1.0, 1e-4, 1e4] if dtype == torch.float16 else [1.0, 1e-30, 1e15]))
    groups = data.draw(st.sampled_from([1, 2, 4]))
    layer = kind(4, groups=groups, dtype=dtype)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    x = (torch.randn(6, 4, 2, 3, generator=generator, dtype=torch.float64) * scale).to(dtype)
    if data.draw(st.booleans()):
        x[:, 0] = 1.0
    bad = data.draw(st.sampled_from([None, torch.nan, torch.inf]))
    healthy = torch.ones(4, dtype=torch.bool)
    if bad is not None:
        x[0, -1, 0, 0] = bad
        healthy[-4 // groups :] = False
    y = layer(x)
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert layer.running_cov.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(layer.running_mean).all()
    assert torch.isfinite(layer.running_cov).all()
    assert torch.isfinite(y[:, healthy]).all()
    assert layer.skipped_updates.tolist() == (~healthy).int().tolist()
    assert torch.isfinite(layer.eval()(x)[:, healthy]).all()


@KINDS
def test_half_keeps_covariances_wide(kind):
    layer = kind(4).half()
    assert layer.running_cov.dtype == torch.float32
    assert layer(torch.randn(8, 4, 2, 2).half()).dtype == torch.float16


ABOVE_TORCH = [
    kind for method in CATALOGUE for kind in dict.fromkeys(method.layers.values()) if kind is not sn.nn.SyncBatchNorm
]


@pytest.mark.parametrize("kind", ABOVE_TORCH, ids=lambda kind: kind.__name__)
def test_constructors_show_torchs_arguments_and_their_own(kind):
    shown = [*inspect.signature(kind).parameters.values()]
    torchs = [*inspect.signature(torch.nn.BatchNorm2d).parameters.values()]
    wanted = [(p.name, p.kind, p.default) for p in torchs] + [("activation", inspect.Parameter.KEYWORD_ONLY, None)]
    assert [(p.name, p.kind, p.default) for p in shown[: len(wanted)]] == wanted
    assert {p.kind for p in shown[len(torchs) :]} == {inspect.Parameter.KEYWORD_ONLY}
    method = next(m for m in CATALOGUE if kind in m.layers.values())
    assert method.options.keys() <= {p.name for p in shown}


@pytest.mark.parametrize("name", ["GhostBatchNorm2d", "NoisyBatchNorm2d", "IterNorm2d"])
def test_what_transforms_its_batch_otherwise_is_never_in_place(name):
    kind = getattr(sn.nn, name)
    options = {"ghost_batch_size": 2} if name.startswith("Ghost") else {}
    assert "inplace" not in inspect.signature(kind).parameters
    with pytest.raises(ArgumentError, match=f"inplace must be False for {name}, received True: leave it out"):
        kind(3, inplace=True, **options)


def test_what_trains_as_batch_norm_may_be_in_place():
    x = torch.randn(4, 3, 5, 5, requires_grad=True)
    plain = sn.nn.BatchNorm2d(3)
    weighted = sn.nn.ExampleWeightedBatchNorm2d(3, alpha=0.5, inplace=True)
    domains = sn.nn.DomainBatchNorm2d(3, domains=["one"], inplace=True)
    (expected,) = torch.autograd.grad(plain(x * 1).sin().sum(), x)
    with sn.nn.domain("one"):
        for layer in (weighted, domains):
            (found,) = torch.autograd.grad(layer(x * 1).sin().sum(), x)
            assert_close(found, expected)
