"""docs/claims/ is what the committed records say."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from steadynorm.lab.catalogue import committed_records

ROOT = Path(__file__).resolve().parents[2]


def test_the_pages_are_up_to_date():
    spec = spec_from_file_location("claim_pages", ROOT / "tools" / "claim_pages.py")
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    records = committed_records()
    written = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "claims").glob("*")}
    assert written == tool.pages(records), "run: make claims"
    for id in records:
        if "/" in id:
            theme, _, name = id.partition("/")
            assert f"\n## {name}\n" in written[f"{theme}.md"]
