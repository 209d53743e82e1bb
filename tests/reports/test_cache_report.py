"""The page about a cache tells the right figures in a real browser, offline, whatever the names."""

import re
import shutil

import numpy as np
import pytest
from caches import KEYS, add_features, add_video, make_cache, source_of
from terminal import vapipe_

from vapipe.cache import Timeline, Valid
from vapipe.cache.layout import features_path, write_current, write_labels, write_timeline
from vapipe.extract.failures import Circumstances, Failure, write_failure
from vapipe.reports import cache_report

ROWS = 20
HARM = "<img src=x onerror=alert(1)>"
HARMS = [HARM, "</script><script>alert(2)</script>", '"><svg onload=alert(3)>', "${1}{{2}}"]
FACES = np.repeat([Valid.DETECTED, Valid.TRACKED, Valid.NO_FACE], [2, 13, 5]).astype(np.uint8)


def table(tab):
    """The rows of the table of items, as texts."""
    return tab.page.eval_on_selector_all(
        "#items tbody tr", "rows => rows.map(row => [...row.children].map(c => c.innerText.trim()))"
    )


def names(tab):
    return [row[0] for row in table(tab)]


def text(tab, section):
    return tab.page.inner_text(f"#{section}")


def rows(tab, section, number=0):
    """The rows of a table of figures: first cell -> the others."""
    found = tab.page.eval_on_selector_all(
        f"#{section} table",
        "tables => tables.map(t => [...t.querySelectorAll('tbody tr')]"
        ".map(row => [...row.children].map(c => c.innerText.trim())))",
    )[number]
    return {row[0]: row[1:] for row in found}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """v00 to v59, five of them incomplete in one way or another, and four of harmful names."""
    root = make_cache(tmp_path_factory.mktemp("many") / "cache")
    for number in range(60):
        features = {"onet": np.zeros((ROWS + number, 3)), "logmel": np.zeros((ROWS + number, 2))}
        labels = np.zeros((ROWS + number, 2))
        labels[:10] = np.nan
        add_video(
            root,
            f"v{number:02}",
            features,
            valid={"onet": np.resize(FACES, ROWS + number)},
            labels=labels if number < 30 else None,
            partition="train" if number < 30 else None,
        )
    for number, name in enumerate(HARMS):
        codes = np.full(ROWS, Valid.DETECTED, np.uint8)
        codes[: number + 6] = Valid.NO_FACE
        add_video(root, name, {"onet": np.zeros((ROWS, 3))}, valid={"onet": codes})
        add_features(root, name, HARM, np.zeros((ROWS, 3)), key="c" * 64)
    features_path(root, "onet", KEYS["visual"], "v03").write_bytes(b"")
    features_path(root, "logmel", KEYS["audio"], "v04").unlink()
    for name in ("v05", "v06"):
        pts = np.arange(ROWS + int(name[1:])) / 25 + 0.9
        again = Timeline(pts, 25.0)
        write_timeline(root, name, again, subjects=[name], source=source_of(name, version=1))
    write_labels(root, "v07", np.zeros((3, 2)), partition="train", source={})
    write_current(root, {"onet": KEYS["visual"], "logmel": KEYS["audio"]})
    return root


@pytest.fixture(scope="module")
def page(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    result = vapipe_("cache", "report", "--cache", root, "--out", out, "--sheets", 6)
    assert result.exit_code == 0, result.stderr
    assert f"{out}: 64 items, 3 streams, 6 contact sheets without faces, " in result.stdout
    assert "next: --videos DIR puts faces on the sheets" in result.stdout
    return out


@pytest.fixture
def tab(browser, page):
    tab = browser.open(page)
    tab.page.wait_for_selector("#items[data-drawn]")
    yield tab
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []


def test_the_summary_counts_right(tab):
    figures = tab.page.eval_on_selector_all(
        "#summary dl div", "all => all.map(d => [...d.children].map(c => c.innerText))"
    )
    total = sum(ROWS + number for number in range(60)) + 4 * ROWS
    assert dict(figures[:1] + figures[2:3]) == {"videos": "64", "frames": f"{total:,}"}
    told = text(tab, "summary")
    assert "Of 192 cells" in told
    # onet: v03 damaged, v05 and v06 stale; logmel: v04 and four missing, the same two stale;
    # the third stream is there for four.
    assert "65 missing, 4 stale, 1 damaged" in told
    coverage = {name: cells[1:5] for name, cells in rows(tab, "streams").items()}
    assert coverage == {
        "onet": ["61", "0", "2", "1"],
        "logmel": ["57", "5", "2", "0"],
        HARM: ["4", "60", "0", "0"],
    }


def test_the_page_states_its_size(tab, page):
    (told,) = re.findall(r"This page holds ([\d.]+) KiB: 64 of 64 items", text(tab, "summary"))
    assert float(told) * 1024 == pytest.approx(page.stat().st_size, rel=0.1)


def test_detection_is_counted_over_all_rows(tab):
    lengths = {n: ROWS + n for n in range(60) if n not in (3, 5, 6)}
    codes = np.concatenate([np.resize(FACES, length) for length in lengths.values()])
    lost = sum(number + 6 for number in range(len(HARMS)))
    total = len(codes) + ROWS * len(HARMS)
    good = (codes == Valid.DETECTED).sum() + ROWS * len(HARMS) - lost
    cells = rows(tab, "streams", 1)["onet"]
    assert cells[1] == f"{100 * good / total:.1f} %"
    assert cells[4] == f"{100 * ((codes == Valid.NO_FACE).sum() + lost) / total:.1f} %"
    assert cells[5] == f"no face: {(codes == Valid.NO_FACE).sum() + lost:,}"


def test_labels_and_times_are_counted(tab):
    annotated = sum(ROWS + n - 10 for n in range(30) if n != 7)
    assert rows(tab, "labels")["train"][:3] == ["30", "29", f"{annotated:,}"]
    assert rows(tab, "labels")["train"][4] == "1"
    assert rows(tab, "labels")["none"][:3] == ["34", "0", "0"]
    assert rows(tab, "times") == {"late start": ["2"]}


def test_the_table_sorts_both_ways_and_turns_pages(tab):
    assert len(table(tab)) == 50
    assert "64 of 64 items; 1 to 50 shown" in text(tab, "items")
    tab.page.click("#items button:has-text('duration')")
    assert names(tab)[-1] < "v59"
    assert tab.page.get_attribute("#items th:has-text('duration')", "aria-sort") == "ascending"
    tab.page.click("#items button:has-text('duration')")
    assert names(tab)[:3] == ["v59", "v58", "v57"]
    assert tab.page.get_attribute("#items th:has-text('duration')", "aria-sort") == "descending"
    tab.page.click("#items button:has-text('Next')")
    assert len(table(tab)) == 14
    assert tab.page.is_disabled("#items button:has-text('Next')")
    tab.page.click("#items button:has-text('onet')")
    # The damaged one first, then stale ones, then the fewest usable rows.
    assert names(tab)[:3] == ["v03", "v05", "v06"]
    assert names(tab)[3] == HARMS[3]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("damaged in a stream", ["v03"]),
        ("stale in a stream", ["v05", "v06"]),
        ("late start", ["v05", "v06"]),
        ("times or labels not readable", ["v07"]),
    ],
)
def test_filters_show_just_those(tab, filter_, found):
    tab.page.select_option("#items select >> nth=0", label=f"{filter_} ({len(found)})")
    assert names(tab) == found
    assert f"{len(found)} of 64 items" in text(tab, "items")


def test_names_and_partitions_filter_together(tab):
    tab.page.fill("#items input", "V1")
    assert names(tab) == [f"v{n}" for n in range(10, 20)]
    tab.page.select_option("#items select >> nth=1", label="none")
    assert names(tab) == []
    assert "0 of 64 items" in text(tab, "items")
    tab.page.fill("#items input", "")
    assert len(names(tab)) == 34


def test_details_come_on_demand_and_by_keyboard(tab):
    tab.page.fill("#items input", "v05")
    tab.page.focus("#items tbody button")
    tab.page.keyboard.press("Enter")
    told = tab.page.inner_text("#items td.more")
    assert "onet: stale: made from an earlier version of the video file" in told
    assert "late start: the first frame comes at 0.900 s" in told
    assert tab.page.get_attribute("#items tbody button", "aria-expanded") == "true"
    tab.page.keyboard.press("Enter")
    assert tab.page.query_selector("#items td.more") is None
    tab.page.fill("#items input", "v00")
    tab.page.click("#items tbody button")
    told = tab.page.inner_text("#items td.more")
    assert "onet: 10.0 % detected, 65.0 % tracked, 25.0 % missing" in told
    assert "(2 detected, 13 tracked, 5 no face)" in told
    assert "20 frames, 0.8 s, 25.0000 frames/s; 10 frames annotated." in told


def test_damaged_shards_are_listed_with_their_reason(tab):
    told = text(tab, "problems")
    assert "Damaged shards: 1" in told
    assert "the file is empty or all zeros" in told


def test_harmful_names_are_text(tab):
    tab.page.fill("#items input", "<")
    assert set(names(tab)) == {HARMS[0], HARMS[1], HARMS[2]}
    for button in tab.page.query_selector_all("#items tbody button"):
        button.click()
    assert tab.page.query_selector("img[src=x]") is None
    assert tab.page.query_selector("svg") is None
    assert HARM in text(tab, "sheets")


def test_sheets_are_limited_and_worst_first(tab):
    shown = tab.page.eval_on_selector_all("article h3", "all => all.map(h => h.innerText)")
    assert shown[:2] == [HARMS[3], HARMS[2]]
    assert len(shown) == 6
    assert "onet: 55.0 % detected, 45.0 % missing" in text(tab, "sheets")
    assert text(tab, "sheets").count("No faces: ") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_telephone(browser, page, scheme):
    tab = browser.open(page, width=400, color_scheme=scheme)
    tab.page.wait_for_selector("#items[data-drawn]")
    tab.page.click("#items tbody button")
    assert tab.wide() <= 0
    assert tab.cut() == []
    assert tab.page.locator("#items thead th").nth(1).is_visible()
    assert tab.complaints == []


def test_an_empty_cache_has_a_page_that_says_so(browser, tmp_path):
    out = tmp_path / "page.html"
    result = vapipe_("cache", "report", "--cache", make_cache(tmp_path / "c"), "--out", out)
    assert result.exit_code == 0
    tab = browser.open(out)
    assert "The cache holds no video yet" in text(tab, "summary")
    assert "There is no item yet." in text(tab, "items")
    assert tab.complaints == []


def test_no_cache_is_an_error_that_says_what_to_do(tmp_path):
    result = vapipe_("cache", "report", "--cache", tmp_path, "--out", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "is not a vapipe cache" in result.stderr
    assert "vapipe extract --videos DIR" in result.stderr
    assert not (tmp_path / "page.html").exists()


def test_videos_that_failed_are_listed_with_their_reason(browser, tmp_path):
    root = make_cache(tmp_path / "cache")
    for name in (HARM, "cut"):
        write_failure(
            root, Failure(name, "v.mp4", f"{name}: ends early", Circumstances({}, {}, "", ""))
        )
    out = tmp_path / "page.html"
    assert vapipe_("cache", "report", "--cache", root, "--out", out).exit_code == 0
    tab = browser.open(out)
    assert "Videos that could not be extracted: 2" in text(tab, "problems")
    assert rows(tab, "problems") == {name: [f"{name}: ends early"] for name in (HARM, "cut")}
    assert tab.complaints == []


def test_items_without_a_face_or_sound_are_named_with_the_reason(browser, tmp_path):
    root = make_cache(tmp_path / "cache")
    for name, code in ((HARM, Valid.NO_FACE), ("partly", Valid.DETECTED)):
        codes = np.full(ROWS, code, np.uint8)
        codes[0] = Valid.DECODE_ERROR
        heard = np.full(ROWS, Valid.NO_AUDIO if name == HARM else Valid.SILENCE, np.uint8)
        features = {"onet": np.zeros((ROWS, 3)), "logmel": np.zeros((ROWS, 2))}
        add_video(root, name, features, valid={"onet": codes, "logmel": heard})
    write_labels(root, "partly", np.zeros((3, 2)), partition="train", source={})
    out = tmp_path / "page.html"
    assert vapipe_("cache", "report", "--cache", root, "--out", out).exit_code == 0
    tab = browser.open(out)
    told = text(tab, "problems")
    assert "Items without one usable row in a stream: 1" in told
    reasons = f"logmel: {ROWS} no audio; onet: {ROWS - 1} no face, 1 decode error"
    assert rows(tab, "problems") == {HARM: [reasons]}
    assert "Times or labels that cannot be used: 1" in told
    assert rows(tab, "problems", 1) == {
        "partly": [f"3 label rows for {ROWS} frames; extract again"]
    }
    assert tab.complaints == []


def test_a_damaged_note_of_a_failure_is_an_error(tmp_path):
    root = make_cache(tmp_path / "cache")
    (root / "failures").mkdir()
    (root / "failures" / "x.json").write_text("{")
    result = vapipe_("cache", "report", "--cache", root, "--out", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "cannot read" in result.stderr
    assert "delete it" in result.stderr


def test_a_folder_of_videos_that_is_not_there_is_a_wrong_option(root, tmp_path):
    result = vapipe_("cache", "report", "--cache", root, "--videos", tmp_path / "none")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_a_page_that_cannot_be_written_is_an_error(root, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "page.html"
    result = vapipe_("cache", "report", "--cache", root, "--out", out, "--sheets", 0)
    assert result.exit_code == 1
    assert f"cannot write {out}" in result.stderr


def test_too_many_items_are_cut_and_the_page_says_so(browser, root, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_report, "LISTED", 10)
    out = tmp_path / "page.html"
    assert vapipe_("cache", "report", "--cache", root, "--out", out, "--sheets", 0).exit_code == 0
    tab = browser.open(out)
    tab.page.wait_for_selector("#items[data-drawn]")
    assert len(names(tab)) == 10
    assert {"v03", "v05", "v06"} <= set(names(tab))
    assert "Only 10 of 64 items are listed" in text(tab, "items")
    assert "10 of 64 items listed" in text(tab, "summary")


def test_faces_and_strips_of_extracted_videos(browser, cache, videos, tmp_path):
    there = tmp_path / "videos"
    shutil.copytree(videos, there)
    (there / "b.mp4").unlink()
    shutil.copy(there / "a.mp4", there / "new.mp4")
    out = tmp_path / "page.html"
    result = vapipe_("cache", "report", "--cache", cache, "--videos", there, "--out", out)
    assert result.exit_code == 0
    assert f"b: no video called b.mp4 in {there} or below; give its folder" in result.stdout
    assert "2 contact sheets, " in result.stdout
    tab = browser.open(out)
    tab.page.wait_for_selector("#items[data-drawn]")
    sizes = tab.page.eval_on_selector_all(
        ".faces img", "all => all.map(img => [img.complete, img.naturalWidth])"
    )
    assert sizes == [[True, 96]] * 8
    strips = tab.page.eval_on_selector_all(".strip", "all => all.map(img => img.naturalHeight)")
    assert strips == [64, 64]
    assert "no video called b.mp4" in text(tab, "sheets")
    assert "new.mp4" in tab.page.text_content("#problems")
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
