"""The page as a whole: complete without scripts and in print, quiet, small, accessible; and the ways to get it."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

import madeup
import steadynorm as sn
from browsing import bring, until
from steadynorm.cli import explain, main
from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import NAMES, ladder, render

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_quiet_and_as_wide_as_the_window(browser: Browser, explainer: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page, events = context.new_page(), []
        page.on("request", lambda request: events.append(request.url))
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.goto(explainer.as_uri())
        page.evaluate(
            """() => { saturation.change({norm: 1}); ladder.change({target: 50}); rate.change({rate: 2.2}); }"""
        )
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ends = page.evaluate(
            """() => [...document.querySelectorAll(".chart text")].map((text) => {
                 const {left, right} = text.getBoundingClientRect();
                 return [text.textContent, left, right];
               })"""
        )
        assert [words for words, left, right in ends if left < 0 or right > width + 0.5] == []
        assert events == [explainer.as_uri()]


def test_the_policy_lets_nothing_out(browser: Browser, explainer: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(explainer.as_uri())
        policy = page.locator("meta[http-equiv='Content-Security-Policy']").get_attribute("content")
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        assert page.evaluate("fetch('data:,').then(() => 'fetched', () => 'refused')") == "refused"


def test_size(explainer: Path) -> None:
    assert explainer.stat().st_size < 1_000_000


@pytest.mark.parametrize("width", [360, 1280])
def test_without_scripts_a_picture_and_a_sentence(browser: Browser, explainer: Path, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(explainer.as_uri())
        for name in NAMES:
            bring(page, f"#{name} figure")
            figure = page.locator(f"#{name}")
            assert figure.locator(".still svg").is_visible()
            assert re.search(r"\d", figure.locator(".still p").inner_text())
            assert figure.locator("figcaption").is_visible()
            assert figure.locator("input").count() == 0
            box = figure.locator(".still svg").bounding_box()
            assert box["width"] > 250
            assert box["x"] + box["width"] <= width


def test_with_scripts_and_in_print_the_chart_alone(wide: Page) -> None:
    for media in ("screen", "print"):
        wide.emulate_media(media=media, color_scheme="dark")
        for name in NAMES:
            assert wide.locator(f"#{name} .chart svg").is_visible()
            assert not wide.locator(f"#{name} .still").is_visible()
            assert wide.locator(f"#{name} .reset").is_visible() == (media == "screen")
    assert wide.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_what_is_to_be_touched_is_large_enough(phone: Page) -> None:
    for name in NAMES:
        for kind in ("button", "fieldset label", "input[type=range]"):
            for target in phone.locator(f"#{name} {kind}").filter(visible=True).all():
                box = target.bounding_box()
                assert min(box["width"], box["height"]) >= 44, (name, kind)
    grip = phone.locator("#ladder .reach").first.bounding_box()
    assert min(grip["width"], grip["height"]) >= 44


def test_charts_follow_the_width_of_the_window(wide: Page) -> None:
    for width in (1280, 700, 360):
        wide.set_viewport_size({"width": width, "height": 800})
        until(wide, f"document.querySelector('#rate svg').clientWidth <= {width - 32}")
        sizes = wide.evaluate(
            "[...document.querySelectorAll('.chart text')].map((t) => parseFloat(getComputedStyle(t).fontSize))"
        )
        assert min(sizes) >= 12, "type keeps its size; the chart gives way"


def test_it_says_what_the_dossier_corrects(wide: Page) -> None:
    text = " ".join(wide.locator("main").text_content().split()).lower()
    g = 1 / (1 + math.exp(-4))
    for words in (
        f"it is {g * (1 - g):.4f}, and a batch around 4",
        "it grows in a straight line",
        "in float32 rounding bends the line, and stops it after 18 million steps, at 2,097,152",
        "pytorch, caffe and tensorflow’s fused kernel store the unbiased one",
        "the rule 2/h is exact for bowls only",
        "they stand in a table inside its figure 3",
        "it needs a > 0",
        "what each of eight gpus normalizes by itself",
        "batch norm leaves the correlations",
    ):
        assert words in text


def test_the_page_of_another_record(browser: Browser, tmp_path: Path) -> None:
    record = madeup.record()
    file = tmp_path / "page.html"
    file.write_text(render(committed_records(), record), encoding="utf-8")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(file.as_uri())
        bring(page, "#ladder figure")
        assert page.locator("#ladder thead").inner_text().split()[0] == "digits:"
        assert page.evaluate("document.getElementById('ladder').state.target") == 94.7
        told = page.locator("#part-ladder").inner_text()
        assert f"On digits, to {100 * record['target_accuracy']:.1f} % validation accuracy" in told
        assert f"measured {record['created'][:10]}): {record['verdict']}." in told
        assert record["reading"].split(". ")[-1] in told, "its markup is shown, not obeyed"


def test_a_record_of_another_claim_is_refused() -> None:
    with pytest.raises(sn.errors.DataError, match="claim ladder, received one of 'noise'"):
        ladder.build(madeup.record() | {"claim": "noise"})


def test_the_record_that_comes_with_the_package_is_a_committed_one() -> None:
    folder = ROOT / "results" / "ladder"
    records = [json.loads((folder / name).read_text()) for name in ("cifar10.json", "digits.json")]
    assert ladder.committed_records() == records


def test_an_unknown_figure() -> None:
    with pytest.raises(sn.errors.ArgumentError, match=", ".join(map(repr, NAMES)) + ", received 'slope'"):
        sn.figure("slope")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_in_a_notebook(browser: Browser, tmp_path: Path, name: str) -> None:
    """As a notebook does it: the figure's HTML becomes part of a page that knows nothing of it."""
    file = tmp_path / "notebook.html"
    file.write_text(
        f"<!doctype html><style>* {{ color: red }}</style>{sn.figure(name)._repr_html_()}", encoding="utf-8"
    )
    with browser.new_context() as context:
        page, complaints = context.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        frame = page.frame_locator("iframe")
        slider = frame.locator("input[type=range]").filter(visible=True).first
        before = frame.locator(".chart svg").get_attribute("aria-label")
        slider.focus()
        slider.press("Home")
        assert frame.locator(".chart svg").get_attribute("aria-label") != before
        page.wait_for_timeout(300)
        inner = frame.locator("main").bounding_box()
        outer = page.locator("iframe").bounding_box()
        assert 0 <= outer["height"] - inner["height"] < 24, "the frame is as high as its figure"
        assert complaints == []


def test_without_the_extra_the_message_names_it() -> None:
    code = """
import sys
sys.modules["altair"] = None
import steadynorm as sn
try:
    sn.figure("rate")
except sn.errors.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    advice = "run: pip install 'steadynorm[lab]', or in a clone pip install '.[lab]'"
    assert done.stdout == f"figures need altair, which is not installed; {advice}\n"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened = []
    monkeypatch.setattr(explain.webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    monkeypatch.chdir(tmp_path)
    assert main(["explain"]) == 0
    assert capsys.readouterr() == ("explainer.html\n", "computing the figures: some seconds\n")
    assert opened == [(tmp_path / "explainer.html").as_uri()]
    record = tmp_path / "record.json"
    record.write_text(json.dumps(madeup.record()))
    assert main(["explain", "-o", "mine.html", "--record", str(record), "--no-open"]) == 0
    assert capsys.readouterr() == ("mine.html\n", "computing the figures: some seconds\n")
    assert len(opened) == 1
    assert madeup.record()["data"]["name"] in (tmp_path / "mine.html").read_text()
    assert main(["explain"]) == 0
    assert "no browser" in capsys.readouterr().err
    assert main(["explain", "--record", "absent.json", "--no-open"]) == 3
    assert "absent.json" in capsys.readouterr().err
