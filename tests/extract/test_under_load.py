"""What is stored depends on the video alone: not on load, processes or threads."""

import itertools
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from clips import PAL, Sound, constant_times, write_clip

from vapipe.extract.dataset import find_dataset
from vapipe.extract.options import choose_options
from vapipe.extract.prepare import make_settings
from vapipe.extract.run import run_extraction

MEDIA = Path(__file__).parents[3] / "shared/media"
CLIPS = sorted(p for p in MEDIA.glob("*.*") if p.suffix in (".mp4", ".mov"))
_BURN = """
import sys, threading, torch
torch.set_num_threads(2)
def burn():
    a = torch.rand(600, 600)
    while True:
        a @ a
for _ in range(int(sys.argv[1])):
    threading.Thread(target=burn, daemon=True).start()
print("burning", flush=True)
burn()
"""


@contextmanager
def load(processes, threads=3):
    """Processes whose threads want all cores."""
    with ExitStack() as stack:
        for _ in range(processes):
            command = [sys.executable, "-c", _BURN, str(threads)]
            burner = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(burner.kill)
            burner.stdout.readline()
        yield


def extract(videos, cache, **how):
    """Every shard's bytes."""
    settings = make_settings(cache, choose_options("onet,logmel", None, None))
    for outcome in run_extraction(find_dataset(videos), settings, **how):
        assert outcome.status == "extracted", outcome
    found = [p for room in ("features", "timeline") for p in (cache / room).rglob("*")]
    return {p.relative_to(cache): p.read_bytes() for p in found if p.is_file()}


def test_a_run_beside_heavy_load_stores_the_same_bytes(tmp_path):
    video = tmp_path / "video.mp4"
    write_clip(video, times=constant_times(PAL, 12), sound=Sound())
    alone = extract(video, tmp_path / "alone", jobs=1)
    assert alone
    with load(processes=1, threads=0):
        assert extract(video, tmp_path / "beside", jobs=1) == alone


@pytest.mark.slow
def test_every_way_to_run_beside_heavy_load_stores_the_same_bytes(tmp_path):
    if not CLIPS:
        pytest.skip("needs the real clips")
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in CLIPS:
        (videos / path.name).symlink_to(path)
    alone = extract(videos, tmp_path / "alone", jobs=1)
    with load(processes=2):
        for jobs, devices in itertools.product((1, 2, 3), ((), ("cpu",), ("cpu", "cpu"))):
            cache = tmp_path / f"{jobs}-{len(devices)}"
            assert extract(videos, cache, jobs=jobs, devices=devices) == alone, cache.name
