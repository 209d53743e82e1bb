"""How the cache grows, `python benchmarks/cache_scale.py`: processor seconds and memory.

Caches of 594 videos in 5 streams (a shard each, and in packs) and of 60,000 (in packs), each beside
one of a tenth of the size. Every command is a process of its own that may have 1,024 files open.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from engines import link_videos

from vapipe.cache.durable import digest_file
from vapipe.cache.header import Item
from vapipe.cache.index import write_index
from vapipe.cache.layout import create_cache, feature_folder, write_current
from vapipe.cache.shard import write_shard

STREAMS, ROWS, DIM = 5, 4, 8
PACK_ITEMS = 400  # of a real pack of 2 GiB: five minutes of video, 512 features
COMMANDS = {
    "open": [
        sys.executable, "-c",
        "import sys; from vapipe.cache import FeatureStore; s = FeatureStore.open(sys.argv[1]);"
        "v = s.videos()[-1]; print(s.read(v, 'stream0').shape)",
    ],
    "open, read every item": [
        sys.executable, "-c",
        "import sys; from vapipe.cache import FeatureStore; s = FeatureStore.open(sys.argv[1]);"
        "print(sum(s.read(v, n)[0, 0] for v in s.videos() for n in s.streams()))",
    ],
    "status": ["vapipe", "cache", "status", "--cache"],
    "gc --dry-run": ["vapipe", "cache", "gc", "--dry-run", "--cache"],
    "verify": ["vapipe", "cache", "verify", "--cache"],
}  # fmt: skip


def fill(root: Path, videos: Path, count: int, per_shard: int) -> None:
    """A cache of the videos, so many items in a shard."""
    create_cache(root)
    first = min(videos.glob("*.mp4"))
    facts = first.stat()
    source = {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}
    source |= {"sha256": digest_file(first), "video_stream": "0"}
    ids = sorted(path.stem for path in videos.glob("*.mp4"))
    assert len(ids) == count
    for number, start in enumerate(range(0, count, per_shard)):
        chosen = ids[start : start + per_shard]
        name = f"@pack-{number:06d}-0.h5" if per_shard > 1 else f"{chosen[0]}.h5"
        rows = len(chosen) * ROWS
        with write_shard(
            root / "timeline" / name,
            kind="timeline",
            items=[
                Item(each, ROWS, {"fps": 25.0, "subjects": [each], "media": {},
                                  "source": {**source, "name": f"{each}.mp4"}})
                for each in chosen
            ],
            arrays={"pts": ("<f8", ())},
        ) as shard:  # fmt: skip
            shard.append(pts=np.zeros(rows))
        for stream in range(STREAMS):
            with write_shard(
                root / "features" / feature_folder(f"stream{stream}", f"{stream}" * 64) / name,
                kind="features",
                stream=f"stream{stream}",
                key=f"{stream}" * 64,
                items=[Item(each, ROWS, {"source": source}) for each in chosen],
                arrays={"features": ("<f2", (DIM,)), "valid": ("|u1", ())},
                provenance={"modality": "visual", "config": {}, "versions": {}},
            ) as shard:
                shard.append(features=np.ones((rows, DIM)), valid=np.ones(rows))
    write_current(root, {f"stream{stream}": f"{stream}" * 64 for stream in range(STREAMS)})
    write_index(root)


MEASURE = """
import os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""


def measure(command: list[str]) -> tuple[float, float]:
    """Processor seconds, and peak resident memory in MB, of a process with few files.

    Started by a small process: the peak of a new one begins with that of who starts it.
    """
    words = [sys.executable, "-c", MEASURE, *command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def main() -> None:
    """Make the caches in a temporary folder, one after the other, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=60_000)
    large = parser.parse_args().large
    print(f"{'cache':28s} {'command':24s} {'seconds':>8s} {'MB':>6s}")
    for count, per_shard in (
        (59, 1), (594, 1), (59, PACK_ITEMS), (594, PACK_ITEMS),
        (large // 10, PACK_ITEMS), (large, PACK_ITEMS),
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            videos = link_videos(folder, count)
            root = folder / "cache"
            fill(root, videos, count, per_shard)
            plan = ["vapipe", "plan", "--videos", str(videos), "--streams", "logmel"]
            commands = {name: [*words, str(root)] for name, words in COMMANDS.items()}
            commands["plan"] = [*plan, "--cache", str(root)]
            for what, command in commands.items():
                seconds, memory = measure(command)
                label = f"{count} x {STREAMS}, {'packs' if per_shard > 1 else 'a shard each'}"
                print(f"{label:28s} {what:24s} {seconds:8.2f} {memory:6.0f}", flush=True)


if __name__ == "__main__":
    main()
