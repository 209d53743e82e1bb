"""What the documentation shows works as written."""

import importlib.util
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from caches import add_video, make_cache

from vapipe.cache import ConfigError, FeatureStore, Valid
from vapipe.cache.pack import pack_cache
from vapipe.fusion import FitConfig

ROOT = Path(__file__).resolve().parents[1]


def snippet(path, number=0):
    """A Python block of a Markdown file."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / path).read_text(), re.M | re.S)
    return blocks[number]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = make_cache(tmp_path / "vapipe-cache")
    rng = np.random.default_rng(0)
    for name, rows in (("a", 9), ("b", 5)):
        features = {"onet": rng.normal(size=(rows, 256)), "logmel": rng.normal(size=(rows, 128))}
        add_video(root, name, features, labels=np.zeros((rows, 2)), partition="train")
    return root


@pytest.mark.parametrize("packing", [None, "plain", "compressed"])
def test_plain_h5py_reads_what_the_store_reads_in_ten_lines(cache, packing):
    if packing:
        list(pack_cache(cache, compress=packing == "compressed"))
    code = snippet("docs/cache-format.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names = {}
    exec(code, names)
    store = FeatureStore.open(cache)
    assert sorted(names["features"]) == ["a", "b"]
    for video, (features, valid) in names["features"].items():
        assert np.array_equal(features, store.read(video, "onet"))
        assert np.array_equal(valid, store.status(video, "onet"))


def test_the_cache_format_lists_every_validity_code():
    text = (ROOT / "docs/cache-format.md").read_text()
    (codes,) = re.findall(r"^Validity codes:(.*?)\n\n", text, re.M | re.S)
    assert {int(code) for code in re.findall(r"\d+", codes)} == {code.value for code in Valid}


def test_links_between_pages_hold():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        pictures = re.findall(r'<img src="(.*?)"', page.read_text())
        assert all((page.parent / picture).exists() for picture in pictures), page.name
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_configuration_of_the_documentation_is_one():
    (text,) = re.findall(
        r'^```toml title="mine.toml"\n(.*?)^```',
        (ROOT / "docs/experiments.md").read_text(),
        re.M | re.S,
    )
    config = FitConfig.from_json(tomllib.loads(text)).resolved()
    assert config.recursions == 3
    assert config.tcn_channels["video"] == (256, 256, 128, 128)


def test_released_checkpoints_load_as_documented():
    with pytest.raises(ConfigError, match=r"missing: attention\.0\.joint\.bias"):
        exec(snippet("docs/heads.md", 1), {"state_dict": {}})


def test_the_table_of_recipes_is_that_of_the_code():
    path = ROOT / "docs/recipes.py"
    spec = importlib.util.spec_from_file_location("recipes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.PAGE.read_text()
    assert page == module.written(page), "run `python docs/recipes.py`"


def test_the_drawn_pictures_are_what_their_program_draws():
    path = ROOT / "docs/pictures/draw.py"
    spec = importlib.util.spec_from_file_location("draw", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {file.stem for file in path.parent.glob("*.svg")} == set(module.PICTURES)
    for name, draw in module.PICTURES.items():
        text = path.with_name(f"{name}.svg").read_text()
        assert text == str(draw()), f"run `python docs/pictures/draw.py` ({name})"
        assert len(text) < 10_000
        ElementTree.fromstring(text)


def test_the_picture_of_the_drift_says_what_was_measured():
    drawn = re.findall(r"fps: ([+-][\d.]+)<", (ROOT / "docs/pictures/drift.svg").read_text())
    measured = re.findall(r"\| ([+-][\d.]+) \|$", (ROOT / "docs/alignment.md").read_text(), re.M)
    assert len(drawn) == 4
    assert set(drawn) <= set(measured)


def test_the_figures_of_the_readme_are_those_of_the_benchmarks():
    table = (ROOT / "README.md").read_text().split("## Measured")[1].split("## ")[0]
    cells = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    figures = [
        figure for cell in cells for figure in re.findall(r"\d+(?:\.\d+)?(?: ± [\d.]+)?", cell)
    ]
    assert len(figures) > 6
    measured = (ROOT / "docs/benchmarks.md").read_text()
    assert [f for f in figures if not re.search(rf"(?<![\d.]){re.escape(f)}(?!\d)", measured)] == []
