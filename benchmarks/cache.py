"""How fast the cache reads, beside the alternatives, in one run: `python benchmarks/cache.py`.

Windows of 300 frames of four streams (512 + 128 + 128 + 768, float16) at random places, the page
cache warm; batches of 12 beside a plain memory copy; opening of small and very large caches. Prints
ratios: absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from vapipe.cache import FeatureStore, Timeline, Window, WindowReader
from vapipe.cache.catalog import Folder
from vapipe.cache.durable import canonical_json
from vapipe.cache.index import INDEX, write_index
from vapipe.cache.layout import create_cache, feature_folder, write_features, write_timeline
from vapipe.cache.pack import pack_cache

DIMS = {"ir50": 512, "vggish": 128, "logmel": 128, "wavlm": 768}
ROLES = {"video": "ir50", "audio": "vggish", "audio2": "logmel", "text": "wavlm"}
WINDOW, BATCH = 300, 12


def source(name: str) -> dict:
    return {"name": name, "bytes": 1, "modified_ns": 0, "sha256": name}


def fill(root: Path, videos: int, rows: int) -> dict[str, dict[str, np.ndarray]]:
    """A real cache of random features; the values, for the alternatives."""
    create_cache(root)
    rng = np.random.default_rng(0)
    values: dict[str, dict[str, np.ndarray]] = {}
    for number in range(videos):
        video = f"video{number}"
        timeline = Timeline.from_pts(np.arange(rows) / 30)
        write_timeline(root, video, timeline, subjects=[video], source=source(video))
        values[video] = {}
        for stream, dim in DIMS.items():
            data = rng.standard_normal((rows, dim), dtype=np.float32).astype(np.float16)
            values[video][stream] = data
            with write_features(
                root, video, stream=stream, key=stream * 8, rows=rows, dim=dim, config={},
                modality="audio" if stream != "ir50" else "visual", source=source(video),
            ) as shard:  # fmt: skip
                shard.append(features=data, valid=np.ones(rows))
    write_index(root)
    return values


def rate(work: Callable[[str, int], object], places: list[tuple[str, int]], repeats: int) -> float:
    """Median seconds per window."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        for video, start in places:
            work(video, start)
        times.append((time.perf_counter() - began) / len(places))
    return float(np.median(times))


def compare_windows(folder: Path, videos: int, rows: int, repeats: int) -> None:
    """Seconds to copy one random window of all streams, by way of storing."""
    root = folder / "cache"
    values = fill(root, videos, rows)
    rng = np.random.default_rng(1)
    places = [
        (f"video{rng.integers(videos)}", int(rng.integers(rows - WINDOW))) for _ in range(400)
    ]
    out = {stream: np.empty((WINDOW, dim), np.float16) for stream, dim in DIMS.items()}
    for video, streams in values.items():
        for stream, data in streams.items():
            np.save(folder / f"{video}.{stream}.npy", data)
    layouts: dict[str, dict] = {
        "contiguous": {},
        "chunked": {"chunks": (WINDOW, 64)},
        "lzf": {"chunks": (WINDOW, 64), "compression": "lzf"},
        "gzip": {"chunks": (WINDOW, 64), "compression": "gzip"},
    }
    for name, options in layouts.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for video, streams in values.items():
                for stream, data in streams.items():
                    file.create_dataset(f"{video}/{stream}", data=data, **options)
    del values

    maps = {
        (f"video{n}", stream): np.load(folder / f"video{n}.{stream}.npy", mmap_mode="r")
        for n in range(videos)
        for stream in DIMS
    }
    ways: dict[str, Callable[[str, int], object]] = {}

    def from_maps(video: str, start: int) -> None:
        for stream, target in out.items():
            target[:] = maps[video, stream][start : start + WINDOW]

    store = FeatureStore.open(root)

    def from_store(video: str, start: int) -> None:
        for stream, target in out.items():
            target[:] = store.read(video, stream, start, start + WINDOW)

    def from_files(video: str, start: int) -> None:
        for stream, target in out.items():
            target[:] = np.load(folder / f"{video}.{stream}.npy")[start : start + WINDOW]

    ways["np.memmap of .npy"] = from_maps
    ways["vapipe store"] = from_store
    for name in layouts:
        file = h5py.File(folder / f"{name}.h5", "r")

        def from_hdf5(video: str, start: int, file: h5py.File = file) -> None:
            for stream, target in out.items():
                target[:] = file[f"{video}/{stream}"][start : start + WINDOW]

        ways[f"h5py {name}"] = from_hdf5
    ways["np.load of the whole video"] = from_files
    packed = folder / "packed"
    shutil.copytree(root, packed)
    list(pack_cache(packed))
    pack = FeatureStore.open(packed)

    def from_pack(video: str, start: int) -> None:
        for stream, target in out.items():
            target[:] = pack.read(video, stream, start, start + WINDOW)

    ways["vapipe store, packed"] = from_pack
    for work in ways.values():
        rate(work, places[:40], 1)
    seconds = {name: rate(work, places, repeats) for name, work in ways.items()}
    base = seconds["np.memmap of .npy"]
    print(f"random windows of {WINDOW} x {sum(DIMS.values())} float16, {repeats} rounds, medians")
    for name, each in seconds.items():
        print(f"  {name:28s} {each * 1e6:8.0f} us   speed {base / each:6.3f} of np.memmap")
    compare_batches(store, places, repeats)


def compare_batches(store: FeatureStore, places: list[tuple[str, int]], repeats: int) -> None:
    """A batch of 12 windows into preallocated tensors beside a copy of as many bytes."""
    reader = WindowReader(store, ROLES, length=WINDOW, batch=BATCH)
    batches = [
        [Window(video, start, start + WINDOW) for video, start in places[i : i + BATCH]]
        for i in range(0, len(places) - BATCH, BATCH)
    ]
    nbytes = sum(values.nbytes for values in reader.read(batches[0]).features.values())
    # Copied from as many different places as the batches come from, so that caches help neither.
    sources = [np.ones(nbytes, np.uint8) for _ in range(len(batches))]
    targets = [np.ones(nbytes, np.uint8) for _ in range(2)]
    gathered, copied = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        for batch in batches:
            reader.read(batch)
        gathered.append((time.perf_counter() - began) / len(batches))
        began = time.perf_counter()
        for number, data in enumerate(sources):
            np.copyto(targets[number % 2], data)
        copied.append((time.perf_counter() - began) / len(batches))
    gather, copy = np.median(gathered), np.median(copied)
    print(f"batches of {BATCH} into preallocated buffers ({nbytes / 1e6:.1f} MB)")
    print(f"  gather {nbytes / gather / 1e9:.1f} GB/s, memcpy {nbytes / copy / 1e9:.1f} GB/s")
    print(f"  speed {copy / gather:.3f} of memcpy")


def time_opening(folder: Path) -> None:
    """Opening in a fresh process: a real cache of 594 videos, an index of 60,000."""
    small = folder / "small"
    create_cache(small)
    for number in range(594):
        video = f"video{number}"
        timeline = Timeline.from_pts(np.arange(100) / 30)
        write_timeline(small, video, timeline, subjects=[video], source=source(video))
        for stream in range(5):
            with write_features(
                small, video, stream=f"s{stream}", key=f"{stream}" * 64, modality="visual",
                rows=100, dim=8, source=source(video), config={},
            ) as shard:  # fmt: skip
                shard.append(features=np.zeros((100, 8)), valid=np.ones(100))
    report("594 videos x 5 streams, no index", small)
    write_index(small)
    report("594 videos x 5 streams", small)
    large = folder / "large"
    make_index(large, videos=60_000, streams=5)
    report("60,000 videos x 5 streams (synthetic index)", large)


def make_index(root: Path, videos: int, streams: int) -> None:
    """A cache that consists of its index: what opening has to read of a very large one."""
    create_cache(root)
    names = [f"video{number:05d}" for number in range(videos)]
    folders = [("timeline", "timeline", "", "")]
    for number in range(streams):
        stream, key = f"stream{number}", f"{number}" * 64
        folders.append((f"features/{feature_folder(stream, key)}", "features", stream, key))
    listing = []
    for path, kind, stream, key in folders:
        (root / path).mkdir(parents=True)
        facts = [
            {"fps": 30.0, "subjects": [name], "source": source(f"{name:64s}"), "media": {}}
            if kind == "timeline"
            else f"{name:64s}"
            for name in names
        ]
        listing.append(
            Folder(
                path=path, kind=kind, stream=stream, key=key, dim=512, dtype="<f2",
                provenance={"modality": "visual", "config": {}, "versions": {}},
                modified_ns=(root / path).stat().st_mtime_ns,
                shards=[f"{name}-0123456789ab.h5" for name in names],
                ids=names, shard=list(range(videos)), start=[0] * videos,
                rows=[5000] * videos, facts=facts,
            )
        )  # fmt: skip
    time.sleep(0.5)
    index = {"format": 1, "folders": [vars(folder) for folder in listing]}
    (root / INDEX).write_bytes(canonical_json(index))


PROBE = """
import sys, time
from pathlib import Path
from vapipe.cache import FeatureStore
def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
before = peak()
began = time.perf_counter()
store = FeatureStore.open(sys.argv[1])
opened = time.perf_counter() - began
names, streams = store.videos(), store.streams()
assert all(store.has(names[-1], stream) for stream in streams)
print(f"{opened:.3f} {time.perf_counter() - began:.3f} {before:.0f} {peak():.0f}")
"""


def report(what: str, root: Path) -> None:
    """Open in fresh processes; the median of five."""
    lines = [
        subprocess.run(
            [sys.executable, "-c", PROBE, str(root)], check=True, capture_output=True, text=True
        ).stdout.split()
        for _ in range(5)
    ]
    opened, used, before, after = np.median(np.array(lines, float), axis=0)
    print(
        f"opening {what}: {opened:.3f} s, first look-ups {used:.3f} s, "
        f"peak memory {after:.0f} MB, {after - before:.0f} MB of it for the cache"
    )


def sample_full_size(folder: Path, frames: int) -> None:
    """A sparse cache of full size, sampled; its resident private memory must not grow."""
    root = folder / "full"
    create_cache(root)
    rows = 20_000
    videos = frames // rows
    for number in range(videos):
        video = f"video{number}"
        timeline = Timeline.from_pts(np.arange(rows) / 30)
        write_timeline(root, video, timeline, subjects=[video], source=source(video))
        for stream, dim in (("ir50", 512), ("wavlm", 768)):
            with write_features(
                root, video, stream=stream, key=stream * 8, rows=rows, dim=dim, config={},
                modality="visual", source=source(video),
            ) as shard:  # fmt: skip
                shard.append(features=np.zeros((rows, dim), np.float16), valid=np.ones(rows))
    write_index(root)
    nbytes = sum(path.stat().st_size for path in root.rglob("*.h5"))
    rng = np.random.default_rng(0)
    store = FeatureStore.open(root)
    reader = WindowReader(store, {"video": "ir50", "audio": "wavlm"}, length=WINDOW, batch=BATCH)

    figures = []
    for step in range(400):
        windows = []
        for _ in range(BATCH):
            start = int(rng.integers(rows - WINDOW))
            windows.append(Window(f"video{rng.integers(videos)}", start, start + WINDOW))
        reader.read(windows)
        if step in (20, 100, 399):
            figures.append(anonymous())
    print(
        f"{frames:,} frames, {nbytes / 1e9:.1f} GB of shards: anonymous resident memory after 20, "
        f"100, 400 batches: {', '.join(f'{figure:.0f}' for figure in figures)} MB"
    )


def anonymous() -> float:
    """Resident memory that is not pages of files, in MB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def main() -> None:
    """Run everything in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--frames", type=int, default=2_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare_windows(folder, options.videos, options.rows, options.repeats)
        time_opening(folder)
        sample_full_size(folder, options.frames)


if __name__ == "__main__":
    main()
