"""The table of a network says what torch counts, and where the paper disagrees."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from steadynorm.lab.describe import describe, layers
from steadynorm.lab.network import Network, NetworkOptions
from steadynorm.lab.recipes import RECIPES, SOURCES, find, settings

FULL = NetworkOptions(classes=1000)


def on_meta(options):
    with torch.device("meta"):
        return Network(options)


@pytest.mark.parametrize("changes", [{}, {"table": "printed", "stem": "paper-full"}, {"batch_norm": False}])
def test_every_parameter_and_multiply_add_is_in_a_row(changes):
    options = replace(FULL, **changes)
    rows, network = layers(options, 224), on_meta(options)
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in network.parameters())
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert 2 * sum(row["multiply-adds"] for row in rows) == counter.get_total_flops()


def test_rows_follow_the_papers_table():
    rows = list(dict.fromkeys(row["row"] for row in layers(FULL, 224)))
    assert rows == ["stem", "3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "head"]
    assert [row["what"] for row in layers(FULL, 224)][:3] == ["conv 7×7/2 depthwise", "conv 1×1/1", "batch norm"]
    assert sum(row["what"].startswith("conv") for row in layers(FULL, 224)) == 70  # 69, and one more for the separable


def test_the_discrepancies_are_told():
    notes = " ".join(describe("x", FULL, 224).notes)
    for number in (
        "13.6 million",
        "11,295,240",
        "11,285,224",
        "11,278,528",
        "4c 608 (printed 576)",
        "1056 (printed 1024)",
    ):
        assert number in notes
    assert "none" in describe("x", replace(FULL, table="printed"), 224).notes[0]


def test_the_full_size_recipes_are_the_papers():
    full = {name: recipe for name, recipe in RECIPES.items() if name.startswith("imagenet/")}
    rates = {name.removeprefix("imagenet/"): recipe.learning_rate for name, recipe in full.items()}
    assert rates == {
        "inception": 0.0015,
        "bn-baseline": 0.0015,
        "bn-x5": 0.0075,
        "bn-x30": 0.045,
        "bn-x5-sigmoid": 0.0075,
    }
    for name, chosen in full.items():
        assert set(settings(chosen)) == set(SOURCES)
        assert chosen.network().stem == "paper"
        assert chosen.recipe.batch_size == 32
        changed = name.removeprefix("imagenet/") not in ("inception", "bn-baseline")
        base = find("imagenet/inception").recipe
        assert (chosen.recipe.dropout == 0) == changed
        assert (chosen.recipe.local_response_norm is False) == changed
        assert (chosen.recipe.shuffling == "examples") == changed
        assert (chosen.recipe.distortion < base.distortion) == changed
        assert chosen.recipe.weight_decay == pytest.approx(base.weight_decay / (5 if changed else 1))


def test_the_rate_decays_six_times_faster():
    def halving(name):
        chosen = find(name)
        return chosen.steps / chosen.recipe.halvings

    assert halving("imagenet/bn-x5") == pytest.approx(halving("imagenet/inception") / 6)
    # 4 % less every eight epochs of 1,281,167 images in batches of 32
    assert 0.5 ** (8 * 1_281_167 / 32 / halving("imagenet/inception")) == pytest.approx(0.96)
