"""Small batches: every number and every dot against the committed record, read by this file."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest
from playwright.sync_api import Page

from browsing import read
from steadynorm.pages.explainer import batches as it

RECORD = json.loads((Path(__file__).resolve().parents[3] / "results/bench/small-batches.json").read_text())
SIZES = (2, 4, 16, 64)


def found(name: str, m: int) -> list[float]:
    arm, kind = it.ARMS[name]
    return [100 * r[kind] for r in RECORD["results"] if r["arm"] == arm and r["m"] in (m, None)]


@pytest.mark.parametrize("group", range(len(it.GROUPS)))
def test_every_number_is_the_records(page: Page, group: int) -> None:
    names = (it.BATCH, *list(it.GROUPS.values())[group])
    states = [{"group": group, "size": size} for size in range(len(SIZES))]
    for m, shown in zip(SIZES, read(page, "batches", states), strict=True):
        for slot, name in enumerate(names):
            values = found(name, m)
            assert len(values) == 3
            value, text = shown[str(slot)]
            assert float(value) == pytest.approx(fmean(values), rel=1e-6)
            told = [float(number) for number in re.fullmatch(r"(\S+) % \((\S+) to (\S+)\)", text).groups()]
            assert told == pytest.approx(
                [fmean(values), min(values), max(values)], abs=0.0501
            )  # a half goes either way
            assert f"{name} {told[0]:.1f} %" in shown["sentence"]
        hidden = page.eval_on_selector_all("#batches .readouts > div", "all => all.map(one => one.hidden)")
        assert hidden == [slot >= len(names) for slot in range(5)]
        labels = page.eval_on_selector_all("#batches dt", "all => all.map(one => one.textContent)")
        assert [label.strip() for label in labels[: len(names)]] == list(names)


def test_every_arm_of_the_record_is_shown() -> None:
    assert {arm for arm, _ in it.ARMS.values()} == {result["arm"] for result in RECORD["results"]}
    shown = [name for members in it.GROUPS.values() for name in members]
    assert sorted([it.BATCH, *shown]) == sorted(it.ARMS)


def test_every_dot_stands_at_its_number(page: Page) -> None:
    read(page, "batches", [{"group": 2, "size": 1}])
    drawn = page.eval_on_selector_all("#batches .cross", "all => all.map(one => one.getAttribute('d'))")
    names = (it.BATCH, *it.GROUPS["no batch"])
    for name, path in zip(names, drawn, strict=True):
        heights = [float(y) for y in re.findall(r"M\S+ ([-\d.]+)a", path)]
        expected = page.evaluate(
            "values => values.map(document.getElementById('batches').panel.y)", [fmean(found(name, m)) for m in SIZES]
        )
        assert heights == pytest.approx(expected, abs=0.01)


def test_what_the_story_says() -> None:
    facts = it.build().facts
    assert facts["batch_least"] == f"{fmean(found(it.BATCH, 2)):.1f}"
    assert facts["group"] == f"{fmean(found('group norm', 64)):.1f}"
    assert float(facts["batch_least"]) < float(facts["recalibrated_least"]) < float(facts["renorm_least"])
    assert float(facts["group"]) < float(facts["batch_least"]), "the sentence that group norm never comes as far"
