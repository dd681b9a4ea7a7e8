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
    assert text == tool.fill(text, tool.committed(ROOT / "results")), "run: make tables"


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
    (tmp_path / "ladder-digits.json").write_text(json.dumps(made_up()))
    (tmp_path / "speed.json").write_text("{}")
    assert list(tool.committed(tmp_path)) == ["ladder-digits"]
