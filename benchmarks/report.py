"""A report of a full-size run: `python benchmarks/report.py`.

76 videos with 500,000 frames, generated annotations, predictions and gates in a real cache and run
folder. Prints the size of the page, the seconds to build it (in a process of its own, imports
included), and what Chromium needs to open it, where there is one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vapipe.cache import FeatureStore, Timeline, Valid
from vapipe.cache.layout import create_cache, write_features, write_labels, write_timeline
from vapipe.fusion.config import FitConfig
from vapipe.fusion.data.plan import Plan, fingerprint
from vapipe.fusion.evaluation.gates import GateGroup, Gates
from vapipe.fusion.evaluation.results import write_evaluation
from vapipe.fusion.evaluation.scoring import score

FPS = 30.0
STREAMS = {"onet": ("visual", Valid.NO_FACE), "logmel": ("audio", Valid.NO_AUDIO)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def walk(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Slow random signals in (-1, 1) with the noise that predictions have: [rows, columns]."""
    steps = rng.standard_normal((rows + 100, columns))
    slow = np.apply_along_axis(np.convolve, 0, steps, np.hanning(101) / 6, "valid")
    return np.tanh(slow + 0.08 * rng.standard_normal(slow.shape))


def fill_cache(root: Path, lengths: list[int]) -> FeatureStore:
    """A cache whose features are narrow; annotation and validity have gaps."""
    create_cache(root)
    rng = np.random.default_rng(0)
    for number, rows in enumerate([500, *lengths]):
        video = f"video{number:03d}"
        source = {"name": f"{video}.mp4", "bytes": 1, "modified_ns": 0, "sha256": video}
        timeline = Timeline.from_pts(np.arange(rows) / FPS)
        write_timeline(root, video, timeline, subjects=[video], source=source)
        for stream, (modality, code) in STREAMS.items():
            codes = np.full(rows, Valid.IMAGE, np.uint8)
            for start in rng.integers(0, rows, rows // 1500):
                codes[start : start + 120] = code
            key = hashlib.sha256(stream.encode()).hexdigest()
            with write_features(
                root, video, stream=stream, key=key, rows=rows, dim=2, config={},
                modality=modality, source=source,
            ) as shard:  # fmt: skip
                shard.append(features=np.zeros((rows, 2)), valid=codes)
        labels = walk(rng, rows, 2).round(3)
        for start in rng.integers(0, rows, rows // 4000):
            labels[start : start + 90] = np.nan
        partition = "validation" if number else "train"
        write_labels(root, video, labels, partition=partition, source={})
    return FeatureStore.open(root)


def write_run(run: Path, store: FeatureStore, networks: int, columns: int) -> None:
    """A run folder as `fit` leaves it, but for the weights."""
    rng = np.random.default_rng(1)
    streams = {"video": "onet", "audio": "logmel"}
    config = FitConfig(streams=streams).resolved()
    train, *validation = store.videos()
    predictions, values = {}, {}
    for video in validation:
        labels = np.nan_to_num(store.labels(video))
        predictions[video] = (0.6 * labels + 0.3 * walk(rng, len(labels), 2)).astype(np.float32)
        weights = np.exp(4 * walk(rng, len(labels), networks * 2 * columns))
        each = weights.reshape(len(labels), -1, columns)
        values[video] = (each / each.sum(-1, keepdims=True)).reshape(len(labels), -1)
    groups = [
        GateGroup(network, role, (columns,))
        for network in ("valence", "arousal")[:networks]
        for role in streams
    ]
    gates = Gates(groups, {video: x.astype(np.float16) for video, x in values.items()})
    write_evaluation(run, score(store, predictions, partition="validation", gates=gates), store)
    plan = Plan(config, {}, [train], validation, [], [])
    cache = {
        "path": str(store.root),
        "streams": {
            role: {"stream": name, "key": store.key(name), "dim": 2, "modality": STREAMS[name][0]}
            for role, name in streams.items()
        },
        "videos": {"train": [train], "validation": validation},
        "digest": fingerprint(store, plan),
    }
    epochs = [
        {
            "network": n,
            "epoch": e,
            "loss": 1 / e,
            "validation_loss": 1.2 / e,
            "ccc": {"mean": 1 - 1 / e},
            "best": True,
        }
        for n in ("valence", "arousal")
        for e in range(1, 31)
    ]
    (run / "config.json").write_text(json.dumps(config.to_json()))
    (run / "cache.json").write_text(json.dumps(cache))
    (run / "environment.json").write_text("{}")
    (run / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))


def time_building(run: Path, repeats: int) -> tuple[float, float]:
    """Median seconds of `vapipe report` in new processes, and those of the processor."""
    times = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from vapipe.cli import main; main()", "report", str(run)],
            check=True,
        )
        times.append(time.perf_counter() - began)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return statistics.median(times), used / repeats


def time_opening(page: Path, repeats: int) -> None:
    """What a new window of Chromium needs, from the call to the state named."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium: opening not measured")
        return
    from playwright.sync_api import sync_playwright

    states = {
        "first plot drawn": "document.querySelector('#plot-headline[data-drawn]') !== null",
        "worst video drawn": "'open' in document.getElementById('detail').dataset",
        "everything drawn": "document.body.dataset.ready === 'yes'",
    }
    parsed = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000"
    longest = (
        "JSON.parse(document.getElementById('data').textContent)"
        ".videos.reduce((best, v, i, all) => (v.rows > all[best].rows ? i : best), 0)"
    )
    times: dict[str, list[float]] = {"DOMContentLoaded": [], **{state: [] for state in states}}
    times["processor time of the page until then"] = []
    times["longest video opened"] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(repeats):
            tab = browser.new_context().new_page()
            inside = tab.context.new_cdp_session(tab)
            inside.send("Performance.enable", {"timeDomain": "threadTicks"})
            began = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            for state, condition in states.items():
                tab.wait_for_function(f"() => {condition}", polling=20)
                times[state].append(time.perf_counter() - began)
            times["DOMContentLoaded"].append(tab.evaluate(parsed))
            metrics = inside.send("Performance.getMetrics")["metrics"]
            times["processor time of the page until then"].append(
                next(each["value"] for each in metrics if each["name"] == "TaskDuration")
            )
            number = tab.evaluate(longest)
            began = time.perf_counter()
            tab.evaluate(f"location.hash = '#video-{number}'")
            opened = f"document.getElementById('detail').dataset.open === '{number}'"
            tab.wait_for_function(f"() => {opened}", polling=20)
            times["longest video opened"].append(time.perf_counter() - began)
            tab.context.close()
        browser.close()
    for state, seconds in times.items():
        print(f"  {state}: {statistics.median(seconds):.1f} s (worst {max(seconds):.1f} s)")


def main() -> None:
    """Generate, build, open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=76)
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--columns", type=int, default=3, help="Values of each gate.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Folder to leave the cache and the run in.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (options.keep or Path(name)).resolve()
        shares = np.random.default_rng(2).lognormal(0, 0.7, options.videos)
        lengths = [int(n) for n in shares / shares.sum() * options.frames]
        store = fill_cache(folder / "cache", lengths)
        write_run(folder / "run", store, networks=2, columns=options.columns)
        seconds, used = time_building(folder / "run", options.repeats)
        size = (folder / "run" / "report.html").stat().st_size
        frames = sum(lengths)
        print(
            f"{options.videos} videos, {frames:,} frames (the longest {max(lengths):,}), "
            f"{4 * options.columns} gate values a frame: {size / 1e6:.1f} MB, built in "
            f"{seconds:.1f} s (median of {options.repeats}, imports included), {used:.1f} s of the "
            "processor"
        )
        print(f"opened in Chromium, medians of {options.repeats}")
        time_opening(folder / "run" / "report.html", options.repeats)


if __name__ == "__main__":
    main()
