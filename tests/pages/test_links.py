"""The report of the claims and the article, each a click from the other."""

import re
from pathlib import Path

from playwright.sync_api import Browser

from steadynorm.cli import main
from steadynorm.cli.explain import _report
from steadynorm.cli.output import write_report
from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer.story import cited


def test_from_the_report_to_the_article_and_back(browser: Browser, tmp_path: Path) -> None:
    records = committed_records()
    assert cited() <= set(records)
    run = {"kind": "claims", "records": [records[id] for id in ("saturation/slopes", "ladder")]}
    write_report(run, tmp_path / "report.html")
    assert main(["explain", "-o", str(tmp_path / "explainer.html"), "--no-open"]) == 0
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    article = (tmp_path / "explainer.html").read_text(encoding="utf-8")
    there = re.findall(r'href="explainer.html#([^"]+)"', report)
    assert there == ["said-saturation-slopes", "said-ladder"]
    back = set(re.findall(r'href="report.html#([^"]+)"', article))
    assert back == {"saturation-slopes", "ladder"}
    for id in cited():
        assert article.count(f'id="said-{id.replace("/", "-")}"') == 1
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((tmp_path / "report.html").as_uri())
        page.locator("#saturation-slopes a", has_text="article").click()
        page.wait_for_url("**/explainer.html#said-saturation-slopes")
        mark = page.locator("#said-saturation-slopes")
        assert mark.evaluate("(mark) => mark.getBoundingClientRect().top < innerHeight")
        mark.click()
        page.locator("#reading-saturation-slopes a", has_text="report.html").click()
        page.wait_for_url("**/report.html#saturation-slopes")


def test_a_report_that_lacks_a_claim_is_not_linked_for_it(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert _report(file, ["a/b", "ladder"]) == {}
    file.write_text('<section id="ladder"><section id="a-c">', encoding="utf-8")
    assert _report(file, ["a/b", "ladder"]) == {"ladder": "report.html#ladder"}
