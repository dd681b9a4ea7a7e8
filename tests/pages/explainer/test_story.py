"""The story: all of the material told, every number accounted for, every claim with its verdict, all links alive."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browsing import until
from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import NAMES, article, bibliography, story
from steadynorm.pages.explainer.equations import EQUATIONS
from steadynorm.pages.explainer.letters import LETTERS

ROOT = Path(__file__).resolve().parents[3]

# Every number that stands as a digit in the story, and why no program gives it: it is part of a definition, a place on
# a scale, a condition of the claim that is quoted beside it, or a report of the literature that no record carries.
LITERALS = {
    "drift": {"0": "where g′ is quoted", "4": "where E4 looks", "5": "where g′ is quoted"},
    "bias": {"0": "exact", "1": "the variance that normalizing gives"},
    "transform": {"0": "β at first", "1": "γ at first; m − 1; from −1 to 1"},
    "whitening": {"1": "the variance that whitening gives", "512": "the width of the record’s measurement"},
    "placement": {
        "32": "a batch to count",
        "28": "a map to count",
        "47.8": "caffenet-benchmark, before",
        "49.9": "caffenet-benchmark, behind",
    },
    "gradient": {"0": "exact"},
    "population": {
        "0": "ε, initial mean",
        "1": "mean square; m − 1",
        "0.1": "PyTorch’s default",
        "0.9": "Keras’s word for it",
    },
    "folding": {"0": "what padding puts"},
    "scale": {"0": "ε, a limit of a", "0.01": "the factor of the record’s measurement"},
    "depth": {
        "1": "exact; π − 1",
        "0.9": "what the record’s measurement counts as near 1",
        "1.1": "likewise",
        "2": "He et al.’s variance",
    },
    "sigmoids": {
        "100": "units, Ioffe & Szegedy Sec. 4.1",
        "50,000": "steps, Sec. 4.1",
        "60": "batch, Sec. 4.1",
        "90": "the accuracy of the record’s measurement",
        "69.8": "Ioffe & Szegedy, Figure 3",
    },
    "rate": {"1": "1 − ηh", "2": "2/h"},
    "ladder": {
        "2": "“Table 2”",
        "3": "Figure 3 of the paper",
        "13.6": "the claim that is refuted",
        "32": "the paper’s batch",
    },
    "ensemble": {
        "4.9": "Ioffe & Szegedy, Figure 4",
        "4.82": "Ioffe & Szegedy, Figure 4",
        "5.1": "Russakovsky et al.",
        "1,500": "Russakovsky et al.",
        "12": "Russakovsky et al.",
        "7.82": "Ioffe & Szegedy, Figure 4",
        "5.82": "Ioffe & Szegedy, Figure 4",
        "144": "crops, Ioffe & Szegedy, Figure 4",
        "5": "per cent of dropout, Sec. 4.2.3",
        "10": "per cent of dropout, Sec. 4.2.3",
    },
    "why": {"0": "ε", "0.6": "Santurkar et al.", "1": "Santurkar et al.", "1.25": "Santurkar et al."},
    "small-batches": {
        "1": "x̂ of two values",
        "2": "Wu & He",
        "32": "Wu & He",
        "23.6": "Wu & He",
        "34.7": "Wu & He",
        "24": "Wu & He",
        "6.2": "Singh & Shrivastava",
    },
    "noise": {"1": "1/m"},
    "train": {},
    "home": {},
    "questions": {},
}


def literals(text: str) -> set[str]:
    """The numbers of a part that are not in a name, in code, or given by a call."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " ", text, flags=re.DOTALL)
    return set(re.findall(r"(?<![\w.,-])\d[\d.,]*\d|(?<![\w.,-])\d", re.sub(r"`[^`]*`", " ", text)))


@pytest.mark.parametrize(("name", "text"), story.texts(), ids=[name for name, _ in story.texts()])
def test_every_literal_number_is_accounted_for(name: str, text: str) -> None:
    assert literals(text) == set(LITERALS[name])


def test_the_list_of_literals_has_no_part_that_is_gone() -> None:
    assert set(LITERALS) == {name for name, _ in story.texts()}


@pytest.fixture(scope="module")
def told() -> str:
    return article(committed_records())


def test_the_document_is_up_to_date(told: str) -> None:
    assert (ROOT / "docs" / "article.md").read_text(encoding="utf-8") == told, "run: make docs-text"


def test_all_of_the_material_is_told() -> None:
    texts = "".join(text for _, text in story.texts())
    covered = re.findall(r"S\d+", " ".join(re.findall(r"covers\((.*?)\)", texts)))
    assert sorted(covered, key=lambda id: int(id[1:])) == [f"S{n}" for n in range(1, 21)], "each once"
    corrected = re.findall(r'correction\("(E\d+)"\)', texts)
    assert sorted(corrected, key=lambda id: int(id[1:])) == [f"E{n}" for n in range(1, 19)], "each once"
    assert re.findall(r"equation\((\d)\)", texts) == list("1234567")


def test_it_can_be_read_in_half_an_hour(told: str) -> None:
    prose = re.sub(r"\$\$.*?\$\$|```.*?```|\n\|[^\n]*|\]\(.*?\)", " ", told.split("## Sources")[0], flags=re.DOTALL)
    assert 3500 < len(re.findall(r"[A-Za-z’]{2,}", prose)) < 5500


def test_every_committed_claim_is_cited(told: str) -> None:
    for id in committed_records():
        theme, _, name = id.partition("/")
        assert f"(claims/{theme}.md#{name})" in told or id == "ladder"


def test_the_document_links_to_files_and_to_places_that_exist(told: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", told)
    assert len(targets) > 70
    for target in targets:
        path, _, place = target.partition("#")
        if not path:
            assert f'<a id="{place}">' in told
        else:
            assert (ROOT / "docs" / path).is_file(), target


def test_equations_use_known_letters_once_explained() -> None:
    for equation in EQUATIONS.values():
        assert equation.keys
        assert set(equation.keys) <= set(LETTERS)
        for formula, _ in equation.lines:
            assert formula.latex.count("{") == formula.latex.count("}")


def test_every_letter_of_an_equation_lights_up_in_the_text(wide: Page) -> None:
    wide.locator("#eq-2 .legend button[data-letter=gamma]").click()
    for place in (
        "#eq-2 math [data-letter=gamma]",
        "#part-transform p [data-letter=gamma]",
        "#affine [data-letter=gamma]",
    ):
        assert wide.locator(f"{place}.lit").count() == wide.locator(place).count() > 0, place
    assert wide.locator(".lit:not([data-letter=gamma])").count() == 0
    assert wide.locator("#eq-2 .legend button[data-letter=gamma]").get_attribute("aria-pressed") == "true"
    wide.locator("#eq-2 .legend button[data-letter=gamma]").click()
    wide.mouse.move(2, 2)
    until(wide, "document.querySelectorAll('.lit').length === 0")


def test_a_mark_opens_what_was_measured(wide: Page) -> None:
    """Every mark of the text: its word is the record's verdict, and it opens statement, numbers and command."""
    records = committed_records()
    marks = wide.locator("section[id^=part-] button.verdict")
    assert marks.count() >= 37
    seen = set()
    for mark in marks.all():
        target = mark.get_attribute("popovertarget")
        id = next(id for id in records if f"reading-{id.replace('/', '-')}" == target)
        assert mark.inner_text().split()[-1] == records[id]["verdict"].split()[-1]
        seen.add(id)
    assert seen == set(records)
    for id in ("saturation/drift", "network/folding", "ladder"):
        reading = f"#reading-{id.replace('/', '-')}"
        wide.locator(f"section[id^=part-] button[popovertarget={reading[1:]}]").first.click()
        until(wide, f"document.querySelector('{reading}').matches(':popover-open')")
        shown = wide.locator(reading)
        assert shown.locator(".statement").inner_text() == records[id]["statement"]
        assert shown.locator(".top .verdict").inner_text().split()[-1] == records[id]["verdict"].split()[-1]
        assert f"steadynorm reproduce {id}" in shown.inner_text()
        numbers = " ".join(shown.locator(".numbers li").all_inner_texts())
        assert records[id]["reading"].startswith(numbers[:60])
        assert "Verdict:" not in numbers
        wide.keyboard.press("Escape")
        until(wide, f"!document.querySelector('{reading}').matches(':popover-open')")


def test_the_table_lists_every_claim_once(wide: Page) -> None:
    rows = wide.locator("table.claims tbody tr")
    assert sorted(rows.locator("code").all_inner_texts()) == sorted(committed_records())


def test_links_within_the_page_lead_somewhere(wide: Page) -> None:
    dead = wide.evaluate(
        """() => [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href").slice(1))
                   .filter((id) => !document.getElementById(id))"""
    )
    assert dead == []
    assert wide.locator("section[id^=part-] a.cite").count() > 15
    sources = wide.locator(".sources li").all_inner_texts()
    known = bibliography.read()
    assert len(sources) == len({key for key in known if wide.locator(f"#ref-{key}").count()})


def test_contents_follow_the_reader(wide: Page) -> None:
    for part in ("whitening", "ladder"):
        wide.evaluate(f"document.getElementById('part-{part}').scrollIntoView()")
        until(wide, f"document.querySelector('.contents [aria-current]')?.hash === '#part-{part}'")
    assert wide.locator(".contents [aria-current]").count() == 1


def test_what_a_figure_says_is_quoted_by_the_text(wide: Page) -> None:
    quote = wide.locator("[data-live='saturation.plain']")
    before = quote.inner_text()
    wide.evaluate("saturation.change({drift: 0})")
    assert quote.inner_text() == wide.locator("#saturation [data-name=plain]").inner_text() != before


def test_figures_are_numbered_as_they_stand(wide: Page) -> None:
    order = wide.locator("section .figure").evaluate_all("figures => figures.map((one) => one.id.slice(7))")
    assert order == list(NAMES)
    for number, name in enumerate(order, 1):
        assert wide.locator(f"#{name} figcaption b").first.inner_text() == f"Figure {number}."
