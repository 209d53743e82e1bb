"""The documentation as a site: it builds without a warning, is whole, and needs no network."""

import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
_LOADS = {  # tag -> attributes whose address a browser fetches by itself
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "image": ("href", "xlink:href"),
    "img": ("src", "srcset"), "input": ("src",), "link": ("href",), "object": ("data",),
    "script": ("src",), "source": ("src", "srcset"), "track": ("src",),
    "use": ("href", "xlink:href"), "video": ("src", "poster"),
}  # fmt: skip
_ONLY_SAID = {"canonical", "prev", "next"}  # relations of <link> that nothing is fetched for


class Page(HTMLParser):
    """What a page is linked with, loads, and can be linked at."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.places, self.styles = [], [], set(), []
        self._in_style = False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        self._in_style = tag == "style"
        if "style" in given:
            self.styles.append(given["style"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in _ONLY_SAID:
            return
        self.loads += [given[name] for name in _LOADS.get(tag, ()) if given.get(name)]

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data)

    def handle_endtag(self, tag):
        self._in_style = False


def build(folder):
    """Run mkdocs; not with --strict, which would end it at the first warning."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site, and what mkdocs said."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.fixture(scope="module")
def site(built):
    return built[0]


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def is_elsewhere(address):
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def test_it_builds_without_a_warning(built):
    assert "Documentation built" in built[1]
    assert [line for line in built[1].splitlines() if not line.startswith("INFO ")] == []


def test_every_page_of_the_folder_is_in_the_site(site):
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 15
    missing = [page for page in pages if not (site / page.with_suffix(".html")).is_file()]
    assert not missing


def test_every_page_is_in_the_navigation_once(pages, site):
    text = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = re.findall(r"^\s+- (?:\w+: )?(\S+\.md)$", text, re.M)
    assert sorted(named) == sorted(set(named))
    built = {p.relative_to(site).with_suffix(".md").as_posix() for p in pages}
    assert set(named) == built - {"404.md"}


def test_every_link_and_every_anchor_holds(site, pages):
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # made for the root of a server
            continue
        for link in page.links:
            if is_elsewhere(link):
                continue
            target, _, place = link.partition("#")
            file = (path.parent / unquote(target)).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (place and unquote(place) not in pages[file].places):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_no_page_loads_anything_from_the_network(site, pages):
    fetched = [
        f"{path.relative_to(site)}: {address}"
        for path, page in pages.items()
        for address in page.loads
        if is_elsewhere(address) and not address.startswith("data:")
    ]
    styles = {path: path.read_text() for path in site.rglob("*.css")}
    styles |= {path: " ".join(page.styles) for path, page in pages.items()}
    pattern = r"(?:@import|url\()\s*['\"]?((?:https?:)?//[^'\")\s]+)"
    fetched += [
        f"{path}: {url}" for path, text in styles.items() for url in re.findall(pattern, text)
    ]
    assert not fetched
    # The theme would fetch a library for such diagrams.
    assert not [path for path in pages if 'class="mermaid"' in path.read_text()]


@pytest.mark.parametrize("room", ["cache", "extract", "fusion"])
def test_every_public_name_is_in_the_reference(site, pages, room):
    public = importlib.import_module(f"vapipe.{room}").__all__
    listed = {place.rpartition(".")[2] for place in pages[site / f"api/{room}.html"].places}
    assert [name for name in public if name not in listed] == []


def test_what_pages_load_is_there(site, pages):
    absent = [
        f"{path.relative_to(site)}: {address}"
        for path, page in pages.items()
        if path.name != "404.html"
        for address in page.loads
        if not is_elsewhere(address)
        and not (path.parent / unquote(urlsplit(address).path)).is_file()
    ]
    assert not absent


def test_sources_of_pages_and_pictures_stay_out(site):
    assert not [path for path in site.rglob("*") if path.suffix in (".py", ".ipynb", ".md")]


def test_the_checks_can_fail(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<p id="here"><a href="#there">x</a><script src="https://a.example/x.js"></script>'
        '<link rel="canonical" href="https://b.example"><img src="x.png" style="color: red">'
        "<style>@import 'https://c.example/x.css'</style>"
    )
    found = Page(page)
    assert found.links == ["#there"]
    assert found.places == {"here"}
    assert found.loads == ["https://a.example/x.js", "x.png"]
    assert "c.example" in found.styles[-1]
