"""Features on the last axis: the same as the permuted layer, whatever the method, and known to the tools."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from contracts.test_contracts import LAYERS, make
from steadynorm.nn.catalogue import CATALOGUE

layers = pytest.mark.parametrize(("method", "dims"), LAYERS)


def last(x):
    return x.movedim(1, -1)


def second(x):
    return x.movedim(-1, 1)


def drawn(layer):
    with torch.no_grad():
        for p in layer.parameters():
            p.uniform_(0.5, 1.5)
        for module in layer.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_()
    return layer


@layers
@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_permuted_layer(method, dims, training):
    torch.manual_seed(0)
    layer = drawn(make(method, dims, channel_axis=-1)).double().train(training)
    twin = copy.deepcopy(layer)
    for module in twin.modules():
        if hasattr(module, "channel_axis"):
            module.channel_axis = 1
    dtype = torch.complex128 if method.complex else torch.float64
    x = torch.randn(4, *range(3, 3 + dims), 3, dtype=dtype, requires_grad=True)
    z = x.detach().clone().requires_grad_()
    with sn.nn.domain("one"), sn.nn.condition(1):
        torch.manual_seed(1)
        y = layer(x)
        torch.manual_seed(1)
        expected = last(twin(second(z)))
    assert_close(y, expected)
    assert y.shape == x.shape
    if method.name in ("batch", "frozen", "sync", "domain"):
        assert y.is_contiguous()  # nothing was copied on the way
    weights = torch.randn_like(y)
    (y * weights).sum().abs().backward()
    (expected * weights).sum().abs().backward()
    assert_close(x.grad, z.grad)
    assert_close(layer.state_dict(), twin.state_dict())


def test_residual_mask_and_activation():
    layer = sn.nn.BatchNorm1d(3, activation="relu", channel_axis=-1).double()
    plain = sn.nn.BatchNorm1d(3, activation="relu").double()
    x, r = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    mask = torch.arange(5)[None, :, None] < torch.tensor([5, 3, 2, 4])[:, None, None]
    assert_close(layer(x, r, mask), last(plain(second(x), second(r), second(mask))))
    assert_close(layer.running_var, plain.running_var)


def test_linear_input_has_one_feature_axis():
    x = torch.randn(8, 3)
    assert_close(sn.nn.BatchNorm1d(3, channel_axis=-1)(x), nn.BatchNorm1d(3)(x))


def test_gradcheck():
    layer = sn.nn.BatchNorm2d(2, channel_axis=-1).double()
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_a_lazy_layer_counts_the_last_axis():
    layer = sn.nn.LazyBatchNorm1d(channel_axis=-1)
    layer(torch.randn(4, 7, 3))
    assert layer.num_features == 3
    assert layer.channel_axis == -1


def test_compile_export_and_state():
    layer = sn.nn.BatchNorm2d(3, channel_axis=-1)
    x = torch.randn(4, 5, 6, 3)
    twin = copy.deepcopy(layer)
    assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), twin(x))
    assert_close(layer.running_mean, twin.running_mean)
    program = torch.export.export(layer.eval(), (x,)).module()
    assert_close(program(x), layer(x))
    assert layer.state_dict().keys() == nn.BatchNorm2d(3).state_dict().keys()
    assert "channel_axis=-1" in repr(layer)


@pytest.mark.parametrize("axis", [0, 2, -2, None])
def test_other_axes_are_refused(axis):
    for method in CATALOGUE:
        with pytest.raises(sn.errors.ArgumentError, match="channel_axis must be 1"):
            make(method, 1, channel_axis=axis)


def test_errors_say_where_the_features_are():
    layer = sn.nn.BatchNorm1d(3, channel_axis=-1)
    with pytest.raises(sn.errors.ChannelError, match=r"\(N, \*S, C\)"):
        layer(torch.randn(4, 3, 5))


# --- tools ------------------------------------------------------------------------------------------------------------


def network(activation=None):
    """A token model: linear layers and batch norms, features last throughout."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6),
        sn.nn.BatchNorm1d(6, channel_axis=-1, activation=activation),
        nn.Linear(6, 5),
        sn.nn.BatchNorm1d(5, channel_axis=-1),
        nn.ReLU(),
    ).double()
    for module in model.modules():
        drawn(module)
    return model


BATCHES = [torch.randn(8, 7, 4, generator=torch.Generator().manual_seed(i)).double() * 2 + 1 for i in range(6)]


@pytest.mark.parametrize("activation", [None, "relu"])
def test_fold(activation):
    model = network(activation).eval()
    folded, report = sn.fold(model, BATCHES[0])
    assert [row["done"] for row in report] == ["folded", "folded"]
    assert not [m for m in folded.modules() if isinstance(m, sn.nn.BatchNorm1d)]
    assert_close(folded(BATCHES[1]), model(BATCHES[1]))


def test_fold_does_not_take_the_wrong_axis():
    model = nn.Sequential(nn.Conv1d(5, 5, 1), sn.nn.BatchNorm1d(5, channel_axis=-1)).double().eval()
    drawn(model[1])
    with pytest.warns(sn.errors.NothingDoneWarning):
        _, report = sn.fold(model, torch.randn(2, 5, 5, dtype=torch.float64))
    assert [row["done"] for row in report] == ["kept"]


def test_recalibrate():
    model = network()
    sn.recalibrate_(model, BATCHES)
    x = model[0](torch.cat(BATCHES)).detach()
    assert_close(model[1].running_mean, x.mean((0, 1)))
    assert_close(model[1].running_var, x.flatten(0, 1).var(0))


def test_freeze_there_and_back():
    model = network().eval()
    expected = model(BATCHES[0])
    sn.freeze_(model)
    assert_close(model.train()(BATCHES[0]), expected)
    sn.unfreeze_(model)
    assert_close(model.eval()(BATCHES[0]), expected)
    assert model[1].channel_axis == -1


def test_freeze_and_fold():
    model = network().eval()
    sn.freeze_(model)
    folded, report = sn.fold(model, BATCHES[0])
    assert [row["done"] for row in report] == ["folded", "folded"]
    assert_close(folded(BATCHES[1]), model(BATCHES[1]))


def test_convert_keeps_it_or_says_why_not():
    model = network().eval()
    expected = model(BATCHES[0])
    sn.convert_(model, "renorm")
    assert_close(model(BATCHES[0]), expected)
    assert model[1].channel_axis == -1
    for other in ("torch", "group"):
        with pytest.warns(sn.errors.NothingDoneWarning):
            report = sn.convert_(model, other)
        assert {row["why"] for row in report} == {"its features are the last axis, which the new kind does not take"}


def test_synchronize_pause_accumulate_and_biases():
    model = network()
    sn.synchronize_(model)
    assert model[1].channel_axis == -1
    sn.desynchronize_(model)
    before = model[1].running_mean.clone()
    with sn.paused_statistics(model):
        model(BATCHES[0])
    assert torch.equal(model[1].running_mean, before)
    with sn.accumulated_statistics(model):
        for x in BATCHES:
            model(x)
    assert not torch.equal(model[1].running_mean, before)
    model.eval()
    expected = model(BATCHES[0])
    report = sn.drop_redundant_biases_(model, BATCHES[0])
    assert [row["done"] for row in report] == ["dropped", "dropped"]
    assert_close(model(BATCHES[0]), expected)


def test_the_doctor_reads_the_right_axis():
    model = network()
    sn.recalibrate_(model, BATCHES)
    assert not sn.diagnose(model, BATCHES).at_least("warning")
    model[3].running_mean += 30
    assert {(one.rule, one.layer) for one in sn.diagnose(model, BATCHES).at_least("error")} == {("far-from-data", "3")}
