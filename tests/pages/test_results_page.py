"""The page of a record, as a reader's browser shows it: complete, quiet on the network, accessible, readable."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

import madeup
from steadynorm.lab.claims.ladder.ladder import CLAIM
from steadynorm.lab.records import validate
from steadynorm.pages.common import COLOURS
from steadynorm.pages.results import render
from steadynorm.pages.results.charts import steps_to_target

LIVE = "document.querySelectorAll('figure.is-live').length == 2"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = madeup.record()
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(record, {"ladder": CLAIM.table(record)}, {}), encoding="utf-8")
    return file


def open_page(context: BrowserContext, file: Path) -> tuple[Page, list[str]]:
    """Open a file; return the page, and the list to which whatever it asks for or complains of is added."""
    page, events = context.new_page(), []
    page.on("request", lambda request: events.append(request.url))
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.goto(file.as_uri())
    return page, events


def test_the_made_up_record_follows_the_schema() -> None:
    validate(madeup.record())


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible_quiet_and_fits(browser: Browser, page_file: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page, events = open_page(context, page_file)
        page.wait_for_function(LIVE)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ends = [label.bounding_box() for label in page.locator(".live text").all()]
        assert max(box["x"] + box["width"] for box in ends) <= width
        assert events == [page_file.as_uri()]


def test_one_drawing_of_each_chart_shows(browser: Browser, page_file: Path) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page, _ = open_page(context, page_file)
        page.wait_for_function(LIVE)
        for figure in page.locator("figure").all():
            assert visible_drawings(figure) == ["live"]
        page.emulate_media(media="print")
        for figure in page.locator("figure").all():
            assert visible_drawings(figure) == ["static wide"]


@pytest.mark.parametrize(("width", "drawing"), [(360, "static narrow"), (1280, "static wide")])
def test_without_scripts_the_drawings_show(browser: Browser, page_file: Path, width: int, drawing: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=False) as context:
        page, _ = open_page(context, page_file)
        for figure in page.locator("figure").all():
            assert visible_drawings(figure) == [drawing]


def visible_drawings(figure) -> list[str]:
    drawings = figure.locator(".drawing > div:has(svg)").all()
    return [
        drawing.get_attribute("class").removesuffix(" vega-embed fit-x") for drawing in drawings if drawing.is_visible()
    ]


def test_colours_follow_the_scheme(browser: Browser, page_file: Path) -> None:
    strokes = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page, _ = open_page(context, page_file)
            curve = page.locator(".static.wide path[stroke='var(--arm-1)']").first
            strokes[scheme] = curve.evaluate("(path) => getComputedStyle(path).stroke")
    assert strokes == {"light": "rgb(0, 103, 166)", "dark": "rgb(92, 184, 255)"}


def test_contrast_of_the_curves() -> None:
    """Three to one against the page (WCAG 2.2, 1.4.11), in both schemes."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for light, dark in COLOURS:
        assert contrast(light, "#ffffff") >= 3
        assert contrast(dark, "#15171a") >= 3


def test_legend_leaves_one_arm_bright(browser: Browser, page_file: Path) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page, _ = open_page(context, page_file)
        page.wait_for_function(LIVE)
        page.locator(".live .role-legend-label text", has_text="BN-x30").click()
        faded = ".live path[stroke='var(--arm-1)'][stroke-width='2.4'][opacity='0.06']"
        page.wait_for_selector(faded, state="attached")
        assert page.locator(faded.replace("arm-1", "arm-3")).count() == 0


def test_every_word_and_number_is_the_records(browser: Browser, page_file: Path) -> None:
    record = madeup.record()
    with browser.new_context() as context:
        page, _ = open_page(context, page_file)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.title() == record["statement"]
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("h1 q").inner_text() == record["statement"]
        assert page.locator("h1").inner_text().lower().startswith(record["verdict"])  # no fact that was not found
        assert page.locator(".verdict strong").inner_text() == record["verdict"]
        assert page.locator("p", has_text=record["reading"]).count() == 1
        assert page.locator(".reading").inner_text() == record["reading"]  # its markup is shown, not obeyed
        text = page.locator("main").inner_text()
        for words in (record["source"], record["data"]["note"], record["environment"]["processor"], "network.modules"):
            assert words in text
        curve = page.get_by_role("table", name="Mean validation accuracy").locator("tbody tr")
        assert curve.count() == len(madeup.STEPS)
        assert curve.nth(1).locator("td").first.inner_text() == "36.9 % (39.0 %, 36.8 %, 34.9 %)"
        steps = page.get_by_role("table", name="Steps to the target, in numbers").locator("tbody tr")
        cells = [row.locator("th, td").all_inner_texts() for row in steps.all()]
        assert cells[2] == ["BN-x5", "125", "100 to 150", "reached"]
        assert cells[5] == ["Inception-Sigmoid", "-", "-", "diverged at step 150"]


def test_page_of_a_ladder_where_nothing_is_reached(browser: Browser, tmp_path: Path) -> None:
    record = madeup.record()
    for arm in record["arms"]:
        arm.update(steps_to_target=None, steps_to_target_interval=None, ratio=None, ratio_interval=None)
        arm["outcome"] = "not reached"
    file = tmp_path / "report.html"
    file.write_text(render(record, {"ladder": CLAIM.table(record)}, {}), encoding="utf-8")
    with browser.new_context() as context:
        page, events = open_page(context, file)
        page.wait_for_function(LIVE)
        words = page.locator(".live text", has_text="not reached")
        assert words.count() == len(record["arms"])
        assert events == [file.as_uri()]


def test_many_steps_are_written_in_full() -> None:
    record = madeup.record()
    record["arms"][0].update(steps_to_target=123456.0, steps_to_target_interval=[98765.0, 1234567.0])
    row = next(iter(steps_to_target(record).numbers))
    assert (row["steps"], row["interval"]) == ("123456", "98765 to 1234567")
