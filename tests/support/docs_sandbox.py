"""A folder in which the commands of the documentation run, small and generated."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from plugged import forget_afterwards
from terminal import vapipe_

from vapipe.demo.dataset import write_demo_set

SMALL = {
    "tcn_channels": {"video": [8, 8], "audio": [8, 8], "audio2": [8, 8]},
    "window": 20,
    "stride": 20,
    "targets": "joint",
}
_SMALL = [f"--set={key}={json.dumps(value).replace(': ', ' = ')}" for key, value in SMALL.items()]
# Added to what is written, so that it takes a moment.
ADDED = {
    "extract": ["--jobs=1"],
    "fit": [*_SMALL, "--set=epochs=1"],
    "sweep": [*_SMALL, "--set=epochs=1", "--seeds=1", "--folds=0", "--jobs=1"],
}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A small data set in the Aff-Wild2 layout, its cache and three runs; clips; a sample file."""
    folder = tmp_path_factory.mktemp("docs") / "made"
    paths = write_demo_set(folder / "aff-wild2", train=6, validation=2, seconds=2, fps=10, jobs=1)
    with contextlib.chdir(folder):
        assert vapipe_("extract", "--videos", "aff-wild2", "--jobs", 1).exit_code == 0
        for head in ("grjca", "jca", "lfan"):
            assert vapipe_("fit", "--head", head, *ADDED["fit"]).exit_code == 0
        names = [path.relative_to(folder) for path in paths]
        _copy(names[0], "clip.mp4", *(f"clips/new-{path.name}" for path in names[1:3]))
        _copy(names[0], "interviews/interview01.mp4", "interviews/interview02.mkv")
        _copy(names[0], "interviews/more/interview03.mov")
        annotation = Path("aff-wild2/VA_Estimation_Challenge/Train_Set") / f"{paths[0].stem}.txt"
        _copy(annotation, *(f"interviews/labels/interview0{number}.csv" for number in (1, 2, 3)))
        rows = [f"{paths[-1].stem}/{frame:05d}.jpg,0,0\n" for frame in range(1, 21)]
        Path("sample.txt").write_text("image_location,valence,arousal\n" + "".join(rows))
    return folder


def _copy(source, *targets):
    for target in map(Path, targets):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it to work in; plug-ins that a page makes known are forgotten afterwards."""
    copy = tmp_path / "folder"
    shutil.copytree(made, copy)
    demo = copy / "vapipe-demo"  # as `vapipe demo` leaves it
    demo.mkdir()
    (demo / "videos").symlink_to(copy / "aff-wild2")
    shutil.copytree(copy / "vapipe-cache", demo / "cache")
    shutil.copytree(copy / "vapipe-runs/grjca-1", demo / "runs/grjca-1")
    for record in copy.rglob("cache.json"):  # runs know where their cache lies
        cache = demo / "cache" if demo in record.parents else copy / "vapipe-cache"
        record.write_text(json.dumps({**json.loads(record.read_text()), "path": str(cache)}))
    (demo / "fit.json").write_text(json.dumps(SMALL))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("PWD", str(copy))
    monkeypatch.setenv("VAPIPE_WEIGHTS", str(copy / "weights"))
    forget_afterwards(monkeypatch)
    return copy
