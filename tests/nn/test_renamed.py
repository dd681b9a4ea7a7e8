"""What the version before wrote still loads, and its names still serve, with a warning."""

import pickle
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import steadynorm as sn

# A pickle of one layer of each method, written by the version whose files were nn/variants/… and nn/synchronization/….
OLD = Path(__file__).with_name("layers-0.1.0.pickle.zlib")


@pytest.fixture(scope="module")
def old():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ExampleWeighedBatchNorm2d is now called", DeprecationWarning)
        return pickle.loads(zlib.decompress(OLD.read_bytes()))


def test_old_pickles_name_the_old_files():
    text = zlib.decompress(OLD.read_bytes())
    for name in (b"steadynorm.nn.variants.ghost", b"steadynorm.nn.synchronization.layer", b"ExampleWeighedBatchNorm2d"):
        assert name in text


def test_layers_of_old_pickles_compute_as_they_did(old):
    with sn.nn.domain("one"), torch.no_grad():
        for name, y in old["outputs"].items():
            layer = old["model"][name]
            assert not layer.training
            assert_close(layer(old["x"]), y)
            assert type(layer).__module__.startswith("steadynorm.nn.")
            assert "variants" not in type(layer).__module__


def test_old_pickles_load_where_nothing_was_imported():
    code = (
        "import pickle, sys, zlib; print(len(pickle.loads(zlib.decompress(open(sys.argv[1], 'rb').read()))['outputs']))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(OLD)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["13"]


def test_layers_of_old_pickles_train_and_pickle_on(old):
    with sn.nn.domain("one"):
        for name in old["outputs"]:
            layer = pickle.loads(pickle.dumps(old["model"][name]))
            layer.train()(old["x"])
            repr(layer)
            fresh = type(layer).__init__  # the constructor is that of today's class
            assert fresh is getattr(sn.nn, type(layer).__name__).__init__


def test_a_lazy_layer_of_an_old_pickle_takes_its_size(old):
    layer = pickle.loads(pickle.dumps(old["model"]["lazy"]))
    layer(old["x"])
    assert type(layer) is sn.nn.BatchNorm2d
    assert layer.num_features == 2


def test_tuples_of_old_pickles_are_todays(old):
    assert type(old["noise"]) is sn.functional.Noise
    assert type(old["covariance"]) is sn.functional.Covariance


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_layers_by_their_old_names(dims):
    with pytest.warns(DeprecationWarning, match=f"is now called ExampleWeightedBatchNorm{dims}d"):
        kind = getattr(sn.nn, f"ExampleWeighedBatchNorm{dims}d")
    assert kind is getattr(sn.nn, f"ExampleWeightedBatchNorm{dims}d")


def test_the_function_by_its_old_name():
    with pytest.warns(DeprecationWarning, match="is now called example_weighted_norm"):
        function = sn.functional.example_weighed_norm
    assert function is sn.functional.example_weighted_norm


def test_the_method_by_its_old_name():
    model = torch.nn.Sequential(sn.nn.BatchNorm2d(3))
    with pytest.warns(DeprecationWarning, match="weighed is now called weighted") as caught:
        sn.convert_(model, to="weighed", alpha=0.5)
    assert caught[0].filename == __file__
    assert type(model[0]) is sn.nn.ExampleWeightedBatchNorm2d


def test_new_names_give_no_warning_and_unknown_ones_are_attribute_errors():
    assert sn.nn.ExampleWeightedBatchNorm2d is not None
    for module in (sn.nn, sn.functional, sn.nn.weighted):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            module.nothing  # noqa: B018
