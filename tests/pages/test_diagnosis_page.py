"""The doctor's page in a browser: complete, quiet, accessible, within the window."""

from pathlib import Path

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from torch import nn

import steadynorm as sn
from sick_models import images, trained
from steadynorm.pages.diagnosis import render


def page_of(model: nn.Module, folder: Path) -> Path:
    batches = images()
    with torch.no_grad():
        labelled = [(x, trained().eval()(x)) for x in batches]
    gap = sn.explain_gap(model, labelled, lambda out, batch: (out - batch[1]).square().mean(), try_recalibration=True)
    file = folder / "page.html"
    file.write_text(render(sn.diagnose(model, batches), gap, "a <model>"), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def sick_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = trained(bias=True)
    model[1].running_mean += 30
    model[4].running_var *= 100
    return page_of(model, tmp_path_factory.mktemp("sick"))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_quiet_and_fits(browser: Browser, sick_page: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page, events = context.new_page(), []
        page.on("request", lambda request: events.append(request.url))
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.goto(sick_page.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert events == [sick_page.as_uri()]


def test_findings_bars_and_layers(browser: Browser, sick_page: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(sick_page.as_uri())
        assert page.locator("h1").inner_text() == "a <model>"
        assert page.locator("section.error").count() >= 1
        bars = page.locator(".bars tbody tr")
        assert bars.count() >= 1
        assert bars.first.locator("rect").get_attribute("width") == "100.00"
        drawn = page.locator(".layers svg").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
        assert [sentence.partition(":")[0] for sentence in drawn] == ["1", "4"]
        assert page.locator(".layers .running").first.get_attribute("d").count("L") == 80


def test_a_healthy_model_has_two_curves_that_are_one(browser: Browser, tmp_path: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(page_of(trained(), tmp_path).as_uri())
        assert page.locator("section.finding").count() == 0
        assert "no findings" in page.locator(".verdict").inner_text()
        both = page.locator(".layers svg").first.locator("path")
        own, running = (
            [float(point.split(",")[1]) for point in path.get_attribute("d")[1:].split("L")] for path in both.all()
        )
        assert max(abs(a - b) for a, b in zip(own, running, strict=True)) < 6  # of 90
