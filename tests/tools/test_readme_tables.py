"""README's tables are what the committed records say."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import madeup

ROOT = Path(__file__).resolve().parents[2]
EMPTY = (
    "# A\n\n<!-- table:ladder-digits -->\n<!-- /table -->\n\ntext\n\n<!-- table:ladder-cifar10 -->\n<!-- /table -->\n"
)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = spec_from_file_location("readme_tables", ROOT / "tools" / "readme_tables.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up() -> dict:
    record = madeup.record()
    record["environment"] |= {"processes": 2, "packages": {"torch": "9.9"}}
    return record


def test_readme_is_up_to_date(tool: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == tool.fill(text, tool.committed()), "run: make tables"


def test_every_method_has_a_card_and_the_cards_are_up_to_date(tool: ModuleType) -> None:
    costs = json.loads((ROOT / "benchmarks" / "methods.json").read_text(encoding="utf-8"))
    small = json.loads(tool.SMALL_BATCHES.read_text(encoding="utf-8"))
    cards = {path.stem: path.read_text(encoding="utf-8") for path in tool.CARDS.glob("*.md")}
    assert cards.keys() == {method.name for method in tool.CATALOGUE}
    measured = {row["method"] for row in costs["rows"]}
    assert cards.keys() - measured == {"sync"}  # whose card shows a record of its own
    arms = {result["arm"] for result in small["results"]}
    for name, text in cards.items():
        assert (f"<!-- cost:{name} -->" in text) == (name in measured)
        assert (f"<!-- measured:{name} -->" in text) == (tool.ARMS.get(name, name).partition(",")[0] in arms)
        assert tool.fill_card(text, costs, small) == text, "run: make tables"


def test_a_cost_that_changes_changes_the_card(tool: ModuleType) -> None:
    row = {"method": "lp", "forward+backward ms": 3.0, "inference ms": 1.0}
    row |= {"times batch norm": 2.5, "inference, times batch norm": 0.5}
    here = {"packages": {"torch": "9.9"}, "processor": "made up", "threads": 2}
    costs = {"rows": [row, row | {"method": "batch"}], "shape": [2, 3], "created": "2030-01-01", "environment": here}
    text = tool.fill_card("a\n<!-- cost:lp -->\nold\n<!-- /cost -->\nb\n", costs, {})
    assert "3 ms and inference 1 ms, 2.5 and 0.5 times batch norm's. Measured 2030-01-01" in text
    assert "old" not in text


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


def test_small_batches(tool: ModuleType) -> None:
    text = tool.fill(EMPTY.replace("ladder-digits", "small-batches"), {"small-batches": small_batches()})
    assert "| arm | m = 8 | m = 2 | any m |" in text
    assert "| batch | 53.0 ± 1.4 | 33.0 ± 1.4 | - |" in text
    assert "| batch, weighted | 55.0 ± 0.0 | - | - |" in text
    assert "| l1 | 40.0 (1 diverged) | diverged | - |" in text
    assert "| group | - | - | 60.0 |" in text
    assert "5 steps of 64 images" in text
    card = tool.fill_card(
        "<!-- measured:lp -->\nold\n<!-- /measured -->", {"rows": [{"method": "batch"}]}, small_batches()
    )
    assert "in per cent: 40.0 (1 diverged) at m = 8, diverged at m = 2; batch norm: 53.0 ± 1.4 at m = 8" in card
    assert "old" not in card


def test_a_record_fills_its_place_and_no_other(tool: ModuleType) -> None:
    text = tool.fill(EMPTY, {"ladder-digits": made_up()})
    first, rest = text.split("<!-- /table -->", 1)
    assert rest == EMPTY.split("<!-- /table -->", 1)[1]
    assert "| BN-x5 | 0.15 | 125 | 100 – 150 | 3.8 |" in first
    assert "| Inception-Sigmoid | 0.15 | diverged at step 150 | - |" in first
    assert "preset smoke, torch 9.9, made-up <processor> & co, 2 processes" in first
    assert made_up()["reading"] in first
    table = [line for line in first.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in table}) == 1
    assert len(table) == 2 + len(madeup.ARMS)


def test_filling_again_changes_nothing_and_an_old_table_goes(tool: ModuleType) -> None:
    record = made_up()
    text = tool.fill(EMPTY, {"ladder-digits": record})
    assert tool.fill(text, {"ladder-digits": record}) == text
    assert tool.fill(text, {}) == EMPTY
    record["arms"][2]["ratio"] = 3.9
    assert tool.fill(text, {"ladder-digits": record}) != text


def test_a_record_without_a_place_is_an_error(tool: ModuleType) -> None:
    with pytest.raises(SystemExit, match="ladder-other"):
        tool.fill(EMPTY, {"ladder-other": made_up()})


def test_records_are_found_by_name(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "ladder").mkdir()
    (tmp_path / "ladder" / "digits.json").write_text(json.dumps(made_up()))
    (tmp_path / "speed.json").write_text("{}")
    assert list(tool.committed(tmp_path, tmp_path / "none.json")) == ["ladder-digits"]


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


def test_layers_show_losses_beside_wins(tool: ModuleType) -> None:
    empty = EMPTY.replace("ladder-digits", "bench-layers")
    text = tool.fill(empty, {"bench-layers": bench(bench_rows())})
    assert "| 2×3×4×4 | contiguous | 8 | - | 4 | 2.00 | 1.50 – 2.50 | 3.2 |" in text
    assert "4.00 contiguous and 3.00 channels_last" in text
    assert "Of all 4 cases" in text
    assert "faster in 1: 2×3×4×4 contiguous, inference, silu (0.80)." in text
    assert "Measured 2026-01-02, medians of 9 interleaved rounds, torch 9.9, made up, 2 threads." in text
    assert text.count("forward+backward") == 0


def test_steps(tool: ModuleType) -> None:
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
    text = tool.fill(EMPTY.replace("ladder-digits", "bench-steps"), {"bench-steps": bench([row])})
    assert "| N | contiguous | 90 | 60 | 1.50 | 1.40 – 1.60 | 42 | 80 | 100 | 80 |" in text
