"""Two real processes over one cache, whatever they do and whenever one is killed or stopped.

Commands run as users type them, in children of this process: nothing that was there is lost, no row
of another version of a video is served, and no error is one that vapipe does not know.
"""

import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from children import Child, invoke
from clips import PAL, Sound, constant_times, write_clip
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vapipe.cache import FeatureStore
from vapipe.cache.durable import digest_file
from vapipe.cache.header import read_header
from vapipe.cache.status import cache_status

ROWS = 12
VIDEOS = {"a": "train", "b": "validation", "c": "train"}
VERSIONS = 3
STREAM = "logmel"
STOPPED_S = 1.5  # so long a stopped process is left so


def tone(hertz):
    return lambda times: 0.3 * np.sin(2 * np.pi * hertz * times)


class Reference:
    """Clips in all versions, and the rows that each must give."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        self.clips, self.rows = {}, {}
        for number, video in enumerate(VIDEOS):
            for version in range(VERSIONS):
                clip = self.folder / f"{video}{version}" / f"{video}.mp4"
                clip.parent.mkdir()
                sound = Sound(signal=tone(200 + 150 * number + 40 * version))
                write_clip(clip, times=constant_times(PAL, ROWS), sound=sound)
                self.clips[video, version] = clip
                cache = clip.parent / "cache"
                words = ("extract", "--videos", clip, "--cache", cache, "--streams", STREAM)
                assert invoke(words, clip.parent)["code"] == 0
                self.rows[digest_file(clip)] = (
                    FeatureStore.open(cache).read(video, STREAM).tobytes()
                )
        assert len(set(self.rows.values())) == len(VIDEOS) * VERSIONS


@pytest.fixture(scope="module", autouse=True)
def reference():
    TwoProcesses.reference = Reference()
    yield
    shutil.rmtree(TwoProcesses.reference.folder)


DEEDS = st.sampled_from(
    ["extract", "import", "pack", "compress", "gc", "repair", "fit", "status", "export"]
)
FATES = st.sampled_from(["none", "none", "kill first", "kill second", "stop first"])


class TwoProcesses(RuleBasedStateMachine):
    """Model: what every (video, stream) served, of which version of the video."""

    reference: Reference

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.videos, self.root = self.folder / "videos", self.folder / "cache"
        (self.videos / "labels").mkdir(parents=True)
        self.version = {}
        self.held: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.deeds = 0
        for video in VIDEOS:
            self.put(video, 0)
            text = "valence,arousal\n" + "".join(f"{n / 20},0.5\n" for n in range(ROWS))
            (self.videos / "labels" / f"{video}.csv").write_text(text)
        lines = "".join(f"{video},{part}\n" for video, part in VIDEOS.items())
        (self.videos / "split.csv").write_text("video,partition\n" + lines)
        (self.folder / "npy").mkdir()
        for number, video in enumerate(VIDEOS):
            np.save(self.folder / "npy" / f"{video}.npy", np.full((ROWS, 2), number))
        self.alone("extract")

    def teardown(self):
        if hasattr(self, "folder"):
            self.alone("extract")
            self.everything_is_there()
            left = [p for p in self.root.rglob("*.partial") if "quarantine" not in p.parts]
            assert left == []
            shutil.rmtree(self.folder)

    def put(self, video, version):
        self.version[video] = version
        copy = self.folder / "new.mp4"
        shutil.copyfile(self.reference.clips[video, version], copy)
        copy.replace(self.videos / f"{video}.mp4")

    def words(self, deed):
        self.deeds += 1
        cache = ("--cache", self.root)
        return {
            "extract": ("extract", "--videos", self.videos, *cache, "--streams", STREAM),
            "import": ("cache", "import", "mine", self.folder / "npy",
                       "--modality", "visual", *cache),
            "pack": ("cache", "pack", *cache),
            "compress": ("cache", "pack", "--compress", *cache),
            "gc": ("cache", "gc", "--yes", "--runs", self.videos, *cache),
            "repair": ("cache", "verify", "--repair", *cache),
            "fit": ("fit", "--head", "concat", "--stream", f"audio={STREAM}", "--epochs", "1",
                    "--set", "window=6", "--set", "stride=3", "--run",
                    self.folder / f"run{self.deeds}", *cache),
            "status": ("cache", "status", "--json", *cache),
            "export": ("cache", "export", STREAM, self.folder / f"out{self.deeds}", *cache),
        }[deed]  # fmt: skip

    def begin(self, deed):
        return deed, Child(self.words(deed), self.folder)

    def end(self, begun):
        """Judge what a command came to."""
        deed, child = begun
        result = child.result()
        if result is None:
            return
        told = f"{deed}: {result['code']}\n{result['said']}\n{result['trace']}"
        assert not result["trace"], told
        busy = "is in use by" in result["said"]
        allowed = {"pack": busy, "compress": busy, "gc": busy, "repair": busy}
        # Rows of a video that was replaced are refused to a fit or an import until it is extracted.
        told_why = result["code"] == 1 and result["said"].strip()
        allowed |= {"fit": told_why, "import": told_why, "export": told_why}
        assert result["code"] in (0, 3) or allowed.get(deed), told
        assert "damaged" not in result["said"] or deed in ("status", "repair"), told

    def alone(self, deed):
        self.end(self.begin(deed))

    @rule(first=DEEDS, second=DEEDS, fate=FATES, delay=st.integers(0, 250))
    def two_at_once(self, first, second, fate, delay):
        one = self.begin(first)
        time.sleep(delay / 1000)
        if fate == "stop first":
            one[1].signal(signal.SIGSTOP)
        two = self.begin(second)
        if fate == "stop first":
            until = time.monotonic() + STOPPED_S
            while not two[1].ended() and time.monotonic() < until:
                time.sleep(0.01)
            one[1].signal(signal.SIGCONT)
        elif fate != "none":
            time.sleep(delay / 1000)
            (one if fate == "kill first" else two)[1].signal(signal.SIGKILL)
        self.end(one)
        self.end(two)

    @rule(video=st.sampled_from(sorted(VIDEOS)), version=st.integers(0, VERSIONS - 1))
    def replace_a_video(self, video, version):
        self.put(video, version)

    @rule(where=st.floats(0, 1, exclude_max=True), which=st.integers(0, 1000))
    def a_bit_flips_and_is_repaired(self, where, which):
        """What is lost is extracted, or imported, again; of a pack one item at most is lost."""
        shards = sorted(p for p in self.root.rglob("*.h5") if "quarantine" not in p.parts)
        if not shards:
            return
        victim = shards[which % len(shards)]
        header = read_header(victim)
        data = bytearray(victim.read_bytes())
        start = len(data) - header.hdf5_bytes  # a flip in the header itself costs the whole pack
        data[start + int(where * header.hdf5_bytes)] ^= 1
        before = self.served()
        victim.write_bytes(data)
        self.alone("repair")
        lost = {video for video, _ in before.keys() - self.served().keys()}
        compressed = any(info.offset is None for info in header.arrays.values())
        assert compressed or len(lost) <= 1  # chunks of compressed packs hold several items
        self.alone("extract")
        self.alone("import")
        self.everything_is_there()
        self.held = self.served()

    def everything_is_there(self):
        store = FeatureStore.open(self.root)
        for video in VIDEOS:
            digest = digest_file(self.videos / f"{video}.mp4")
            assert store.source(video)["sha256"] == digest
            assert store.has(video, STREAM), video
            assert store.partition(video) == VIDEOS[video]
            assert np.isfinite(store.labels(video)).all()

    def served(self):
        """(video, stream) -> digest of the video's file and the rows, of all that is served."""
        store = FeatureStore.open(self.root)
        return {
            (video, stream): (store.source(video)["sha256"], store.read(video, stream).tobytes())
            for video in store.videos()
            for stream in store.streams()
            if store.has(video, stream)
        }

    @invariant()
    def nothing_is_lost_and_nothing_stale_is_served(self):
        if not hasattr(self, "folder"):
            return
        status = cache_status(self.root)
        assert status.damaged == {}
        served = self.served()
        for (video, stream), (digest, rows) in served.items():
            if stream == STREAM:
                assert rows == self.reference.rows[digest], video
            else:
                assert set(np.frombuffer(rows, "<f2")) == {sorted(VIDEOS).index(video)}
        store = FeatureStore.open(self.root)
        for (video, stream), (digest, rows) in self.held.items():
            if store.source(video)["sha256"] == digest:
                assert served.get((video, stream)) == (digest, rows), (video, stream)
        self.held = served


LIMITS = settings(
    max_examples=3,
    stateful_step_count=6,
    phases=(Phase.generate,),  # to shrink takes minutes
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TwoProcesses.TestCase.settings = LIMITS
TestTwoProcesses = TwoProcesses.TestCase


@pytest.mark.slow
class TestThreeHundred(TwoProcesses.TestCase):
    settings = settings(LIMITS, max_examples=300, stateful_step_count=8)
