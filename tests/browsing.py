"""Getting at a page whose policy forbids ``eval``, and with it Playwright's ``wait_for_function``."""

import time

from playwright.sync_api import Page

# Puts a figure into one state after another and reads what it shows: numbers, the words of them, places of dots.
READ = """([name, states]) => {
  const figure = document.getElementById(name);
  return states.map((state) => {
    figure.change(state);
    const shown = {sentence: figure.svg.getAttribute("aria-label"), y: Array.from(figure.y ?? [])};
    for (const cell of figure.querySelectorAll("[data-name]"))
      shown[cell.dataset.name] = [cell.dataset.value, cell.textContent];
    return shown;
  });
}"""


def read(page: Page, name: str, states: list[dict]) -> list[dict]:
    return page.evaluate(READ, [name, states])


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
