"""Conditional batch norm as a layer: the block, the table, and what tools make of it."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError, ShapeError
from steadynorm.nn.conditional import active_classes
from surgery_models import NOTHING_DONE


def make(classes=3, **options):
    torch.manual_seed(0)
    layer = sn.nn.ConditionalBatchNorm2d(4, num_classes=classes, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def test_each_example_has_the_scale_of_its_class():
    layer, x = make(), torch.randn(6, 4, 3, 3)
    plain = nn.BatchNorm2d(4, affine=False)
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    for training in (True, False):
        with sn.nn.condition(labels):
            y = layer.train(training)(x)
        z = plain.train(training)(x)
        expected = z * layer.class_weight[labels][..., None, None] + layer.class_bias[labels][..., None, None]
        assert_close(y, expected)
        assert_close(layer.running_var, plain.running_var)


def test_a_class_gets_the_gradient_of_its_examples_only():
    layer = make()
    with sn.nn.condition(torch.tensor([0, 0, 2, 2])):
        layer(torch.randn(4, 4, 3, 3)).square().sum().backward()
    assert (layer.class_weight.grad[[0, 2]] != 0).all()
    assert (layer.class_weight.grad[1] == 0).all()


def test_it_starts_and_restarts_as_batch_norm():
    layer, x = sn.nn.ConditionalBatchNorm2d(4, num_classes=3), torch.randn(6, 4, 3, 3)
    for _ in range(2):
        with sn.nn.condition(torch.tensor([0, 2, 1, 1, 0, 2])):
            assert_close(layer(x), nn.BatchNorm2d(4)(x))
        nn.init.normal_(layer.class_weight)
        layer.reset_parameters()
    assert repr(layer) == (
        "ConditionalBatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, num_classes=3)"
    )


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}])
def test_without_scale_or_shift(options):
    layer = make(**options)
    assert layer.class_bias is None
    with sn.nn.condition(1):
        layer(torch.randn(4, 4, 3, 3))


def test_blocks_nest_and_are_each_threads_own():
    layer = make()
    with sn.nn.condition(1):
        with sn.nn.condition(2):
            assert layer.classes == 2
        assert layer.classes == 1
        seen = []
        thread = threading.Thread(target=lambda: seen.append(active_classes()))
        thread.start()
        thread.join()
        assert seen == [None]
    with pytest.raises(ModelError, match=r"inside with steadynorm.nn.condition"):
        layer(torch.randn(4, 4, 3, 3))


def test_bad_classes_change_nothing():
    layer = make()
    before = copy.deepcopy(layer.state_dict())
    x = torch.randn(4, 4, 3, 3)
    for classes, error in ((3, ArgumentError), (torch.tensor([0, 1]), ShapeError)):
        with sn.nn.condition(classes), pytest.raises(error):
            layer(x)
    with pytest.raises(ArgumentError, match="received str"), sn.nn.condition("cat"):
        pass
    with pytest.raises(ArgumentError, match="num_classes must be an integer"):
        make(0)
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, where a graph breaks
def test_compiled_with_graph_breaks():
    layer, x = make(), torch.randn(4, 4, 3, 3)
    twin = copy.deepcopy(layer)
    with sn.nn.condition(torch.tensor([0, 1, 2, 0])):
        assert_close(torch.compile(layer, backend="aot_eager")(x), twin(x))
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("wrong", [-1, 3])
def test_compiled_a_class_out_of_range_still_raises(wrong):
    layer = make()
    with sn.nn.condition(torch.tensor([0, 1, wrong, 0])), pytest.raises((IndexError, RuntimeError)):
        torch.compile(layer, backend="eager")(torch.randn(4, 4, 3, 3))
    torch._dynamo.reset()


@NOTHING_DONE
def test_tools_know_it_or_say_why_not():
    layer = make()
    model = nn.Sequential(nn.Conv2d(3, 4, 1), layer)
    batches = [torch.randn(8, 3, 5, 5) for _ in range(4)]

    def run(model, batch):
        with sn.nn.condition(torch.arange(8) % 3):
            return model(batch)

    sn.recalibrate_(model, batches, forward=run)
    x = model[0](torch.cat(batches))
    assert_close(layer.running_mean, x.mean((0, 2, 3)))
    assert not sn.diagnose(model, batches, forward=run).at_least("warning")
    with sn.paused_statistics(model):
        run(model.train(), batches[0])
    assert int(layer.num_batches_tracked) == 4
    (row,) = sn.freeze_(model)
    assert "otherwise than by a mean and a variance" in row["why"]
    (row,) = sn.synchronize_(model)
    assert row["done"] == "skipped"
    with sn.nn.condition(1):
        _, report = sn.fold(model.eval(), batches[0])
    assert [row["done"] for row in report] == ["kept"]
    decayed, others = sn.parameter_groups(model, 0.1)
    assert layer.class_weight in set(others["params"])
    assert layer.class_weight not in set(decayed["params"])
