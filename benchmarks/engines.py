"""What engines and planning cost: `python benchmarks/engines.py units paths planning CLIPS...`.

`units`: 10,000 tasks that do nothing. `paths`: whole extractions of tiny videos by an encoder that
does nothing. `planning`: 60,000 videos in 5 streams. CLIPS: real videos in one process and in two,
each video several times, so that starting and loading weigh little.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vapipe does, before torch loads
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

import numpy as np
from clips import PAL, Sound, constant_times, write_clip

from vapipe.cache.header import Item
from vapipe.cache.index import open_catalog, write_index
from vapipe.cache.layout import DTYPES, create_cache, feature_folder, write_current
from vapipe.cache.shard import write_shard
from vapipe.cache.timeline import Timeline, Valid
from vapipe.executor import Limits, run_tasks
from vapipe.extract.dataset import Dataset, find_dataset
from vapipe.extract.dry_run import count
from vapipe.extract.encoders import AudioEncoder, register_encoder
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import StreamConfig
from vapipe.extract.plan import partition, plan
from vapipe.extract.run import run_extraction
from vapipe.extract.runlog import read_logs
from vapipe.extract.spec import EncoderSpec, make_specs
from vapipe.extract.task import Settings
from vapipe.extract.video import describe_source

UNITS, VIDEOS, STREAMS, NODES = 10_000, 60_000, 5, 100


@register_encoder("nothing")
class Nothing(AudioEncoder):
    """Zeros, without a look at the sound."""

    def __init__(self, *, device: str = "cpu") -> None:
        self.dim = 4

    def encode(  # noqa: D102
        self, blocks: Iterable[Any], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = len(timeline)
        yield np.zeros((rows, 4), np.float32), np.full(rows, Valid.AUDIO, np.uint8)


def timed(what: str, work: Callable[[], Any], units: int = 0) -> Any:
    """Run, and print the wall and processor time, in seconds or per unit."""
    gc.collect()
    began, busy = time.perf_counter(), _processor()
    result = work()
    spent = time.perf_counter() - began, _processor() - busy
    told = [f"{s / units * 1e6:,.0f} us" if units else f"{s:.2f} s" for s in spent]
    print(f"{what}: {told[0]}, processor {told[1]}", flush=True)
    return result


def _processor() -> float:
    """Processor seconds of this process and of those that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# -- units -----------------------------------------------------------------------------------------


def time_units() -> None:
    """Of 10,000 tasks and of 10, by 9,990: what starts does not count."""
    from distributed import LocalCluster

    def exhaust(count: int, **where: Any) -> tuple[float, float]:
        began, busy = time.perf_counter(), _processor()
        if dict(run_tasks(abs, range(count), **where)) != {n: n for n in range(count)}:
            raise SystemExit("a task was lost")
        return time.perf_counter() - began, _processor() - busy

    def report(name: str, **where: Any) -> None:
        few, many = exhaust(10, **where), exhaust(UNITS, **where)
        wall, busy = ((m - f) / (UNITS - 10) * 1e6 for f, m in zip(few, many, strict=True))
        print(f"a task of {UNITS}, {name}: {wall:,.0f} us, processor {busy:,.0f} us", flush=True)

    report("this process")
    report("1 process", limits=Limits(lambda task: 1000.0))
    report("2 processes", n_jobs=2)
    with LocalCluster(
        2, threads_per_worker=1, protocol="tcp", dashboard_address=None, memory_limit=0
    ) as cluster:
        report("Dask, 2 workers", scheduler=cluster.scheduler_address)


# -- whole extractions -----------------------------------------------------------------------------


def link_videos(folder: Path, count: int) -> Path:
    """So many names of one clip of 20 frames."""
    clip = folder / "clip.mp4"
    if not clip.exists():
        write_clip(clip, times=constant_times(PAL, 20), sound=Sound())
    videos = folder / f"videos{count}"
    videos.mkdir()
    for number in range(count):
        os.link(clip, videos / f"v{number:05d}.mp4")
    return videos


def time_paths(folder: Path) -> None:
    """Seconds of one more video: those of 420 less those of 20, by 400."""
    streams = (StreamConfig("nothing", "nothing"),)
    few, many = (find_dataset(link_videos(folder, count)) for count in (20, 420))
    for jobs in (1, 2):
        walls = []
        for dataset in (few, many):
            cache = folder / f"cache{jobs}-{len(dataset.videos)}"
            settings = Settings(cache, make_specs(streams, CropConfig()))
            began = time.perf_counter()
            outcomes = list(run_extraction(dataset, settings, jobs=jobs))
            walls.append(time.perf_counter() - began)
            if any(outcome.status != "extracted" for outcome in outcomes):
                raise SystemExit(f"{outcomes[0]}")
        each = (walls[1] - walls[0]) / 400
        inside = [unit["seconds"] for run in read_logs(settings.cache) for unit in run.units]
        print(f"a tiny video, {jobs} process(es): {each * 1e3:.1f} ms; of these in extract_video "
              f"{np.mean(inside) / jobs * 1e3:.1f} ms")  # fmt: skip
    timed("found complete", lambda: list(run_extraction(many, settings)), 420)


# -- planning --------------------------------------------------------------------------------------


def fill(root: Path, dataset: Dataset, specs: Sequence[EncoderSpec]) -> None:
    """A cache in which all is there, in one shard per folder."""
    create_cache(root)
    source = {**describe_source(dataset.videos[0].path), "video_stream": "0"}
    media = {"default": {"video": 0, "audio": 1}}
    heard = {"sha256": source["sha256"], "video_stream": "0", "audio_stream": "1"}
    ids = [video.id for video in dataset.videos]
    facts = [
        {"fps": 25.0, "subjects": [i], "source": {**source, "name": f"{i}.mp4"}, "media": media}
        for i in ids
    ]
    with write_shard(
        root / "timeline/@pack-000.h5",
        kind="timeline",
        items=[Item(i, 1, fact) for i, fact in zip(ids, facts, strict=True)],
        arrays={"pts": ("<f8", ())},
    ) as shard:
        shard.append(pts=np.zeros(len(ids)))
    for spec in specs:
        with write_shard(
            root / "features" / feature_folder(spec.stream, spec.key()) / "@pack-000.h5",
            kind="features",
            stream=spec.stream,
            key=spec.key(),
            items=[Item(i, 1, {"source": heard}) for i in ids],
            arrays={"features": (DTYPES["float16"], (1,)), "valid": ("|u1", ())},
            provenance={"modality": "audio", "config": spec.to_json(), "versions": {}},
        ) as shard:
            shard.append(features=np.zeros((len(ids), 1)), valid=np.zeros(len(ids)))
    write_current(root, {spec.stream: spec.key() for spec in specs})
    write_index(root)


def time_planning(folder: Path) -> None:
    videos = link_videos(folder, VIDEOS)
    configs = tuple(
        StreamConfig(f"s{bands}", "logmel", (("bands", bands),))
        for bands in range(40, 40 + STREAMS)
    )
    specs = make_specs(configs, CropConfig())
    print(f"{VIDEOS} videos, {STREAMS} streams")
    dataset = timed("finding the videos", lambda: find_dataset(videos))
    known, unknown = folder / "known", folder / "unknown"
    fill(known, dataset, specs)
    settings = Settings(known, specs)
    create_cache(unknown)
    timed(f"lengths from the headers, {NODES} parts", lambda: partition(dataset.videos, NODES))
    catalog = timed("listing the cache", lambda: open_catalog(known))
    tasks = timed("plan, all there", lambda: plan(dataset, settings, catalog))
    timed("counting it", lambda: count(specs, catalog, tasks, {}, []))
    other = Settings(known, (*specs[:-1], dataclasses.replace(specs[-1], dtype="float32")))
    tasks = timed("plan, one stream stale", lambda: plan(dataset, other, catalog))
    timed("counting it", lambda: count(other.specs, catalog, tasks, {}, []))
    nothing = open_catalog(unknown)
    tasks = timed("plan, nothing there", lambda: plan(dataset, settings, nothing))
    timed("counting it", lambda: count(specs, nothing, tasks, {}, []))
    timed("a run that finds all there", lambda: list(run_extraction(dataset, settings)))
    config = folder / "streams.toml"
    config.write_text(
        "".join(f"[streams.{c.name}]\nencoder = 'logmel'\nbands = {c.name[1:]}\n" for c in configs)
    )
    for cache in (known, unknown):
        command = [sys.executable, "-c", "from vapipe.cli import main; main()", "plan"]
        command += ["--videos", videos, "--cache", cache, "--config", config]
        call = lambda command=command: subprocess.run(command, check=True)  # noqa: E731
        timed(f"vapipe plan, {cache.name}, imports included", call)


# -- real clips ------------------------------------------------------------------------------------


def time_clips(clips: list[Path], seconds: float, copies: int, folder: Path) -> None:
    """Wall and processor time of one process and of two, as benchmarks/extract.py runs them."""
    from extract import STREAMS as ENCODERS
    from extract import cut, save_weights

    rows = sum(cut(clip, folder / "clips", seconds) for clip in clips)
    for path in list((folder / "clips").iterdir()):
        for number in range(1, copies):
            os.link(path, path.with_stem(f"{path.stem}-{number}"))
    save_weights(folder, list(ENCODERS))
    script = Path(__file__).with_name("extract.py")
    walls = []
    for jobs in (1, 2):
        command = [sys.executable, script, "--part", "vapipe", "--folder", folder]
        busy = _processor()
        began = time.perf_counter()
        subprocess.run([*map(str, command), "--jobs", str(jobs)], check=True, capture_output=True)
        walls.append(time.perf_counter() - began)
        busy = _processor() - busy
        runs = read_logs(folder / "cache")
        inside = sum(unit["seconds"] for unit in runs[0].units)
        span = runs[0].last - runs[0].start["time"]
        print(
            f"{rows * copies} frames, {jobs} process(es): {walls[-1]:.1f} s, processor {busy:.1f} "
            f"s; {inside:.1f} s in videos, within {span:.1f} s",
            flush=True,
        )
        shutil.rmtree(folder / "cache")
    print(f"speed-up {walls[0] / walls[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", help="units, paths, planning, or real videos")
    parser.add_argument("--seconds", type=float, default=4.0, help="of every clip, from its start")
    parser.add_argument("--copies", type=int, default=2, help="how often every clip is extracted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if "units" in options.what:
            time_units()
        if "paths" in options.what:
            time_paths(Path(name))
        if "planning" in options.what:
            time_planning(Path(name))
        clips = [Path(word) for word in options.what if word not in ("units", "paths", "planning")]
        if clips:
            time_clips(clips, options.seconds, options.copies, Path(name))


if __name__ == "__main__":
    main()
