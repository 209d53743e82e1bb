"""A real Chromium for tests of pages: everything that a page says or asks for is noted."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@dataclass
class Tab:
    """One page, opened from its file.

    Attributes:
        page: playwright's.
        requests: every URL it asked for.
        complaints: errors and warnings of its console, exceptions, dialogs.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def points(self, selector: str) -> list[int]:
        """How many points each trace of a plot has."""
        return self.page.eval_on_selector(
            selector, "gd => gd.data.map(trace => (trace.x || trace.y || trace.z).length)"
        )

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression holds; a page's policy forbids playwright's `eval`."""
        self.page.wait_for_function(f"() => {condition}")

    def wide(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def cut(self) -> list[str]:
        """Names of the tables of which a part can only be seen by scrolling sideways."""
        return self.page.eval_on_selector_all(
            ".scroll",
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)",
        )


@dataclass(frozen=True)
class Browser:
    """A running Chromium."""

    process: Any

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, before: str = "", **options: Any
    ) -> Tab:
        """Open a file in a window of its own.

        `before` is a script that runs first; `options` are those of a browser context.
        """
        context = self.process.new_context(
            viewport={"width": width, "height": height}, **{"locale": "en-GB", **options}
        )
        context.add_init_script(before)
        tab = Tab(context.new_page())
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("console", lambda message: _note(tab, message))
        tab.page.on("dialog", lambda dialog: _refuse(tab, dialog))
        tab.page.goto(path.resolve().as_uri())
        return tab


def _note(tab: Tab, message: Any) -> None:
    if message.type in ("error", "warning"):
        tab.complaints.append(f"{message.type}: {message.text}")


def _refuse(tab: Tab, dialog: Any) -> None:
    tab.complaints.append(f"dialog: {dialog.message}")
    dialog.dismiss()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a module; they are skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        process = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Browser(process)
        process.close()
