"""Reading a cache of any number of shards keeps no file open, and maps are given up when scarce."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caches import add_video, make_cache

VIDEOS = 60

READ = """
import os, sys
import numpy as np
from vapipe.cache import FeatureStore, Window, WindowReader
store = FeatureStore.open(sys.argv[1])
kept = [store.read(video, name) for name in ("onet", "logmel") for video in store.videos()]
labels = [store.labels(video) for video in store.videos()]
reader = WindowReader(store, {"video": "onet", "audio": "logmel"}, length=4, batch=4)
for number, video in enumerate(store.videos()):
    batch = reader.read([Window(video, 0, 4)])
    assert (batch.features["video"][0] == number).all(), video
open_files = len(os.listdir("/proc/self/fd"))
assert open_files < 40, open_files
print(len(kept), len(labels))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = make_cache(tmp_path_factory.mktemp("many") / "cache")
    for number in range(VIDEOS):
        features = {name: np.full((4, 2), number) for name in ("onet", "logmel")}
        labels = np.zeros((4, 2))
        add_video(root, f"v{number:03d}", features, labels=labels, partition="train")
    return root


def under(limit, code, *arguments):
    command = (
        f"ulimit -n {limit} && exec {sys.executable} -c {shlex.quote(code)} {' '.join(arguments)}"
    )
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def test_more_shards_than_files_may_be_open(root):
    done = under(64, READ, str(root))
    assert (done.stdout, done.stderr) == (f"{2 * VIDEOS} {VIDEOS}\n", "")


def test_a_map_goes_with_the_last_view_of_it(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "a", {"onet": np.ones((4, 2))})
    from vapipe.cache import FeatureStore

    def maps():
        with Path("/proc/self/maps").open() as file:
            return sum(str(root) in line for line in file)

    store = FeatureStore.open(root)
    rows = store.read("a", "onet")
    assert maps() == 1
    del store
    assert (maps(), rows.sum()) == (1, 8)
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        rows.flags.writeable = True
    del rows
    assert maps() == 0


EXHAUSTED = """
import resource, sys
from pathlib import Path
from vapipe.cache import FeatureStore
store = FeatureStore.open(sys.argv[1])
for video in store.videos()[:6]: store.read(video, "onet")
taken = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (taken + (6 << 20),) * 2)
for video in store.videos()[6:]: store.read(video, "onet")
print("read")
"""


def test_where_no_more_can_be_mapped_what_was_kept_is_given_up(tmp_path):
    """Room for three more shards, not for six."""
    root = make_cache(tmp_path / "cache")
    for number in range(12):
        add_video(root, f"v{number:02d}", {"onet": np.ones((2000, 512))})
    done = under(64, EXHAUSTED, str(root))
    assert (done.stdout, done.stderr) == ("read\n", "")


def test_a_fit_of_more_shards_than_files_may_be_open(root, tmp_path):
    """The main command, as a user types it, in a shell that allows few files."""
    words = ("fit", "--head", "concat", "--epochs", "1", "--set", "window=4", "--set", "stride=4")
    command = [*words, "--split", "k-fold", "--cache", str(root), "--run", str(tmp_path / "run")]
    done = under(64, "from vapipe.cli import main; main()", *command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()
