"""What torch.export makes of our layers: the graph of torch's, node for node, and programs that compute the same."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.nn.catalogue import CATALOGUE

SHAPES = {1: (5, 3, 6), 2: (5, 3, 4, 4), 3: (5, 3, 2, 4, 3)}
OPTIONS = ({}, {"bias": False}, {"affine": False}, {"track_running_stats": False}, {"momentum": 0.3, "eps": 1e-3})


def pair(dims=2, **options):
    """Return torch's layer and ours, of the same parameters and statistics, none of them trivial."""
    torch.manual_seed(0)
    theirs = getattr(nn, f"BatchNorm{dims}d")(3, **options)
    for v in theirs.state_dict().values():
        if v.is_floating_point():
            v.uniform_(0.5, 1.5)
    ours = getattr(sn.nn, f"BatchNorm{dims}d")(3, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def nodes(model, *inputs, strict=False):
    """Return what is computed: each operator with its arguments, the values among them by their place in the graph."""
    graph = torch.export.export(model, inputs, strict=strict).graph
    place = {}
    for node in graph.nodes:
        if node.op == "placeholder" and node.users:
            place[node] = f"input {node.name}"
        elif node.op != "placeholder":
            place[node] = f"value {sum(name.startswith('value') for name in place.values())}"
    return [
        (node.op, node.target, *torch.fx.map_arg((node.args, node.kwargs), place.__getitem__))
        for node in place
        if node.op != "placeholder"
    ]


def classes(model, *inputs):
    """Return for each operator of the graph the class that it is said to be of, as quantizers ask."""
    graph = torch.export.export(model, inputs).graph
    calls = (node for node in graph.nodes if node.op == "call_function")
    return [(str(node.target), list(node.meta["nn_module_stack"].values())[-1][1]) for node in calls]


class Tail(nn.Module):
    """Torch's layer, with what ours does behind it."""

    def __init__(self, layer, activation):
        super().__init__()
        self.layer, self.activation = layer, activation

    def forward(self, x, residual):
        return self.activation(self.layer(x) + residual)


class Held(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, residual):
        return self.layer(x, residual=residual)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_graph_is_torchs(dims, options, training):
    theirs, ours = (nn.Sequential(layer).train(training) for layer in pair(dims, **options))
    x = torch.randn(SHAPES[dims])
    expected = nodes(theirs, x)
    assert any("batch_norm" in str(target) for _, target, *_ in expected)
    assert nodes(ours, x) == expected
    if dims == 2:
        assert nodes(ours, x, strict=True) == nodes(theirs, x, strict=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ["relu", "silu", "hardswish"])
def test_residual_and_activation_come_behind_as_torchs_operators(activation, training):
    theirs, ours = pair()
    ours.activation = activation
    theirs, ours = Tail(theirs, getattr(F, activation)).train(training), Held(ours).train(training)
    x, residual = torch.randn(2, *SHAPES[2])
    assert nodes(ours, x, residual) == nodes(theirs, x, residual)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_graph_says_that_it_is_of_torchs_class(dims, training):
    theirs, ours = (nn.Sequential(layer, nn.Sequential(layer)).train(training) for layer in pair(dims))
    x = torch.randn(SHAPES[dims])
    expected = classes(theirs, x)
    assert ("aten.batch_norm.default", f"torch.nn.modules.batchnorm.BatchNorm{dims}d") in expected
    assert classes(ours, x) == expected


def test_activation_and_residual_are_said_to_be_apart():
    _, ours = pair()
    ours.activation = "silu"
    model = nn.ModuleDict({"a": ours, "b": Held(ours)})
    model.forward = lambda x: model["b"](model["a"](x), x)  # the same layer twice
    x = torch.randn(SHAPES[2])
    norm = (
        ("aten.add_.Tensor", "torch.nn.modules.batchnorm.BatchNorm2d"),
        (
            "aten.batch_norm.default",
            "torch.nn.modules.batchnorm.BatchNorm2d",
        ),
    )
    silu = ("aten.silu.default", "torch.nn.modules.activation.SiLU")
    add = ("aten.add.Tensor", "steadynorm.nn.batchnorm.BatchNorm2d")
    assert classes(model, x) == [*norm, silu, *norm, add, silu]


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`:FutureWarning")
@pytest.mark.parametrize("training", [True, False])
def test_a_program_unflattens_and_loads(training, tmp_path):
    _, ours = pair()
    ours.activation = "silu"
    model = Tail(nn.Sequential(nn.Conv2d(3, 3, 1), ours), torch.relu).train(training)
    x, residual = torch.randn(2, *SHAPES[2])
    program = torch.export.export(model, (x, residual))
    expected = copy.deepcopy(model)(x, residual)
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = torch.export.load(tmp_path / "m.pt2")
    assert_close(loaded.module()(x, residual), expected)
    assert_close(torch.export.unflatten(loaded)(x, residual), expected)


@pytest.mark.parametrize("affine_frozen", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_frozen_layer_is_torchs_in_evaluation(training, affine_frozen):
    theirs, _ = pair()
    ours = nn.Sequential(copy.deepcopy(theirs)).train(training)
    sn.freeze_(ours, affine=affine_frozen)
    x = torch.randn(SHAPES[2])
    assert nodes(ours, x) == nodes(nn.Sequential(theirs).eval(), x)


@pytest.mark.parametrize("name", ["ghost", "renorm", "lp", "noisy", "sync"])
def test_other_methods_are_torchs_in_evaluation(name):
    theirs, _ = pair()
    (row,) = (method for method in CATALOGUE if method.name == name)
    ours = row.layers[2](3, **row.options)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    x = torch.randn(SHAPES[2])
    assert nodes(nn.Sequential(ours.eval()), x) == nodes(nn.Sequential(theirs.eval()), x)


def test_paused_statistics_do_not_move_in_the_program():
    theirs, ours = (nn.Sequential(layer) for layer in pair())
    x = torch.randn(SHAPES[2])
    with sn.paused_statistics(ours):
        program = torch.export.export(ours, (x,)).module()
    before = copy.deepcopy(dict(program.named_buffers()))
    assert_close(program(x), theirs(x))
    assert_close(dict(program.named_buffers()), before, rtol=0, atol=0)


@pytest.mark.parametrize("options", [*OPTIONS, {"momentum": None}], ids=str)
def test_a_program_in_training_moves_the_statistics_as_torchs_layer_does(options):
    theirs, ours = (nn.Sequential(layer) for layer in pair(**options))
    example = torch.randn(SHAPES[2])
    program = torch.export.export(ours, (example,)).module()
    for _ in range(3):
        x = torch.randn(SHAPES[2]) * 2 + 1
        assert_close(program(x), theirs(x))
        for name, v in theirs.state_dict().items():
            assert_close(program.state_dict()[name], v)


def test_gradients_pass_through_a_program():
    theirs, ours = (nn.Sequential(layer) for layer in pair())
    x = torch.randn(SHAPES[2])
    program = torch.export.export(ours, (x,)).module()
    for model in (program, theirs):
        (model(x) ** 3).sum().backward()
    for name, v in theirs.named_parameters():
        assert_close(program.get_parameter(name).grad, v.grad)


@pytest.mark.parametrize("training", [True, False])
def test_sixteen_bit_parameters_are_widened_where_torchs_operator_wants_it(training):
    ours = nn.Sequential(pair()[1]).half().train(training)
    reference = copy.deepcopy(ours)
    x = torch.randn(SHAPES[2]).half()
    program = torch.export.export(ours, (x,)).module()
    assert_close(program(x), reference(x))
    assert program.state_dict()["0.running_mean"].dtype == torch.float32


def test_a_batch_is_not_guarded_in_a_program_as_in_torchs():
    theirs, ours = (nn.Sequential(layer) for layer in pair())
    x = torch.randn(SHAPES[2])
    program = torch.export.export(copy.deepcopy(ours), (x,)).module()  # which shares its buffers with what it is of
    x[0, 1] = torch.nan
    theirs(x), program(x)
    assert_close(program.state_dict()["0.running_mean"], theirs[0].running_mean, equal_nan=True)
    assert program.state_dict()["0.running_mean"].isnan().tolist() == [False, True, False]
    ours(x)  # the layer itself still refuses the feature
    assert not ours[0].running_mean.isnan().any()
