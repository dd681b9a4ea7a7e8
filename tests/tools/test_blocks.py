"""What is made in the documents is what records, docstrings and the story say; and what the blocks say of records."""

import json
from pathlib import Path

import pytest
from tools.blocks import benches, claims, rules

import madeup
from steadynorm.doctor.rule import all_rules
from steadynorm.lab.catalogue import committed_records
from steadynorm.nn.catalogue import CATALOGUE
from tools import docs

ROOT = docs.ROOT
EMPTY = "# A\n\n<!-- table:one -->\n<!-- /table -->\n\ntext\n\n<!-- table:two -->\n<!-- /table -->\n"


def made_up() -> dict:
    record = madeup.record()
    record["environment"] |= {"processes": 2, "packages": {"torch": "9.9"}}
    return record


def test_nothing_is_stale() -> None:
    assert [page.relative_to(ROOT).as_posix() for page, _ in docs.stale()] == [], "run: make docs-text"


def test_a_stale_page_is_found_and_only_the_check_leaves_it(tmp_path: Path, monkeypatch, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("old")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "documents", lambda: iter([(page, "new"), (tmp_path / "docs" / "other.md", "made")]))
    with pytest.raises(SystemExit, match="make docs-text"):
        docs.main(["--check"])
    assert page.read_text() == "old"
    docs.main([])
    assert (page.read_text(), (tmp_path / "docs" / "other.md").read_text()) == ("new", "made")
    assert capsys.readouterr().out.splitlines() == ["page.md", "docs/other.md"] * 2
    docs.main(["--check"])


def test_a_block_fills_its_place_and_no_other() -> None:
    text = docs.fill(
        EMPTY, {"table:one": "| 1 |", "table:two": "[a](docs/methods/lp.md#b) and [c](https://d)"}, "docs/tools"
    )
    assert "<!-- table:one -->\n| 1 |\n\n<!-- /table -->\n\ntext\n" in text
    assert "[a](../methods/lp.md#b) and [c](https://d)" in text
    assert docs.fill(text, {"table:one": "| 2 |", "table:two": ""}, "").count("| 1 |") == 0


def test_filling_again_changes_nothing() -> None:
    made = {"table:one": "| 1 |", "table:two": "| 2 |"}
    text = docs.fill(EMPTY, made, "")
    assert docs.fill(text, made, "") == text


def test_an_unknown_block_is_an_error() -> None:
    with pytest.raises(SystemExit, match="received table:two"):
        docs.fill(EMPTY, {"table:one": ""}, "")


def test_a_record_without_a_place_is_an_error(monkeypatch) -> None:
    made = docs.blocks()
    monkeypatch.setattr(docs, "blocks", lambda: made | {"table:ladder-other": ""})
    with pytest.raises(SystemExit, match="ladder-other"):
        list(docs.documents())


def test_records_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "ladder").mkdir()
    (tmp_path / "ladder" / "digits.json").write_text(json.dumps(made_up()))
    (tmp_path / "speed.json").write_text("{}")
    assert set(docs.blocks(tmp_path)) == {"table:methods", "table:ladder-digits"}


def test_records_of_a_smaller_preset_are_not_taken_over(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(docs, "load_record", lambda _: {"records": [{"claim": "a/b", "preset": "quick"}]})
    with pytest.raises(SystemExit, match="received quick"):
        docs.take_over(tmp_path)


def test_every_method_has_a_card_with_its_cost_and_accuracy() -> None:
    cards = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "methods").glob("*.md")}
    assert cards.keys() == {method.name for method in CATALOGUE}
    made = docs.blocks()
    assert {f"cost:{name}" for name in cards} - made.keys() == {"cost:sync"}  # whose card shows a record of its own
    for name, text in cards.items():
        for block in (f"cost:{name}", f"measured:{name}"):
            assert (f"<!-- {block} -->" in text) == (block in made)


def test_every_claim_has_a_section() -> None:
    for id in committed_records():
        if "/" in id:
            theme, _, name = id.partition("/")
            assert f"\n## {name}\n" in (ROOT / "docs" / "claims" / f"{theme}.md").read_text(encoding="utf-8")


def test_every_rule_says_when_it_fires() -> None:
    for id, rule in all_rules().items():
        assert rule.title, id
        assert f"## {id}\n" in rules.page()
        assert set(rule.supersedes) <= set(all_rules())
        assert set(rule.needs) <= set(rules.NEEDED)
    assert f"ask {len(all_rules())} rules" in (ROOT / "docs" / "tools" / "diagnose.md").read_text()


def test_a_cost_that_changes_changes_the_card() -> None:
    row = {"method": "lp", "forward+backward ms": 3.0, "inference ms": 1.0}
    row |= {"times batch norm": 2.5, "inference, times batch norm": 0.5}
    here = {"packages": {"torch": "9.9"}, "processor": "made up", "threads": 2}
    record = {"rows": [row, row | {"method": "batch"}], "shape": [2, 3], "created": "2030-01-01", "environment": here}
    text = benches.costs(record)["lp"]
    assert "3 ms and inference 1 ms, 2.5 and 0.5 times batch norm's. Measured 2030-01-01" in text


def small_batches() -> dict:
    def result(arm: str, m: int | None, seed: int, **found: float) -> dict:
        return {"arm": arm, "m": m, "rate": 0.1, "seed": seed} | found

    results = [result("batch", m, seed, test=test + 0.02 * seed) for m, test in ((8, 0.5), (2, 0.3)) for seed in (1, 2)]
    results[0]["test weighted"] = results[1]["test weighted"] = 0.55
    results += [result("l1", 8, 1, test=0.4), result("l1", 8, 2, diverged_at=7), result("l1", 2, 1, diverged_at=3)]
    results += [result("group", None, 1, test=0.6)]
    return {
        "results": results,
        "steps": 5,
        "rates": [0.1, 0.2],
        "created": "2030-01-01",
        "environment": {"packages": {"torch": "9.9"}},
    }


def test_small_batches() -> None:
    text = benches.TABLES["small-batches"](small_batches())
    assert "| arm | m = 8 | m = 2 | any m |" in text
    assert "| batch | 53.0 ± 1.4 | 33.0 ± 1.4 | - |" in text
    assert "| batch, weighted | 55.0 ± 0.0 | - | - |" in text
    assert "| l1 | 40.0 (1 diverged) | diverged | - |" in text
    assert "| group | - | - | 60.0 |" in text
    assert "5 steps of 64 images" in text
    card = benches.measured(small_batches())["lp"]
    assert "in per cent: 40.0 (1 diverged) at m = 8, diverged at m = 2; batch norm: 53.0 ± 1.4 at m = 8" in card


def test_a_ladder() -> None:
    text = claims.ladder(made_up())
    assert "| BN-x5 | 0.15 | 125 | 100 – 150 | 3.8 |" in text
    assert "| Inception-Sigmoid | 0.15 | diverged at step 150 | - |" in text
    assert "preset smoke, torch 9.9, made-up <processor> & co, 2 processes" in text
    assert made_up()["reading"] in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in table}) == 1
    assert len(table) == 2 + len(madeup.ARMS)


def bench_rows() -> list[dict]:
    layers = {"shape": "2×3×4×4", "activation": "relu", "rounds": 9, "torch ms": 8.0, "quartiles": [1.5, 2.5]}
    layers |= {"torch.compile ms": None, "steadynorm ms": 4.0, "copies": 3.25}
    return [
        {**layers, "work": "forward+backward", "layout": "contiguous", "speed-up": 2.0},
        {**layers, "work": "forward+backward", "layout": "contiguous", "speed-up": 8.0},
        {**layers, "work": "forward+backward", "layout": "channels_last", "speed-up": 3.0},
        {**layers, "work": "inference", "layout": "contiguous", "speed-up": 0.8, "activation": "silu"},
    ]


def bench(rows: list[dict]) -> dict:
    environment = {"packages": {"torch": "9.9"}, "processor": "made up", "threads": 2}
    return {"schema": "steadynorm.bench/1", "created": "2026-01-02T03:04:05", "environment": environment, "rows": rows}


def test_layers_show_losses_beside_wins() -> None:
    text = benches.TABLES["layers"](bench(bench_rows()))
    assert "| 2×3×4×4 | contiguous | 8 | - | 4 | 2.00 | 1.50 – 2.50 | 3.2 |" in text
    assert "4.00 contiguous and 3.00 channels_last" in text
    assert "Of all 4 cases" in text
    assert "faster in 1: 2×3×4×4 contiguous, inference, silu (0.80)." in text
    assert "Measured 2026-01-02, medians of 9 interleaved rounds, torch 9.9, made up, 2 threads." in text
    assert text.count("forward+backward") == 0


def test_steps() -> None:
    row = {
        "network": "N",
        "layout": "contiguous",
        "torch ms": 90.0,
        "steadynorm ms": 60.0,
        "speed-up": 1.5,
        "rounds": 9,
    }
    row |= {"quartiles": [1.4, 1.6], "share of norms": 0.42, "taken back": 0.8}
    row |= {"torch peak MB": 100.4, "steadynorm peak MB": 80.0, "without norms ms": 52.2}
    text = benches.TABLES["steps"](bench([row]))
    assert "| N | contiguous | 90 | 60 | 1.50 | 1.40 – 1.60 | 42 | 80 | 100 | 80 |" in text
