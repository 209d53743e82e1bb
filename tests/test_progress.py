"""How far work is: told by tasks wherever they run, and shown as the last line of a terminal."""

import io
import json
import re
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise

import deeds
import pytest
from children import invoke
from clips import PAL, Sound, constant_times, write_clip
from extracted import hum, moving
from fusion_caches import write_planted
from screen import screen, show

from vapipe.commands import progress as bars
from vapipe.commands.progress import Pace, lay_out, progress_bar
from vapipe.executor import Limits, run_tasks
from vapipe.extract import shares
from vapipe.progress import listening, tell

QUICK = """
head = "concat"
targets = "joint"
window = 50
stride = 40
batch = 4
epochs = 30
patience = 30
hidden = 16
tcn_channels = { video = [8], audio = [8] }
"""


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"limits": Limits()}])
def test_what_tasks_tell_is_heard_with_the_task_and_ends_with_it(options):
    heard = []
    with listening(lambda *news: heard.append(news)):
        tell("before")
        tasks = [(number, 10) for number in range(3)]
        assert dict(run_tasks(deeds.tell_steps, tasks, **options)) == {t: t[0] for t in tasks}
    tell("nobody listens")
    assert heard.pop(0) == ("before",)
    for task in tasks:
        own = [news for news in heard if news[0] == task]
        assert own, "every task takes longer than the time between two reports"
        assert all(total == 10 and words == f"of {task[0]}" for _, _, total, words in own)
        steps = [step for _, step, *_ in own]
        assert steps == sorted(steps)


class _Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    """Makes a terminal of 60 columns of the standard streams; `.all()` is what it received."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")

    @contextmanager
    def make(kind=_Terminal):
        with kind(
            (tmp_path / "terminal").open("wb", 0), encoding="ascii", write_through=True
        ) as out:
            out.all = lambda: (tmp_path / "terminal").read_bytes().decode()
            with redirect_stdout(out), redirect_stderr(out):
                yield out

    return make


def test_what_is_printed_meanwhile_stands_above_the_bar_and_the_bar_goes_away(terminal):
    with terminal() as out:
        print("first")
        with progress_bar() as bar:
            bar.show(1, 4, "1/4 fits")
            print("second")
            print("third,\nof a library", file=sys.stderr)
            sys.stderr.write("half ")
            print("a line")
            now = screen(out.all(), 60)
            assert now[-1].startswith(" 25 % [")
            assert now[-1].endswith("]  1/4 fits")
        print("last")
        lines = screen(out.all(), 60)
    assert lines == ["first", "second", "third,", "of a library", "half a line", "last", ""]


@pytest.mark.parametrize("where", ["a file", "a dumb terminal"])
def test_nothing_of_a_bar_gets_elsewhere(terminal, monkeypatch, where):
    if where == "a dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    with terminal(_Terminal if where == "a dumb terminal" else io.TextIOWrapper) as out:
        with progress_bar() as bar:
            bar.show(1, 4, "1/4 fits")
            print("line")
        assert out.all() == "line\n"


def test_the_rest_is_told_from_work_done_now(monkeypatch, terminal):
    """Loading, and what was complete before, are no part of the pace."""
    now = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    with terminal() as out, progress_bar() as bar:
        for second, done in ((0, 90), (30, 91), (32, 92), (34, 93)):
            now[0] = second
            bar.show(done, 103, before=90)
        now[0] = 35
        bar.show(93, 103, before=90, most=True)
        drawn = re.findall(r"(?:up to )?[\d:]+ left", out.all())
    assert drawn == ["0:22 left", "0:20 left", "up to 0:25 left"]


def test_a_pace_of_nothing_is_none():
    assert Pace()(0) == 0.0


@pytest.mark.parametrize("columns", [60, 120])
def test_a_bar_leaves_out_what_does_not_fit(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    texts = ["0:32 left", "2/19 videos", "1,234/4,000 frames", "85/s", "x" * 70]
    line = lay_out(0.325, texts)
    assert len(line) < columns
    assert line.startswith(" 32 %")
    assert "".join(line.split("]")[-1].split()).endswith("85/s")
    assert "[##########" in lay_out(0.5, [])
    assert lay_out(1.0, []).count("#") == 28


def test_the_share_of_a_video_goes_by_what_rows_cost(monkeypatch):
    """It never falls, ends with all frames, and the dear rows count most."""
    monkeypatch.setattr(shares, "_seconds", {})
    monkeypatch.setattr(shares, "_rows", {})
    heard = []

    def blocks(seconds):
        for _ in range(10):
            time.sleep(seconds)
            yield "stream", "owner", None, bytes(10)

    with listening(lambda done, total, what: heard.append(done)):
        for order in (("visual", 0.01), ("audio", 0.0002)), (("audio", 0.0002), ("visual", 0.01)):
            heard.clear()
            share = shares.VideoShare(100, ["visual", "audio"])
            for modality, seconds in order:
                assert len(list(share.count(modality, blocks(seconds)))) == 10
            assert all(a <= b for a, b in pairwise(heard))
            assert heard[-1] == 100
            half = heard[4] if order[0][0] == "visual" else heard[14]
            assert 40 <= half <= 60


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("first", "second", "third"):
        times = constant_times(PAL, 200)
        write_clip(folder / f"{name}.mp4", times=times, sound=Sound(signal=hum), draw=moving)
    return folder


def undisturbed(shown, columns):
    """No bar stays, none is wider than the terminal, and no line is broken by one."""
    assert shown.bars
    assert all(len(bar) < columns for bar in shown.bars)
    assert not any(re.search(r"^ *\d+ %( |$)|\[[-#]+\]|\^C", line) for line in shown.lines), (
        shown.lines
    )


def test_an_extraction_shows_frames_within_videos(videos, tmp_path):
    words = ("extract", "--videos", videos, "--cache", tmp_path / "c", "--faces", "frame")
    shown = show([*words, "--jobs", 1], 60)
    undisturbed(shown, 60)
    assert shown.code == 0
    assert [line.split(":")[0].strip() for line in shown.lines if "extracted, 200" in line] == [
        "first",
        "second",
        "third",
    ]
    inside = [re.search(r"(\d)/3 videos  (\d+)/200 frames", bar) for bar in shown.bars]
    assert any(found and 0 < int(found[2]) < 200 for found in inside)


@pytest.mark.slow
def test_ctrl_c_takes_the_bar_away_with_worker_processes_too(videos, tmp_path):
    words = ("extract", "--videos", videos, "--cache", tmp_path / "c", "--jobs", 2)
    shown = show([*words, "--faces", "frame"], 60, interrupt=lambda raw: "1/3 videos" in raw)
    undisturbed(shown, 60)
    assert shown.code == 130
    assert "videos are done and stay in" in " ".join(shown.lines).replace("video are", "videos are")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder / "cache")
    (folder / "quick.toml").write_text(QUICK)
    return folder


def test_a_fit_shows_its_steps_and_goes_on_at_its_epoch(planted, tmp_path):
    run = tmp_path / "run"
    words = ("fit", "--config", planted / "quick.toml", "--cache", planted / "cache", "--run", run)
    shown = show(words, 60, interrupt=lambda raw: "epoch 3/30, step" in raw)
    undisturbed(shown, 60)
    assert shown.code == 130
    assert "stopped; `vapipe fit --resume " in " ".join(shown.lines)
    assert re.search(r"^  0 % \[-+\]  joint epoch 1/30, step 0/\d", shown.bars[0])
    done = len((run / "metrics.jsonl").read_text().splitlines())
    assert done >= 2
    shown = show(("fit", "--resume", run), 120)
    undisturbed(shown, 120)
    assert shown.code == 0
    assert f"joint epoch {done + 1}/30, step 0/" in shown.bars[0]
    assert sum(line.startswith("  joint epoch ") for line in shown.lines) == 30 - done


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_shows_fits_and_their_shares(planted, tmp_path, jobs):
    words = ["sweep", "--config", planted / "quick.toml", "--cache", planted / "cache"]
    words += ["--out", tmp_path / "sweep", "--seeds", 2, "--jobs", jobs, "--set", "epochs=12"]
    shown = show(words, 120)
    undisturbed(shown, 120)
    assert shown.code == 0
    assert any(re.search(r"1/2 fits  joint epoch", bar) for bar in shown.bars)
    if jobs == 2:
        assert any(re.search(r"0/2 fits  \d+%, \d+%", bar) for bar in shown.bars)
    again = invoke(words, tmp_path)  # not in a terminal
    assert again["code"] == 0
    assert again["said"].count("(finished before)") == 2
    assert "\x1b" not in again["said"]
    assert "\r" not in again["said"]
    scores = json.loads((tmp_path / "sweep" / "results.json").read_text())
    assert len(scores) == 2
