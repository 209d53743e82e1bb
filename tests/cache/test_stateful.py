"""The store against a model in memory, through any sequence of what happens to a cache."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
from caches import add_features, make_cache, source_of
from damage import flip
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vapipe.cache import FeatureStore, Timeline
from vapipe.cache.gc import find_garbage, remove
from vapipe.cache.index import write_index
from vapipe.cache.layout import write_current, write_labels, write_timeline
from vapipe.cache.pack import pack_cache
from vapipe.cache.verify import verify_cache

VIDEOS = st.sampled_from(["a", "b", "dir/c", "día"])
KEYS = st.sampled_from(["1" * 64, "2" * 64])
ROWS = 6


class CacheMachine(RuleBasedStateMachine):
    """Model: versions of the video files, and (video, key) -> (version, value) of features."""

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.root = make_cache(self.folder / "cache")
        self.version: dict[str, int] = {}
        self.features: dict[tuple[str, str], tuple[int, float]] = {}
        self.labels: dict[str, float] = {}
        self.current: str | None = None

    def teardown(self):
        shutil.rmtree(self.folder)

    def write_video(self, video, version):
        timeline = Timeline.from_pts(np.arange(ROWS) / 25)
        source = source_of(video, version)
        write_timeline(self.root, video, timeline, subjects=[video], source=source)

    def write_stream(self, video, key, version, value):
        # `source_of` gives version 0; the digest of another version is in the name.
        values = np.full((ROWS, 2), value)
        if version == 0:
            add_features(self.root, video, "onet", values, key=key)
            return
        from vapipe.cache.layout import write_features

        with write_features(
            self.root, video, stream="onet", key=key, modality="visual", rows=ROWS, dim=2,
            source=source_of(video, version), config={"encoder": {"name": "onet"}},
        ) as shard:  # fmt: skip
            shard.append(features=values, valid=np.ones(ROWS))

    @rule(video=VIDEOS, key=KEYS, value=st.integers(0, 50))
    def extract(self, video, key, value):
        if video not in self.version:
            self.version[video] = 0
            self.write_video(video, 0)
        version = self.version[video]
        self.write_stream(video, key, version, value)
        self.features[video, key] = version, value
        self.current = key
        write_current(self.root, {"onet": key})

    @rule(video=VIDEOS, value=st.floats(-1, 1, width=32))
    def annotate(self, video, value):
        if video in self.version:
            labels = np.full((ROWS, 2), value)
            write_labels(self.root, video, labels, partition="train", source={})
            self.labels[video] = value

    @rule(video=VIDEOS)
    def replace_the_video_file(self, video):
        if video in self.version:
            self.version[video] += 1
            self.write_video(video, self.version[video])

    @rule(max_bytes=st.sampled_from([1, 60, 1 << 20]))
    def pack(self, max_bytes):
        list(pack_cache(self.root, max_bytes=max_bytes))

    @rule()
    def collect(self):
        remove(self.root, find_garbage(self.root, keep=()))
        self.features = {
            (video, key): (version, value)
            for (video, key), (version, value) in self.features.items()
            if key == self.current
        }

    @rule(video=VIDEOS, key=KEYS, delay=st.integers(0, 4000))
    def killed_while_writing(self, video, key, delay):
        """A writer of the same values is killed; the old rows or the same new ones are there."""
        if (video, key) not in self.features:
            return
        version, value = self.features[video, key]
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    self.write_stream(video, key, version, value)
            finally:
                os._exit(1)
        os.waitpid(pid, os.WNOHANG)
        for _ in range(delay):
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    @rule(video=VIDEOS, key=KEYS)
    def damaged_and_repaired(self, video, key):
        """What repair moves aside is not served until it is extracted again."""
        store = FeatureStore.open(self.root)
        if (video, key) not in self.features or store.damaged():
            return
        group = store._catalog.features.get(("onet", key))
        if group is None or video not in group:
            return
        path = group[video].path
        lost = {item for item in group if group[item].path == path}
        flip(path)
        assert [f.path for f in verify_cache(self.root, repair=True) if f.moved_to] == [path]
        # A pack may uncover rows that it superseded; they are as good as what was extracted then.
        for item in lost:
            self.features.pop((item, key), None)
        again = FeatureStore.open(self.root)._catalog.features.get(("onet", key), {})
        for item in lost & set(again):
            (again[item].path).unlink()

    @rule()
    def index(self):
        write_index(self.root)

    @invariant()
    def the_store_serves_what_the_model_holds(self):
        if not hasattr(self, "root"):
            return
        store = FeatureStore.open(self.root)
        assert store.damaged() == {}
        assert store.videos() == sorted(self.version)
        for video, version in self.version.items():
            for key in ("1" * 64, "2" * 64):
                entry = self.features.get((video, key))
                if key not in store.keys("onet"):
                    assert entry is None or entry[0] != version or not self.present(key)
                    continue
                served = store.has(video, f"onet@{key}")
                assert served == (entry is not None and entry[0] == version)
                if served:
                    assert (store.read(video, f"onet@{key}") == entry[1]).all()
            expected = self.labels.get(video, np.nan)
            assert np.array_equal(
                store.labels(video), np.full((ROWS, 2), expected, np.float32), equal_nan=True
            )

    def present(self, key):
        return any(
            each == key and version == self.version[video]
            for (video, each), (version, _) in self.features.items()
        )


CacheMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, print_blob=True
)
TestCacheMachine = CacheMachine.TestCase
