"""What every tool has from one place: which layers it takes, and what it says when it took none."""

import warnings

import pytest
import torch
from torch import nn

import steadynorm as sn
from steadynorm.errors import ArgumentError, NothingDoneWarning

X = torch.randn(4, 2, 3, 3)
PLAIN = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU()).eval()
TOOLS = {
    "convert": lambda model: sn.convert_(model, "batch"),
    "desynchronize": sn.desynchronize_,
    "fold": lambda model: sn.fold(model, X),
    "freeze": sn.freeze_,
    "merge": sn.merge_statistics_,
    "recalibrate": lambda model: sn.recalibrate_(model, [X]),
    "setting": lambda model: sn.batch_statistics(model).remove(),
    "synchronize": sn.synchronize_,
    "unfreeze": sn.unfreeze_,
}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_model_without_normalization_warns_where_the_tool_was_called(tool):
    with pytest.warns(NothingDoneWarning, match="0 of 0 .*: the model has no ") as said:
        tool(PLAIN)
    assert [warning.filename for warning in said] == [__file__]


def test_a_tool_that_changed_nothing_warns_once_with_the_commonest_reason():
    model = nn.Sequential(nn.LayerNorm(3), nn.GroupNorm(1, 2), nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.warns(NothingDoneWarning) as said:
        sn.freeze_(model)
    text = "froze 0 of 3 normalization layers: skipped, 2 of 3 because: is no batch norm"
    assert [str(warning.message) for warning in said] == [text]


def test_one_layer_changed_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sn.freeze_(nn.Sequential(nn.LayerNorm(3), nn.BatchNorm2d(2)))


def nested():
    return nn.ModuleDict({name: nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2)) for name in ("backbone", "head")})


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("backbone.*", ["backbone.0", "backbone.1"]),
        ("head.1", ["head.1"]),
        (["*.0", "head.*"], ["backbone.0", "head.0", "head.1"]),
        (lambda name, module: name.endswith("1"), ["backbone.1", "head.1"]),
    ],
)
def test_where_is_a_function_a_pattern_or_several(where, chosen):
    report = sn.freeze_(nested(), where=where)
    assert [row["layer"] for row in report if row["done"] != "skipped"] == chosen


def test_a_pattern_that_fits_nothing_warns():
    with pytest.warns(NothingDoneWarning, match="4 of 4 because: not selected"):
        sn.convert_(nested(), "batch", where="backbones.*")


@pytest.mark.parametrize("where", [3, [3], b"head"])
def test_anything_else_is_refused_before_a_change(where):
    model = nested()
    with pytest.raises(ArgumentError, match="where must be a function of name and module, a pattern such as"):
        sn.freeze_(model, where=where)
    assert all(type(layer) is nn.BatchNorm1d for layer in model.modules() if not list(layer.children()))
