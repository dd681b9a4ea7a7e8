"""What a first-time user gets wrong: it is refused at once, and the message knows the way."""

import pytest
import torch
from torch import nn

import steadynorm as sn
from steadynorm.errors import ArgumentError, ChannelError, ShapeError
from steadynorm.nn.catalogue import CATALOGUE


@pytest.mark.parametrize("kind", [sn.nn.BatchNorm2d, sn.nn.FrozenBatchNorm2d, sn.nn.SyncBatchNorm, sn.nn.IterNorm1d])
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_features": 0}, "num_features must be 1 or more, received 0"),
        ({"eps": -1.0}, "eps must be 0 or more, received -1.0"),
        ({"momentum": 1.5}, "momentum must be between 0 and 1, or None, received 1.5"),
        ({"momentum": -0.1}, "momentum must be between 0 and 1, or None, received -0.1"),
    ],
)
def test_settings_are_refused_at_construction(kind, settings, text):
    with pytest.raises(ArgumentError, match=text):
        kind(**{"num_features": 3} | settings)


def test_settings_at_the_ends_are_taken():
    for momentum in (0, 1, None):
        sn.nn.BatchNorm1d(1, eps=0, momentum=momentum)
    sn.nn.LazyBatchNorm1d()(torch.randn(4, 3))


@pytest.mark.parametrize("name", sn.nn.ACTIVATIONS)
def test_an_activation_may_be_torchs_module(name):
    kinds = {
        "relu": nn.ReLU(inplace=True),
        "leaky_relu": nn.LeakyReLU(),
        "silu": nn.SiLU(),
        "gelu": nn.GELU(),
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
        "hardswish": nn.Hardswish(),
        "relu6": nn.ReLU6(),
    }
    for layer in (sn.nn.BatchNorm2d, sn.nn.FrozenBatchNorm2d):
        assert layer(3, activation=kinds[name]).activation == name
    assert sn.nn.LazyBatchNorm2d(activation=kinds[name]).activation == name
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(sn.nn.BatchNorm2d(3, activation=name)(x), kinds[name](nn.BatchNorm2d(3)(x)))


@pytest.mark.parametrize("other", [nn.LeakyReLU(0.2), nn.GELU("tanh"), nn.ELU(), nn.Hardtanh(), nn.ReLU])
def test_another_module_is_refused(other):
    with pytest.raises(ArgumentError, match=r"activation must be None or one of relu, .* or torch's module of it"):
        sn.nn.BatchNorm2d(3, activation=other)


def test_errors_in_torchs_words_name_the_layer_and_a_way_out():
    model = nn.Sequential(nn.Identity(), sn.nn.BatchNorm2d(3))
    with pytest.raises(
        ShapeError, match=r"expected 4D input \(got 3D input\)\nThe layer is '1' .*: add the missing axes"
    ):
        model(torch.randn(2, 3, 4))
    with pytest.raises(ChannelError, match=r"should contain 4 elements not 3\nThe layer is '1' .*: permute it"):
        model(torch.randn(2, 4, 3, 3))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("recalibrate", "recalibrate_"), ("BatchNorm2d", "nn.BatchNorm2d"), ("convert_sync_batchnorm", "synchronize_")],
)
def test_a_wrong_name_is_answered_with_the_right_one(wrong, right):
    with pytest.raises(AttributeError, match=rf"has no attribute '{wrong}'; did you mean '{right}'\?"):
        getattr(sn, wrong)
    assert not hasattr(sn, "nothing_like_it")


def test_a_wrong_kind_or_figure_is_answered_with_the_right_one():
    with pytest.raises(ArgumentError, match=r"did you mean 'group'\?"):
        sn.convert_(nn.BatchNorm2d(2), "groupnorm")
    with pytest.raises(ArgumentError, match=r"did you mean 'saturation'\?"):
        sn.figure("saturatoin")


# --- input that no layer takes: the layer and the way out -------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_integers(training):
    with pytest.raises(sn.errors.DtypeError, match=r"not implemented for torch.int64\nThe layer is .*\.float\(\)"):
        sn.nn.BatchNorm1d(3).train(training)(torch.zeros(4, 3, dtype=torch.int64))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout):
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=layout)
    with pytest.raises(sn.errors.ShapeError, match=r"takes no nested tensor(.|\n)*mask="):
        sn.nn.BatchNorm1d(3)(nested)


def test_vmap_names_the_pause_inside_which_it_works():
    layer, x = sn.nn.BatchNorm1d(3), torch.randn(4, 5, 3)
    with pytest.raises(sn.errors.ModelError, match="inside steadynorm"):
        torch.func.vmap(layer)(x)
    assert int(layer.num_batches_tracked) == 0
    with sn.paused_statistics(layer):
        y = torch.func.vmap(layer)(x)
    torch.testing.assert_close(y[0], torch.nn.BatchNorm1d(3)(x[0]))


def test_folding_in_inference_mode_leaves_parameters_that_train():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    with torch.inference_mode():
        folded, _ = sn.fold(model, torch.randn(1, 3, 6, 6))
    folded(torch.randn(1, 3, 6, 6)).sum().backward()
    assert folded[0].weight.grad is not None


@pytest.mark.parametrize("method", CATALOGUE, ids=lambda m: m.name)
def test_help_explains_the_arguments_of_each_layer(method):
    for layer in method.layers.values():
        assert "Args:" in layer.__doc__
        assert "Raises:" in layer.__doc__
        assert "all else as in" not in layer.__doc__
