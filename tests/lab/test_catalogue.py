"""Every claim is measurable, in its place, and between them they settle, or name, every part and correction."""

from pathlib import Path

import pytest

from steadynorm.errors import ArgumentError
from steadynorm.lab import claims
from steadynorm.lab.claims.catalogue import ENTRIES, choose
from steadynorm.lab.claims.measuring import measure
from steadynorm.lab.claims.reading import holds
from steadynorm.lab.claims.registry import BY_READING, CLAIMS, DRAWN, WAITING
from steadynorm.lab.records import validate

PARTS = {f"S{n}" for n in range(1, 21)}  # of the article
CORRECTIONS = {f"E{n}" for n in range(1, 20)}


def test_every_part_and_correction_is_settled_or_listed():
    covered = {part for entry in ENTRIES.values() for part in entry.covers}
    assert covered <= PARTS | CORRECTIONS
    assert covered | set(WAITING) >= PARTS
    assert covered | set(BY_READING) >= CORRECTIONS
    assert not covered & set(BY_READING), "what is measured is not a matter of reading"


def test_a_file_each():
    folder = Path(claims.__file__).parent
    files = {f"{f.parent.name}/{f.stem.replace('_', '-')}" for f in folder.glob("*/*.py") if f.stem != "__init__"}
    assert files == set(CLAIMS)


@pytest.mark.parametrize("claim", DRAWN.values(), ids=lambda claim: claim.id)
def test_one_draw_gives_a_record(claim):
    seen = []
    record = measure(claim, "smoke", report=seen.append)
    validate(record)
    assert [line["step"] for line in seen] == list(range(1, claim.draws["smoke"] + 1))
    assert [part["quantity"] for part in record["parts"]] == [part.quantity for part in claim.parts]
    assert None not in [part["value"] for part in record["parts"]], "every quantity is finite"
    assert any(part.role == "judged" for part in claim.parts)
    for part in claim.parts:
        bounded = (part.at_least, part.at_most) != (None, None)
        assert bounded == (part.role != "shown"), part.quantity
    if claim.instead is None:  # two draws may leave a part open
        assert not any(holds(part) is False for part in record["parts"] if part["role"] != "shown")
    elif record["verdict"] in ("partly", "refuted"):
        assert "{" not in record["reading"]


def test_draws_differ_and_repeat():
    claim = CLAIMS["statistics/companions"]
    assert claim.measure(1) == claim.measure(1) != claim.measure(2)


def test_a_theme_means_its_claims_and_an_unknown_word_is_refused():
    assert choose(["ladder", "saturation"]) == [
        "saturation/slopes",
        "saturation/drift",
        "saturation/restored",
        "ladder",
    ]
    with pytest.raises(ArgumentError, match="received saturation/slope"):
        choose(["saturation/slope"])
