"""Damaged media never crash or stop a run: each file is extracted with marked rows, or explained.

All 300 copies of the real clips: `pytest -m slow tests/extract/test_corrupted.py -s`, some 10 min.
"""

import signal
import time
from collections import Counter
from contextlib import contextmanager

import av
import numpy as np
import pytest
from clips import NTSC, PAL, Sound, constant_times, variable_times, write_clip
from damage import KINDS, write_damaged
from extraction import settings_of

from vapipe.cache import FeatureStore
from vapipe.cache.verify import verify_cache
from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe
from vapipe.extract.run import run_extraction

COPIES = 300
LIMIT = 120  # seconds without any video finished: it hangs
REAL_SMALL = ("pyfeat_single_face.mp4", "pyfeat_face_noface.mov", "facenet_video.mp4")


@contextmanager
def deadline(seconds):
    def give_up(*_):
        raise TimeoutError(f"no video finished for {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        yield lambda: signal.alarm(seconds)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def extract(videos, cache, source, *, jobs):
    """All outcomes; fails where none comes for `LIMIT` seconds."""
    settings = settings_of(cache, "onet,logmel", CropConfig(source=source))
    outcomes = []
    with deadline(LIMIT) as reset:
        reset()
        for outcome in run_extraction(find_dataset(videos), settings, jobs=jobs):
            outcomes.append(outcome)
            reset()
    return outcomes


def check(cache, copies, outcomes):
    """Every copy has its outcome, every outcome keeps the promise."""
    assert {o.video for o in outcomes} == {copy.path.stem for copy in copies}
    store = FeatureStore.open(cache)
    for outcome in outcomes:
        if outcome.status == "failed":
            assert not outcome.trace, outcome.trace
            (reason,) = outcome.problems
            assert outcome.video in reason
            assert len(reason) > len(outcome.video) + 40
            continue
        assert outcome.status == "extracted"
        timeline = store.timeline(outcome.video)
        assert len(timeline) == outcome.rows > 0
        assert (np.diff(timeline.pts) >= 0).all()
        for stream in ("onet", "logmel"):
            features = store.read(outcome.video, stream).astype(np.float32)
            usable = store.valid(outcome.video, stream) > 0
            assert len(features) == len(usable) == outcome.rows
            assert np.isfinite(features).all()
            assert not features[~usable].any()
    assert not [finding for finding in verify_cache(cache) if finding.problem]


def report(source, copies, outcomes, seconds):
    kinds = {copy.path.stem: copy.kind for copy in copies}
    table = Counter((kinds[o.video], o.status, bool(o.notes)) for o in outcomes)
    print(
        f"\n{source}: {len(outcomes)} copies in {seconds:.0f} s, {sum(o.rows for o in outcomes)} "
    )
    print(f"rows; slowest copy {max(o.seconds for o in outcomes):.1f} s")
    for kind in KINDS:
        marked, sound = table[kind, "extracted", True], table[kind, "extracted", False]
        failed = table[kind, "failed", False] + table[kind, "failed", True]
        print(f"| {kind} | {marked + sound} | {marked} | {failed} |")
    for outcome in outcomes:
        for line in outcome.problems or outcome.notes:
            print("   ", outcome.video, outcome.status, line)


def rewrap(clip, folder):
    """The first picture and sound of a clip in Matroska, the packets as they are."""
    path = folder / f"{clip.stem}.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as file:
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        copies = {s.index: file.add_stream_from_template(s) for s in streams}
        for packet in source.demux(streams):
            if packet.size and packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                file.mux(packet)
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Small clips in several containers."""
    folder = tmp_path_factory.mktemp("whole")

    def draw(row):
        return np.random.default_rng(row).integers(0, 256, (48, 64, 3)).astype(np.uint8)

    def hum(times):
        return 0.3 * np.sin(2 * np.pi * 220 * times)

    def write(name, times, **options):
        sound = Sound(signal=hum, codec=options.pop("sound", "aac"))
        write_clip(folder / name, times=times, size=(64, 48), sound=sound, draw=draw, **options)
        return folder / name

    return [
        write("a.mp4", constant_times(PAL, 40)),
        write("b.mkv", variable_times(40)),
        write("c.avi", constant_times(PAL, 40), codec="mpeg4", sound="mp3"),
        write("d.mov", constant_times(NTSC, 40, 0.852), codec="libx265"),
    ]


@pytest.mark.parametrize(("source", "seeds"), [("frame", range(20)), ("detect", range(1, 40, 7))])
def test_a_sample_of_damaged_files_is_extracted_or_explained(generated, tmp_path, source, seeds):
    (tmp_path / "videos").mkdir()
    copies = write_damaged(tmp_path / "videos", generated, seeds)
    outcomes = extract(tmp_path / "videos", tmp_path / "cache", source, jobs=1)
    check(tmp_path / "cache", copies, outcomes)


def test_streams_that_appear_in_a_damaged_file_stop_nothing(tmp_path):
    """Flipped bits announce some in a few of these transport streams."""
    clip = tmp_path / "whole.ts"
    write_clip(clip, times=constant_times(PAL, 25), sound=Sound(codec="mp2"), codec="mpeg2video")
    flips = range(list(KINDS).index("flip-1e-2"), 10 * len(KINDS), len(KINDS))
    for copy in write_damaged(tmp_path, [clip], flips):
        info = probe(copy.path)
        assert [frame.row for frame in read_frames(info)] == list(range(len(info.timeline)))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["frame", "detect"])
def test_every_damaged_copy_of_real_clips_is_extracted_or_explained(real_clips, tmp_path, source):
    clips = sorted(p for p in real_clips.glob("*") if p.suffix in (".mp4", ".mov"))
    seeds = range(COPIES)[:240]
    if source == "detect":  # slow: the short clips
        clips, seeds = [real_clips / name for name in REAL_SMALL], range(COPIES)[240:]
    # MP4 cut off anywhere lacks its index and is refused at once; Matroska is read until there.
    clips = [each for clip in clips for each in (clip, rewrap(clip, tmp_path))]
    (tmp_path / "videos").mkdir()
    copies = write_damaged(tmp_path / "videos", clips, seeds)
    began = time.perf_counter()
    outcomes = extract(tmp_path / "videos", tmp_path / "cache", source, jobs=2)
    report(source, copies, outcomes, time.perf_counter() - began)
    check(tmp_path / "cache", copies, outcomes)
