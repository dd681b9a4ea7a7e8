"""The page of claims in a browser: complete, quiet, accessible, within the window."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

import madeup
import madeup_claims
from steadynorm.lab.claim import Part
from steadynorm.lab.claims.ladder.ladder import CLAIM
from steadynorm.pages.results import render

SIZE = Part("size", at_least=1.0, at_most=2.0, literature=1.5)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        madeup_claims.record_of((SIZE, [1.5, 1.6])),
        madeup_claims.record_of((SIZE, [3.0, 3.1]), claim="made/down", charts=[]),
    ]
    tables = {record["claim"]: madeup_claims.claim_of().table(record) for record in records}
    records.append(madeup.record())
    tables["ladder"] = CLAIM.table(records[-1])
    run = {"kind": "claims", "records": records}
    file = tmp_path_factory.mktemp("page") / "claims.html"
    file.write_text(render(run, tables, {"E1": "A made-up correction."}, ["made/up"]), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_quiet_and_fits(browser: Browser, page_file: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page, events = context.new_page(), []
        page.on("request", lambda request: events.append(request.url))
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_function("document.querySelectorAll('figure.is-live').length == 3")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert events == [page_file.as_uri()]


def test_every_claim_has_its_words_and_numbers(browser: Browser, page_file: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        verdicts = page.get_by_role("table", name="Verdicts").locator("tbody tr")
        cells = [row.locator("th, td").all_inner_texts() for row in verdicts.all()]
        assert [row[:2] for row in cells] == [
            ["made/up", "confirmed"],
            ["made/down", "refuted"],
            ["ladder", "confirmed"],
        ]
        page.locator("a", has_text="made/down").click()
        section = page.locator("section:target")
        assert section.locator(".verdict strong").inner_text() == "refuted"
        assert "It is 3.1." in section.locator(".reading").inner_text()
        assert section.locator("h2").inner_text() == "Refuted: A made-up <sentence> & its claim"
        assert "steadynorm reproduce made/down --preset smoke" in section.text_content()
        assert "1 refuted" in page.locator("header .reading").inner_text()
        assert "A made-up correction." in page.locator("main").inner_text()
        links = page.locator("section .note a").evaluate_all("all => all.map((link) => link.getAttribute('href'))")
        assert links == ["explainer.html#said-made-up"]
        numbers = page.locator("#made-up table", has_text="A made-up chart, in numbers").locator("tbody tr")
        assert [row.locator("th, td").all_text_contents() for row in numbers.all()] == [
            ["1", "2", "1"],
            ["10", "3.5", "1.5"],
        ]
