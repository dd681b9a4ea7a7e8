"""Every claim is measurable, in its place, and between them they settle, or name, every part and correction."""

from pathlib import Path

import pytest

from madeup_claims import settled
from steadynorm.errors import ArgumentError, DataError
from steadynorm.lab import claims
from steadynorm.lab.catalogue import BY_READING, WAITING, choose, claim_of, every_claim
from steadynorm.lab.claim import Drawn
from steadynorm.lab.claim.parts import holds
from steadynorm.lab.records import validate

CLAIMS = every_claim()
DRAWN = [claim for claim in CLAIMS.values() if isinstance(claim, Drawn)]
PARTS = {f"S{n}" for n in range(1, 21)}  # of the article
CORRECTIONS = {f"E{n}" for n in range(1, 20)}


def test_every_part_and_correction_is_settled_or_listed():
    covered = {part for claim in CLAIMS.values() for part in claim.covers}
    assert covered <= PARTS | CORRECTIONS
    assert covered | set(WAITING) >= PARTS
    assert covered | set(BY_READING) >= CORRECTIONS
    assert not covered & set(BY_READING), "what is measured is not a matter of reading"


def test_a_file_each():
    folder = Path(claims.__file__).parent
    files = {f"{f.parent.name}/{f.stem.replace('_', '-')}" for f in folder.glob("*/*.py") if not f.stem.startswith("_")}
    assert files == {id if "/" in id else f"{id}/{id}" for id in CLAIMS}


def test_the_order_is_the_claims_own_and_themes_stand_together():
    orders = [claim.order for claim in CLAIMS.values()]
    assert orders == sorted(set(orders))
    hundreds = {claim.theme: claim.order // 100 for claim in CLAIMS.values()}
    assert len(set(hundreds.values())) == len(hundreds)
    assert all(claim.order // 100 == hundreds[claim.theme] for claim in CLAIMS.values())


@pytest.mark.parametrize("claim", DRAWN, ids=lambda claim: claim.id)
def test_one_draw_gives_a_record(claim):
    seen = []
    record = settled(claim, "smoke", report=seen.append)
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
    assert [claim.id for claim in choose(["ladder", "saturation"])] == [
        "saturation/slopes",
        "saturation/drift",
        "saturation/restored",
        "ladder",
    ]
    with pytest.raises(ArgumentError, match="received saturation/slope"):
        choose(["saturation/slope"])


def test_an_id_of_before_still_works():
    with pytest.warns(DeprecationWarning, match="statistics/variance-at-test now"):
        (claim,) = choose(["statistics/test-variance"])
    assert claim.id == "statistics/variance-at-test"


def test_a_record_of_no_claim_is_refused():
    assert claim_of({"claim": "ladder"}) is CLAIMS["ladder"]
    with pytest.raises(DataError, match="received one of 'made/up'"):
        claim_of({"claim": "made/up"})
