from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import render


@pytest.fixture(scope="package")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("explainer") / "explainer.html"
    file.write_text(render(committed_records()), encoding="utf-8")
    return file


@pytest.fixture
def wide(browser: Browser, explainer: Path) -> Iterator[Page]:
    """The page at 1280 pixels, whose complaints fail the test."""
    yield from opened(browser, explainer, viewport={"width": 1280, "height": 900})


@pytest.fixture
def phone(browser: Browser, explainer: Path) -> Iterator[Page]:
    """The page on a phone of 360 pixels, to be touched."""
    yield from opened(browser, explainer, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)


def opened(browser: Browser, file: Path, **context) -> Iterator[Page]:
    with browser.new_context(**context) as context:
        page, complaints = context.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        yield page
        assert complaints == []
