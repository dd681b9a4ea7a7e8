import copy
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import steadynorm as sn
from steadynorm.errors import ArgumentError
from surgery_models import DATA, assert_unchanged, network, small_networks, state_of

NORMS = pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])


@NORMS
@pytest.mark.parametrize("compiled", [False, True])
def test_every_buffer_stays_and_the_batch_normalizes(norms, compiled):
    model, x = network(*norms), torch.randn(6, *DATA).double()
    model[4].p = 0.0
    expected = copy.deepcopy(model)(x)
    runner = torch.compile(model, backend="aot_eager") if compiled else model
    with torch.no_grad():
        runner(x)
        before = state_of(model)
        with sn.paused_statistics(runner):
            assert_close(runner(x), expected)
        assert_unchanged(model, before)
        runner(x)
    assert int(model[1].num_batches_tracked) == 2


@settings(max_examples=30)
@given(small_networks(), st.booleans(), st.integers(1, 3))
def test_random_networks_keep_every_buffer(model, training, forwards):
    model.train(training)
    x = torch.randn(4, 3, 5, 5).double()
    before = state_of(model)
    with sn.paused_statistics(model):
        for _ in range(forwards):
            model(x)
    assert_unchanged(model, before)


@NORMS
def test_a_bad_batch_in_a_pause(norms):
    model, x = network(*norms), torch.full((4, *DATA), torch.inf).double()
    before = state_of(model)
    with torch.random.fork_rng(), sn.paused_statistics(model):
        model(x)
    assert_unchanged(model, before)


@NORMS
@pytest.mark.parametrize("momentum", [0.1, None])
def test_pauses_nest(norms, momentum):
    layer = norms[1](3, momentum=momentum)
    x = torch.randn(5, 3)
    with sn.paused_statistics(layer):
        with sn.paused_statistics(layer):
            layer(x)
        layer(x)
    assert int(layer.num_batches_tracked) == 0
    assert layer.momentum == momentum
    layer(x)
    assert int(layer.num_batches_tracked) == 1


@NORMS
def test_evaluation_inside_uses_the_running_statistics(norms):
    layer, x = norms[1](3), torch.randn(5, 3) + 4
    expected = copy.deepcopy(layer).eval()(x)
    with sn.paused_statistics(layer):
        layer(x)
        assert_close(layer.eval()(x), expected)


@NORMS
def test_an_error_ends_the_pause(norms):
    layer = norms[1](3)
    before = state_of(layer)
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), sn.paused_statistics(layer):
            raise error
    assert_unchanged(layer, before)
    layer(torch.randn(4, 3))
    assert int(layer.num_batches_tracked) == 1


@NORMS
def test_threads(norms):
    """Two threads pause in turn, the second leaving last: the layer resumes when both have left."""
    layer, x = norms[1](3), torch.randn(5, 3)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first():
        with sn.paused_statistics(layer):
            first_in.set()
            second_in.wait()
        first_out.set()

    def second():
        first_in.wait()
        with sn.paused_statistics(layer):
            second_in.set()
            first_out.wait()
            layer(x)

    threads = [threading.Thread(target=f) for f in (first, second)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert int(layer.num_batches_tracked) == 0
    layer(x)
    assert int(layer.num_batches_tracked) == 1


@NORMS
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_under_checkpointing(norms, reentrant, inside):
    model = nn.Sequential(nn.Conv2d(2, 3, 1), norms[0](3), nn.ReLU())
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(4, *DATA, requires_grad=True)
    with sn.paused_statistics(model):
        y = checkpoint(model, x, use_reentrant=reentrant)
        if inside:
            y.sum().backward()
    if not inside:
        y.sum().backward()  # the same tensors are saved again, or checkpoint would raise
    assert x.grad is not None
    kept = inside or norms[0] is sn.nn.BatchNorm2d
    assert int(model[1].num_batches_tracked) == (0 if kept else 1)  # torch's own counts a recomputation
    if kept:
        assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_synchronized_layers_and_subclasses():
    for layer in (nn.SyncBatchNorm(2), nn.BatchNorm1d(2, track_running_stats=False)):
        before = state_of(layer)
        with sn.paused_statistics(layer):
            layer(torch.zeros(3, 2)) if not isinstance(layer, nn.SyncBatchNorm) else None
        assert_unchanged(layer, before)


def test_no_module():
    with pytest.raises(ArgumentError, match="received int"), sn.paused_statistics(3):
        pass


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("BatchNorm1d", {}),
        ("GhostBatchNorm1d", {"ghost_batch_size": 8}),
        ("BatchRenorm1d", {}),
        ("LpBatchNorm1d", {"p": 1}),
    ],
)
def test_gradients_per_batch_by_transforms(name, arguments):
    """Which nothing but a pause makes possible in training: a transform may not change what it did not make."""
    model = nn.Sequential(nn.Linear(4, 3), getattr(sn.nn, name)(3, **arguments)).double()
    parameters, xs = dict(model.named_parameters()), torch.randn(5, 16, 4).double()
    before = state_of(model)

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x,)).pow(3).sum()

    with sn.paused_statistics(model):
        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, xs)
        one = torch.func.grad(loss)(parameters, xs[1])
        loss(parameters, xs[1]).backward()
    for key, parameter in parameters.items():
        assert_close(each[key][1], parameter.grad)
        assert_close(one[key], parameter.grad)
        parameter.grad = None
    assert_unchanged(model, before)
