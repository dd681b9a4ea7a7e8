import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import doctor_page  # noqa: E402
from steadynorm.doctor.rule import all_rules  # noqa: E402


def test_the_page_is_what_the_rules_say():
    assert doctor_page.PAGE.read_text(encoding="utf-8") == doctor_page.page()


def test_every_rule_says_when_it_fires():
    for id, rule in all_rules().items():
        assert rule.title, id
        assert f"## {id}\n" in doctor_page.page()
        assert set(rule.supersedes) <= set(all_rules())
        assert set(rule.needs) <= set(doctor_page.NEEDED)
    assert f"ask {len(all_rules())} rules" in (ROOT / "docs" / "tools" / "diagnose.md").read_text()
