"""Pages of runs opened in a browser, and what tests of them do there."""

import numpy as np
import pytest
from browser import Browser, Tab
from report_runs import make_place

from vapipe.reports.run_report import write_report

SERIES = "name => Array.from(document.getElementById('plot-video').data.find(t => t.meta === name)"


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def page(place):
    """One run with media."""
    write_report([place.runs["first"]], place.runs["first"] / "report.html", media=place.media)
    return place.runs["first"] / "report.html"


@pytest.fixture(scope="session")
def both(place, tmp_path_factory):
    """Two runs compared."""
    out = tmp_path_factory.mktemp("both") / "both.html"
    write_report(list(place.runs.values()), out)
    return out


@pytest.fixture(scope="module")
def opened(page, browser: Browser):
    """The page of one run, for tests that leave it usable."""
    return ready(browser.open(page))


def ready(tab: Tab) -> Tab:
    tab.page.wait_for_selector("body[data-ready]", state="attached")
    return tab


def show(tab: Tab, video: str) -> None:
    """Open a video by its link."""
    link = tab.page.get_by_role("link", name=video, exact=True)
    number = link.get_attribute("href").removeprefix("#video-")
    link.click()
    tab.page.wait_for_selector(f"#detail[data-open='{number}']")


def series(tab: Tab, name: str, axis: str = "y") -> np.ndarray:
    """Values of a trace of the open video; NaN where it has none."""
    values = tab.page.evaluate(f"{SERIES}.{axis}, v => Number.isNaN(v) ? null : v)", name)
    return np.array([np.nan if value is None else value for value in values])
