"""Virtual batch norm in a network: the reference comes first, and companions do not matter."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ShapeError
from surgery_models import NOTHING_DONE


def network(size=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        sn.nn.VirtualBatchNorm2d(5, reference_size=size, activation="relu"),
        nn.Conv2d(5, 6, 3),
        sn.nn.VirtualBatchNorm2d(6, reference_size=size, momentum=1.0),
    )


def test_in_training_an_output_depends_on_reference_and_itself():
    model, reference, x = network(), torch.randn(4, 3, 8, 8), torch.randn(6, 3, 8, 8)
    y = model(torch.cat([reference, x]))[4:]
    for i in range(6):
        assert_close(model(torch.cat([reference, x[i : i + 1]]))[4:], y[i : i + 1])


def test_evaluation_with_the_last_statistics_is_training():
    model, reference, x = network(), torch.randn(4, 3, 8, 8), torch.randn(6, 3, 8, 8)
    model[1].momentum = 1.0
    y = model(torch.cat([reference, x]))[4:]
    for layer, values in ((model[1], 4 * 36), (model[3], 4 * 16)):  # what is stored is the unbiased variance
        layer.running_var *= (values - 1) / values
    assert_close(model.eval()(x), y)


def test_a_reference_of_one_value_is_refused_before_anything_changes():
    layer = sn.nn.VirtualBatchNorm1d(3, reference_size=1)
    with pytest.raises(ShapeError, match="of which the reference batch holds 1 example"):
        layer(torch.randn(5, 3))
    assert int(layer.num_batches_tracked) == 0
    layer(torch.randn(5, 3, 2))
    with pytest.raises(ArgumentError, match="reference_size"):
        sn.nn.VirtualBatchNorm1d(3, reference_size=0)


@NOTHING_DONE
def test_tools_know_it_or_say_why_not():
    model, batches = network(), [torch.randn(8, 3, 8, 8) for _ in range(4)]
    report = sn.recalibrate_(model, batches)
    assert all("keeps the statistics of its reference batch" in row["why"] for row in report)
    report = sn.freeze_(model)
    assert all("otherwise than by a mean and a variance" in row["why"] for row in report)
    _, report = sn.fold(model.eval(), batches[0])
    assert [row["done"] for row in report] == ["kept", "kept"]
    assert [row["done"] for row in sn.synchronize_(model)] == ["skipped", "skipped"]
    assert sn.diagnose(model, batches).ran
