"""batch_statistics and single_values: what they change for a while, and that nothing of it remains."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ShapeError
from steadynorm.nn import condition, domain
from steadynorm.nn.catalogue import CATALOGUE
from surgery_models import DATA, NOTHING_DONE, assert_unchanged, network, state_of

NORMS = pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])
BY_BATCH = [method for method in CATALOGUE if method.by_batch and not method.complex]


def by_loops(layer, x):
    """γ (x − μ_B)/√(σ_B² + ε) + β, a feature at a time."""
    y = torch.empty_like(x)
    for c in range(x.shape[1]):
        mean = x[:, c].mean()
        var = (x[:, c] - mean).square().mean()
        y[:, c] = layer.weight[c] * (x[:, c] - mean) / (var + layer.eps).sqrt() + layer.bias[c]
    return y


@NORMS
def test_evaluation_by_the_batch(norms):
    layer = norms[0](2).double().eval()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(6, *DATA).double() * 3 + 2
    before = state_of(layer)
    usual = layer(x)
    with sn.batch_statistics(layer) as setting:
        assert_close(layer(x), by_loops(layer, x))
    assert setting.report.rows[0]["done"] == "set"
    assert_unchanged(layer, before)
    assert_close(layer(x), usual, rtol=0, atol=0)


@NORMS
@pytest.mark.parametrize("compiled", [False, True])
def test_dropout_stays_off_and_nothing_moves(norms, compiled):
    model, x = network(*norms).eval(), torch.randn(6, *DATA).double()
    model[4].p = 0.9
    train = copy.deepcopy(model).train()
    train[4].p = 0.0
    train[9].eval()  # overrides forward, and is left
    runner = torch.compile(model, backend="aot_eager") if compiled else model
    with torch.no_grad():
        usual, before = runner(x), state_of(model)
        with pytest.warns(UserWarning, match="stay as they are: 9"), sn.batch_statistics(runner):
            assert_close(runner(x), train(x))
        assert_unchanged(model, before)
        assert_close(runner(x), usual)


@NORMS
def test_gamma_and_beta_learn_as_in_training(norms):
    """What test-time adaptation does: gradients of γ and β under the batch's statistics."""
    layer = norms[1](3).double().eval()
    x, weights = torch.randn(8, 3).double() + 3, torch.randn(8, 3).double()
    with sn.batch_statistics(layer):
        (layer(x) * weights).sum().backward()
    given = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    (layer.train()(x) * weights).sum().backward()
    assert_close(given, [p.grad for p in layer.parameters()])


@NORMS
def test_layers_in_training_work_as_ever(norms):
    layer, x = norms[1](3), torch.randn(5, 3) + 2
    expected = copy.deepcopy(layer)
    y = expected(x)
    with sn.batch_statistics(layer):
        assert_close(layer(x), y)
    assert_close(layer.state_dict(), expected.state_dict())


@NORMS
def test_a_lasting_setting_is_removed_once(norms):
    layer, x = norms[1](3).eval(), torch.randn(5, 3) + 2
    kind, usual = type(layer), layer(x)
    first, second = sn.batch_statistics(layer), sn.batch_statistics(layer)
    assert layer.state_dict().keys() == kind(3).state_dict().keys()
    first.remove()
    first.remove()
    assert_close(layer(x).mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    second.remove()
    assert type(layer) is kind
    assert_close(layer(x), usual, rtol=0, atol=0)


@NORMS
def test_a_copy_keeps_the_setting(norms):
    layer, x = norms[1](3).eval(), torch.randn(5, 3) + 2
    with sn.batch_statistics(layer):
        copied, pickled = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    for one in (copied, pickled):
        assert_close(one(x).mean(0), torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", BY_BATCH, ids=lambda method: method.name)
def test_every_method_in_evaluation(method):
    """By the batch, without noise, with the running statistics of any value."""
    layer = method.layers[2](4, **method.options).eval().double()
    with torch.no_grad():
        for name, buffer in layer.named_buffers():
            if name.endswith("running_mean"):
                buffer.fill_(7.0)
    x = torch.randn(8, 4, 5, 5).double() + 2
    before = copy.deepcopy(layer.state_dict())
    with domain("one"), condition(0), sn.batch_statistics(layer):
        y = layer(x)
    assert_close(y.mean((0, 2, 3)), torch.zeros(4).double(), atol=1e-6, rtol=0)
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_what_is_left_says_why():
    class Own(nn.BatchNorm1d):
        def forward(self, x):
            return x

    model = nn.Sequential(
        nn.BatchNorm1d(3), Own(3), sn.nn.FrozenBatchNorm1d(3), nn.SyncBatchNorm(3), nn.GroupNorm(1, 3)
    )
    with pytest.warns(UserWarning, match="stay as they are: 1, 3"), sn.batch_statistics(model) as setting:
        assert type(model[0]) is sn.nn.BatchNorm1d
    why = [row.get("why") for row in setting.report.rows]
    assert why[0] is None
    assert why[1] == "Own overrides forward"
    assert why[2] == why[4] == "is no batch norm"
    assert "convert_" in why[3]
    assert type(model[0]) is nn.BatchNorm1d


def test_selected_layers_only():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3)).eval()
    with sn.batch_statistics(model, where=lambda name, module: name == "1"):
        assert [type(layer) for layer in model] == [nn.BatchNorm1d, sn.nn.BatchNorm1d]


@NORMS
@NOTHING_DONE
def test_tools_leave_what_is_set(norms):
    model, x = nn.Sequential(nn.Conv2d(2, 3, 1), norms[0](3)).eval(), torch.randn(4, *DATA)
    with sn.batch_statistics(model):
        assert "remove it first" in sn.freeze_(model).rows[0]["why"]
        folded, report = sn.fold(model, x)
        assert "batch_statistics" in report.rows[0]["why"]
        assert_close(folded(x), model(x))


@pytest.mark.parametrize("tool", [sn.batch_statistics, sn.single_values])
def test_no_module(tool):
    with pytest.raises(ArgumentError, match=r"must be a torch\.nn\.Module"):
        tool([nn.BatchNorm1d(3)])


# --- one value a feature ----------------------------------------------------------------------------------------------


@NORMS
def test_one_value_is_normalized_by_the_running_statistics(norms):
    layer = norms[1](3).double()
    for _ in range(3):
        layer(torch.randn(8, 3).double() + 2)
    before = copy.deepcopy(layer.state_dict())
    x = torch.randn(1, 3).double()
    expected = copy.deepcopy(layer).eval()(x)
    with sn.single_values(layer):
        assert_close(layer(x), expected)
        assert_close(layer.state_dict(), before, rtol=0, atol=0)
        layer(torch.randn(8, 3).double())
    assert int(layer.num_batches_tracked) == 4
    with pytest.raises(ValueError, match="more than 1 value"):
        layer(x)


@pytest.mark.parametrize("method", BY_BATCH, ids=lambda method: method.name)
def test_every_method_takes_one_value_by_choice(method):
    layer = method.layers[1](3, **method.options, single_value="running").double()
    x = torch.randn(1, 3, 1).double()
    state = copy.deepcopy(layer.state_dict())
    with domain("one"), condition(0):
        expected = copy.deepcopy(layer).eval()(x)
        assert_close(layer(x), expected)
        assert_close(layer.state_dict(), state, rtol=0, atol=0)
        assert layer(torch.randn(16, 3, 2).double()).shape == (16, 3, 2)
    assert any(int(v) == 1 for name, v in layer.state_dict().items() if name.endswith("num_batches_tracked"))


def test_gradients_of_one_value():
    layer = sn.nn.BatchNorm1d(3, single_value="running").double()
    x = torch.randn(1, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, x)


def test_without_running_statistics_there_is_no_choice():
    layer = sn.nn.BatchNorm1d(3, track_running_stats=False, single_value="running")
    with pytest.raises(ShapeError, match='single_value="running"'):
        layer(torch.randn(1, 3))


def test_the_option_is_checked_shown_and_carried():
    with pytest.raises(ArgumentError, match='"error" or "running"'):
        sn.nn.BatchNorm2d(3, single_value="ignore")
    assert "single_value" not in repr(sn.nn.BatchNorm2d(3))
    layer = sn.nn.BatchNorm2d(3, single_value="running")
    assert "single_value=running" in repr(layer)
    sn.convert_(layer, "ghost", ghost_batch_size=4)
    assert layer.single_value == "running"
    report = sn.convert_(layer, "torch")
    assert "single_value=running" in report.rows[0]["lost"]
    lazy = sn.nn.LazyBatchNorm2d(single_value="running")
    assert lazy(torch.randn(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_a_pooled_branch_of_one_image():
    """DeepLab's image-level branch: 1×1 maps, whatever the image's size."""
    branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.randn(1, 2, 8, 8)
    with pytest.raises(ValueError, match="more than 1 value"):
        branch(x)
    with sn.single_values(branch):
        branch(x).sum().backward()
    assert branch[1].weight.grad is not None
