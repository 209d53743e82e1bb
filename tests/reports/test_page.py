"""Pages open offline, run nothing but their own scripts, and show foreign text as text."""

import dataclasses
import json
import re
import socket
import sys

import numpy as np
import pytest
from browser import Browser
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import CacheError
from vapipe.reports.page import Asset, Page, embed_json, pack_array, write_page

HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'\u2028\u2029$title"

COLOR = """name => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    return getComputedStyle(probe).color;
}"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that carries what a page needs."""
    folder = tmp_path / "carrier"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "body.html").write_text('<p id="out"></p><div id="plot"></div>')
    (folder / "main.js").write_text(
        'at("out").append(el("b", {title: data.name}, data.name));\n'
        'window.numbers = Array.from(await array("numbers", "int16"));\n'
        'await plot(at("plot"), () => ({\n'
        '  data: [{ y: window.numbers, line: { color: color("--series-1") } }],\n'
        "  layout: { height: 200 },\n"
        "}));\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop("carrier", None)


def make(**changes) -> Page:
    page = Page(
        title=HARM,
        body=Asset("carrier", "body.html"),
        data={"name": HARM},
        scripts=[Asset("carrier", "main.js")],
        blocks={"numbers": pack_array(np.array([-300, 0, 7], np.int16))},
    )
    return dataclasses.replace(page, **changes)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda each: st.lists(each)))
def test_embedded_values_come_back_and_cannot_leave_their_element(value):
    text = embed_json(value)
    assert json.loads(text) == value
    assert not re.search("[<>&\u2028\u2029]", text)
    assert text.isascii()


def test_a_page_is_one_file_whose_size_is_told(package, tmp_path):
    size = write_page(tmp_path / "page.html", make(plotly=False))
    assert (tmp_path / "page.html").stat().st_size == size
    assert write_page(tmp_path / "with.html", make()) > size + 4_000_000


def test_media_are_allowed_only_where_asked_for(package):
    assert "media-src &#x27;none&#x27;" in make(plotly=False).render()
    assert "media-src &#x27;self&#x27; file:" in make(plotly=False, media=True).render()


def test_what_cannot_be_embedded_is_refused(package, tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        make(data={"x": float("nan")}).render()
    with pytest.raises(ValueError, match="a block's name has small letters"):
        make(blocks={'x"': ""}, plotly=False).render()
    (package / "main.js").write_text("'</SCRIPT>'")
    with pytest.raises(ValueError, match="end of a script element"):
        make(plotly=False).render()
    (package / "main.js").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot write"):
        write_page(tmp_path / "file" / "page.html", make(plotly=False))


def test_foreign_text_is_shown_and_does_nothing(package, tmp_path, browser: Browser):
    write_page(tmp_path / "page.html", make())
    tab = browser.open(tmp_path / "page.html")
    tab.page.wait_for_selector("#plot[data-drawn]")
    assert tab.page.text_content("#out") == HARM
    assert tab.page.get_attribute("#out b", "title") == HARM
    assert tab.page.text_content("h1") == HARM
    assert tab.page.evaluate("numbers") == [-300, 0, 7]
    assert tab.points("#plot") == [3]
    assert tab.complaints == []
    assert tab.requests == [(tmp_path / "page.html").as_uri()]


def test_other_scripts_and_the_network_are_refused_by_the_page(package, tmp_path, browser: Browser):
    write_page(tmp_path / "page.html", make(plotly=False, scripts=[]))
    tab = browser.open(tmp_path / "page.html")
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.3)
    tab.page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        "document.body.append(s);"
        "document.body.append(Object.assign(new Image(), "
        f"{{src: 'http://127.0.0.1:{server.getsockname()[1]}/x.png'}}))"
    )
    with server, pytest.raises(TimeoutError):
        server.accept()
    assert tab.page.evaluate("window.broken") is None
    assert sum("Content Security Policy" in each for each in tab.complaints) == 2


def test_the_theme_follows_the_system_and_the_button(package, tmp_path, browser: Browser):
    write_page(tmp_path / "page.html", make())
    tab = browser.open(tmp_path / "page.html", color_scheme="dark")
    tab.page.wait_for_selector("#plot[data-drawn]")
    line = "document.getElementById('plot').data[0].line.color"
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tab.page.evaluate(line), tab.page.evaluate(ground)
    tab.page.focus("#theme")
    tab.page.keyboard.press("Enter")  # system -> light
    assert tab.page.text_content("#theme") == "Theme: light"
    tab.wait(f"{line} !== '{dark[0]}'")
    assert tab.page.evaluate(ground) != dark[1]
    tab.page.emulate_media(color_scheme="light")
    tab.page.keyboard.press("Enter")  # light -> dark
    tab.wait(f"{line} === '{dark[0]}'")
    assert (tab.page.evaluate(line), tab.page.evaluate(ground)) == dark
    assert tab.complaints == []


def test_a_page_that_fails_half_way_says_so(package, tmp_path, browser: Browser):
    write_page(tmp_path / "page.html", make())
    tab = browser.open(tmp_path / "page.html", before="delete window.DecompressionStream")
    notice = tab.page.wait_for_selector("[role=alert]")
    assert "could not be drawn completely (ReferenceError: Decomp" in notice.text_content()


def luminance(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = np.array([int(part) for part in re.findall(r"\d+", color)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_lines_stand_out_from_the_paper_in_both_themes(
    package, tmp_path, browser: Browser, theme
):
    write_page(tmp_path / "page.html", make(plotly=False, scripts=[]))
    tab = browser.open(tmp_path / "page.html", color_scheme=theme)
    for ground in ("--paper", "--panel", "--notice"):
        for name, least in {
            "--ink": 7, "--soft": 4.5, "--accent": 4.5, **{f"--series-{n}": 3 for n in range(1, 7)}
        }.items():  # fmt: skip
            pair = [luminance(tab.page.evaluate(COLOR, each)) for each in (ground, name)]
            contrast = (max(pair) + 0.05) / (min(pair) + 0.05)
            assert contrast >= least, (ground, name, contrast)
