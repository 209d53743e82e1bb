"""Reports in a real browser are usable by mouse, by keyboard and on a small screen."""

import json

import numpy as np
import pytest
from browser import Browser, Tab
from clips import PAL, Sound, constant_times, write_clip
from report_pages import ready, series, show
from report_runs import HARM, ROWS, UNLABELLED

from vapipe.fusion.evaluation.gates import read_gates
from vapipe.reports import run_report
from vapipe.reports.measures import within_video
from vapipe.reports.records import read_record
from vapipe.reports.run_report import write_report
from vapipe.reports.truth import read_truth

# -- the clip --------------------------------------------------------------------------------------


def click_at(tab: Tab, share: float) -> None:
    """Click into the first panel at a share of its width."""
    tab.page.evaluate(  # the clip covers what is scrolled below it
        "() => { document.documentElement.style.scrollBehavior = 'auto';"
        "const box = name => document.querySelector(name).getBoundingClientRect();"
        "document.getElementById('plot-video').scrollIntoView();"
        "scrollBy(0, box('#plot-video').top - box('.view').bottom); }"
    )
    x, y = tab.page.evaluate(
        "share => { const gd = document.getElementById('plot-video');"
        "const box = gd.getBoundingClientRect(), size = gd._fullLayout._size;"
        "return [box.left + size.l + share * size.w, box.top + size.t + 80]; }",
        share,
    )
    tab.page.mouse.move(x, y)
    tab.page.wait_for_timeout(80)
    tab.page.mouse.click(x, y)


def test_a_click_seeks_and_the_cursor_follows_the_clip(opened, place):
    show(opened, "clip")
    page, pts = opened.page, place.store.timeline("clip").pts
    opened.wait("document.querySelector('video').readyState >= 1")
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(8, abs=0.1)
    click_at(opened, 0.5)
    opened.wait("document.querySelector('video').currentTime > 3.9")
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(
        4, abs=0.06
    )
    assert float(page.get_attribute("#cursor", "data-seconds")) == pytest.approx(4, abs=0.05)
    clicked = int(page.input_value("#frame"))
    page.keyboard.press("ArrowRight")  # goes on from where one clicked
    assert page.input_value("#frame") == str(clicked + 1)
    opened.wait(f"document.querySelector('video').currentTime > {pts[clicked + 1]}")
    page.evaluate("document.querySelector('video').currentTime = 6.415")
    row = int(np.searchsorted(pts, 6.415) - 1)
    opened.wait(f"document.getElementById('frame').value === '{row}'")
    assert float(page.get_attribute("#cursor", "data-seconds")) == pytest.approx(pts[row])
    assert f"{pts[row]:.2f} s, frame {row}: not annotated" in page.inner_text("#readout")
    page.evaluate("document.querySelector('video').muted = true")
    page.evaluate("document.querySelector('video').play()")
    opened.wait(f"Number(document.getElementById('frame').value) > {row + 5}")
    page.evaluate("document.querySelector('video').pause()")


@pytest.mark.parametrize("where", ["curves", "clip"])
def test_arrows_go_by_frames_and_seconds_after_a_click(opened, place, where):
    show(opened, "clip")
    page, pts = opened.page, place.store.timeline("clip").pts
    opened.wait("document.querySelector('video').readyState >= 1")
    click_at(opened, 0.5)
    if where == "clip":
        page.evaluate("document.querySelector('video').focus()")  # as a click does, but stays still
    row = int(page.input_value("#frame"))
    second = round(1 / (pts[1] - pts[0]))
    for keys, expected in (
        ("ArrowLeft", row - 1),
        ("ArrowRight", row),
        ("Shift+ArrowRight", row + second),
        ("Shift+ArrowLeft", row),
    ):
        page.keyboard.press(keys)
        assert page.input_value("#frame") == str(expected)
        assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(
            pts[expected] + 1e-3, abs=1e-4
        )
    page.fill("#frame", str(ROWS - 1))
    page.keyboard.press("Shift+ArrowRight")  # there is nothing after the last
    assert page.input_value("#frame") == str(ROWS - 1)
    assert opened.complaints == []


def test_the_clip_stays_in_view_beside_its_curves(opened):
    show(opened, "clip")
    opened.wait("document.querySelector('video').readyState >= 1")
    top, bottom = opened.page.evaluate(
        "(() => { document.documentElement.style.scrollBehavior = 'auto';"
        "const stage = document.getElementById('plot-video');"
        "scrollBy(0, stage.getBoundingClientRect().bottom - innerHeight);"
        "const box = document.querySelector('video').getBoundingClientRect();"
        "return [box.top, box.bottom - innerHeight / 2]; })()"
    )
    assert top >= 0
    assert bottom <= 0


def test_the_cursor_stands_where_its_time_is_on_the_axis(opened):
    show(opened, "clip")
    opened.page.fill("#frame", "100")
    left, expected = opened.page.evaluate(
        "(() => { const gd = document.getElementById('plot-video'), axis = gd._fullLayout.xaxis;"
        "return [document.getElementById('cursor').getBoundingClientRect().left,"
        "gd.getBoundingClientRect().left + axis._offset + axis.l2p(4)]; })()"
    )
    assert left == pytest.approx(expected, abs=2)
    opened.page.evaluate(
        "Plotly.relayout(document.getElementById('plot-video'), {'xaxis.range': [5, 6]})"
    )
    opened.page.wait_for_selector("#cursor", state="hidden")
    opened.page.click("#whole")
    opened.page.wait_for_selector("#cursor", state="visible")


def test_a_video_without_a_file_says_so(opened):
    show(opened, HARM[2])
    assert "No file for" in opened.page.inner_text("#player")
    assert opened.page.query_selector("video") is None


def test_a_clip_of_which_only_the_sound_can_be_played_says_so(
    place, browser: Browser, tmp_path, monkeypatch
):
    sound = Sound(signal=lambda times: 0.3 * np.sin(1400 * times))
    clip = write_clip(
        tmp_path / "clip.mp4", times=constant_times(PAL, ROWS), codec="mpeg4", sound=sound
    )
    monkeypatch.setattr(run_report, "find_media", lambda *names: ({"clip": clip.path}, []))
    write_report([place.runs["first"]], tmp_path / "page.html", media=tmp_path)
    tab = ready(browser.open(tmp_path / "page.html"))
    show(tab, "clip")
    tab.page.wait_for_selector("#player p")
    assert "This browser cannot show the pictures of clip.mp4" in tab.page.inner_text("#player")
    assert tab.page.query_selector("video") is not None
    assert tab.complaints == []


# -- the list --------------------------------------------------------------------------------------


def names(tab: Tab) -> list[str]:
    """The videos that are listed."""
    return tab.page.eval_on_selector_all("#video-list tbody a", "all => all.map(a => a.innerText)")


def choose(tab: Tab, what: str) -> None:
    """Choose a filter by its name, by keyboard."""
    tab.page.focus("#list-controls select >> nth=1")
    tab.page.keyboard.type(what)
    select = "document.querySelectorAll('#list-controls select')[1]"
    tab.wait(f"{select}.value.startsWith({json.dumps(what)})")


def test_videos_are_chosen_by_what_went_wrong(page, place, browser: Browser):
    tab = ready(browser.open(page))
    assert sorted(names(tab)) == sorted(["clip", *HARM])
    select = tab.page.locator("#list-controls select").nth(1)
    options = {o.rpartition(" (")[0]: o for o in select.locator("option").all_inner_texts()}
    assert options["all videos"] == "all videos (4)"
    for name, expected in (
        ("no face", lambda video: not place.store.valid(video, "onet").all()),
        ("no audio", lambda video: not place.store.valid(video, "logmel").all()),
        ("not annotated", lambda video: np.isnan(place.store.labels(video)).any()),
        ("no clip", lambda video: video != "clip"),
    ):
        fitting = {video for video in ("clip", *HARM) if expected(video)}
        assert options[name] == f"{name} ({len(fitting)})"
        select.select_option(label=options[name])
        assert {*names(tab)} == fitting
    assert "no CCC (not annotated)" not in options  # nothing would be left
    tab.page.fill("#list-controls input", "IMG")
    assert names(tab) == [HARM[1]]
    assert tab.page.inner_text("#video-count") == "1 of 4 videos"
    show(tab, HARM[1])
    tab.page.fill("#list-controls input", "nothing of this name")
    assert names(tab) == []
    assert tab.page.is_disabled("#next")
    tab.page.fill("#list-controls input", "")
    choose(tab, "all")
    assert len(names(tab)) == 4
    assert tab.complaints == []


def test_next_goes_through_what_is_listed(page, browser: Browser):
    tab = ready(browser.open(page))
    show(tab, "clip")
    tab.page.fill("#list-controls input", "mg")
    tab.page.click("#next")
    tab.wait(f"document.getElementById('video-name').textContent === {json.dumps(HARM[1])}")
    tab.page.fill("#list-controls input", "")
    listed = names(tab)
    tab.page.click("#previous")
    before = listed[listed.index(HARM[1]) - 1]
    tab.wait(f"document.getElementById('video-name').textContent === {json.dumps(before)}")


def test_intervals_and_numbers_of_frames_stand_beside_the_score(opened, place):
    record = read_record("first", place.runs["first"], "validation")
    show(opened, "clip")
    (item,) = read_truth(place.store, ["clip"], [])
    within = within_video(record.predictions["clip"], item, record.targets)
    row = opened.page.locator("#video-list tr", has=opened.page.get_by_role("link", name="clip"))
    text = row.first.inner_text().replace("−", "-")
    assert f"n = {ROWS - UNLABELLED[1] + UNLABELLED[0]}" in text
    assert within["blocks"] < 5  # eight seconds
    assert "[" not in text
    assert f"error {within['errors']['valence']:.3f}" in opened.page.inner_text("#video-facts")


# -- harm, keyboard, small screens -----------------------------------------------------------------


@pytest.mark.parametrize("name", HARM)
def test_harmful_names_are_shown_and_do_nothing(opened, name):
    show(opened, name)
    assert opened.page.text_content("#video-name") == name
    assert opened.page.evaluate("document.querySelectorAll('img').length") == 0
    assert opened.complaints == []


def test_everything_can_be_reached_by_keyboard(page, browser: Browser):
    tab = ready(browser.open(page))
    keys = tab.page.keyboard
    keys.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert tab.page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    keys.press("Enter")
    assert tab.page.get_by_text("Skip the list").get_attribute("href") == "#video-name"
    reached = []
    for _ in range(40):
        keys.press("Tab")
        reached.append(
            tab.page.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.id || e.textContent, e === document.body ? 'end' : s.outlineStyle];"
                "})()"
            )
        )
    names = [name for name, _ in reached]
    assert {
        "Videos",
        "order",
        "clip",
        *HARM,
        "gates",
        "frame",
        "next",
        "All epochs as a table",
    } <= {*names}
    assert any(name.startswith("all videos (4)") for name in names)
    assert [name[:40] for name, ring in reached if ring == "none"] == []
    tab.page.get_by_role("link", name="clip", exact=True).focus()
    keys.press("Enter")
    tab.wait("document.activeElement.id === 'video-name'")
    tab.page.wait_for_selector("#cursor", state="visible")
    tab.page.focus("#frame")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert "0.08 s, frame 2" in tab.page.inner_text("#readout")
    assert "0.08 s, frame 2. valence: annotated" in tab.page.get_attribute(
        "#frame", "aria-valuetext"
    )
    assert tab.page.get_attribute("#cursor", "data-seconds") == "0.08"
    keys.press("End")
    assert f"frame {ROWS - 1}" in tab.page.inner_text("#readout")
    tab.page.focus("#next")
    keys.press("Enter")
    tab.wait("document.getElementById('video-name').textContent !== 'clip'")
    assert tab.complaints == []


def test_on_a_small_dark_calm_screen(both, browser: Browser):
    tab = ready(
        browser.open(both, width=400, height=800, color_scheme="dark", reduced_motion="reduce")
    )
    assert tab.wide() == 0
    for video in HARM:
        show(tab, video)
        assert tab.wide() == 0
    for summary in tab.page.query_selector_all("summary"):
        summary.click()
    assert tab.wide() == 0
    assert tab.cut() == []
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ground.strip("rgb()").split(",")) < 60
    ink = tab.page.evaluate("document.getElementById('plot-video')._fullLayout.font.color")
    assert min(int(part) for part in ink.strip("rgb()").split(",")) > 180
    assert tab.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert tab.complaints == []


def test_gates_without_room_are_means_within_their_range(page, place, browser: Browser):
    tab = ready(browser.open(page, width=400))
    show(tab, "clip")
    name = "gate: valence/video/unattended"
    gates = read_gates(place.runs["first"], "validation").values["clip"][:, 0].astype(float)
    shown = series(tab, name)
    size = -(-ROWS // len(shown))
    groups = [gates[at : at + size] for at in range(0, ROWS, size)]
    assert 2 <= size == len(groups[0])
    assert np.allclose(shown, [group.mean() for group in groups], atol=6e-3)
    ends = series(tab, f"range of {name}")
    assert np.allclose(ends[: len(groups)], [group.max() for group in groups], atol=6e-3)
    assert np.allclose(ends[len(groups) :][::-1], [group.min() for group in groups], atol=6e-3)
    zoom = "Plotly.relayout(document.getElementById('plot-video'), {'xaxis.range': [2, 4]})"
    tab.page.evaluate(zoom)
    tab.wait(f"!document.getElementById('plot-video').data.some(t => t.meta === 'range of {name}')")
    assert np.allclose(series(tab, name), gates, atol=6e-3)
    assert tab.page.evaluate(
        "document.getElementById('plot-video')._fullLayout.xaxis.range"
    ) == [2, 4]  # fmt: skip
    tab.page.click("#whole")
    tab.wait(f"document.getElementById('plot-video').data.some(t => t.meta === 'range of {name}')")
    assert tab.complaints == []
