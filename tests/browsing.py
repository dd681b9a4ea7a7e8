"""Getting at a page whose policy forbids ``eval``, and with it Playwright's ``wait_for_function``."""

import time

from playwright.sync_api import Page


def until(page: Page, condition: str, seconds: float = 10) -> None:
    """Wait until a JavaScript expression holds."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"it did not come true within {seconds} s: {condition}"
        page.wait_for_timeout(20)


def bring(page: Page, selector: str) -> None:
    """Scroll to a figure: one that is far from the window is not laid out, and others move when it is."""
    for _ in range(2):
        page.locator(selector).scroll_into_view_if_needed()
        page.wait_for_timeout(40)
