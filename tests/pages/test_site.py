"""The documentation site: built strictly, complete, quiet, accessible, and found by what people search for."""

import http.server
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from tools.site import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "index.html",
    "trouble/eval-worse-than-train.html",
    "tools/fold.html",
    "claims/index.html",
    "api/layers.html",
    "article.html",
]
SEARCHES = {
    "running_mean nan": "trouble/running-mean-nan.html",
    "eval worse than train": "trouble/eval-worse-than-train.html",
    "frozen batchnorm": "trouble/frozen-batchnorm.html",
    "fuse conv bn": "trouble/fuse-conv-bn.html",
    "expected more than 1 value per channel": "trouble/one-value-per-channel.html",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a warning of the build is an error."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    given = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address(built: Path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_every_document_is_a_page(built):
    for file in (ROOT / "docs").rglob("*.md"):
        path = file.relative_to(ROOT / "docs").with_suffix(".html")
        assert (built / str(path).replace("README", "index")).exists()
    assert (built / "explained.html").stat().st_size > 100_000


def test_whatever_is_public_has_an_anchor_in_the_reference(built):
    anchors = set(
        re.findall(r'id="([^"]+)"', "".join(page.read_text("utf-8") for page in (built / "api").glob("*.html")))
    )
    assert not set(reference.names()) - anchors


def test_no_equation_and_no_role_is_left_as_it_is_written(built):
    for page in built.rglob("*.html"):
        if page.name != "explained.html":
            text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
            assert not re.search(r"\\\(|\\\[|\$\$|\.\. math|:(?:class|func|mod|data):|^::$", text), page


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1280, "dark")])
def test_accessible_quiet_and_fits(browser: Browser, address, width, scheme):
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page, events = context.new_page(), []
        page.on("request", lambda request: events.append(request.url))
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        for name in PAGES:
            page.goto(address + name)
            page.wait_for_load_state("networkidle")
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name}\n{found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert [event for event in events if not event.startswith((address, "data:", "blob:"))] == []


@pytest.mark.parametrize("words", SEARCHES)
def test_a_search_finds_the_right_page_first(browser: Browser, address, words):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert _first_found(page, words) == SEARCHES[words]


def _first_found(page: Page, words: str) -> str:
    page.keyboard.press("/")
    page.locator(".md-search__input").press_sequentially(words)
    link = page.locator("a.md-search-result__link").first
    link.wait_for(timeout=10_000)
    return page.evaluate("link => new URL(link.href).pathname.slice(1)", link.element_handle())
