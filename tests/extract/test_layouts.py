"""A folder of each known data set, as its publishers describe it: extracted, fitted, evaluated.

Every clip is one file, linked under the names of the data set; labels follow one slow signal, so
that what comes into the cache can be compared with it.
"""

import json
import shutil

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from PIL import Image
from terminal import vapipe_

from vapipe.cache import FeatureStore

ROWS, FPS = 50, 25
QUICK = {
    "head": "concat",
    "tcn_channels": {"video": [], "audio": []},
    "window": 25,
    "stride": 25,
    "hidden": 4,
    "epochs": 1,
    "device": "cpu",
}
TIMES = np.arange(ROWS) / FPS


def valence(t):
    return 0.7 * np.sin(1.3 * np.asarray(t))


def arousal(t):
    return 0.5 * np.cos(1.1 * np.asarray(t))


SIGNALS = {"valence": valence, "arousal": arousal}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(
        path,
        times=constant_times(PAL, ROWS),
        sound=Sound(signal=lambda t: 0.2 * np.sin(600 * t) * t),
    )
    return path


@pytest.fixture
def work(clip, tmp_path):
    """Puts files and clips into a folder, and runs it through extraction, fit and evaluation."""

    class Work:
        folder = tmp_path / "data"

        def put(self, name, text):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def clips(self, *names):
            for name in names:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, path)

        def run(self, *words, fit=(), streams="logmel", videos=None):
            cache = ("--cache", tmp_path / "cache")
            where = ("--videos", videos or self.folder, "--streams", streams, "--jobs", 1)
            self.said = vapipe_("extract", *where, "--faces", "frame", *words, *cache)
            assert self.said.exit_code == 0, self.said.output
            (tmp_path / "fit.json").write_text(json.dumps(QUICK))
            run = ("--config", tmp_path / "fit.json", "--run", tmp_path / "run")
            fitted = vapipe_("fit", *run, *fit, *cache)
            assert fitted.exit_code == 0, fitted.output
            evaluated = vapipe_("evaluate", tmp_path / "run", *cache)
            assert evaluated.exit_code == 0, evaluated.output
            self.store = FeatureStore.open(tmp_path / "cache")
            return self.store

        def partitions(self):
            return {item: self.store.partition(item) for item in self.store.videos()}

        def check(self, item, tolerance=0.02):
            wanted = np.stack([valence(TIMES), arousal(TIMES)], axis=1)
            error = np.abs(self.store.labels(item, ["valence", "arousal"]) - wanted)
            assert np.isfinite(error).mean() > 0.9
            assert np.nanmean(error) < tolerance

    return Work()


def per_frame():
    rows = zip(valence(TIMES), arousal(TIMES), strict=True)
    return "valence,arousal\n" + "".join(f"{v:.4f},{a:.4f}\n" for v, a in rows)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("VA_Estimation_Challenge/Train_Set", "VA_Estimation_Challenge/Validation_Set"),
        ("VA_Set/Training_Set", "VA_Set/Validation_Set"),
        ("annotations/VA_Set/Train_Set", "annotations/VA_Set/Validation_Set"),
        ("6th ABAW Annotations/VA_Estimation_Challenge/Train_Set",
         "6th ABAW Annotations/VA_Estimation_Challenge/Validation_Set"),
    ],
)  # fmt: skip
def test_aff_wild2_of_all_years(work, train, validation):
    work.clips("batch1/v1.mp4", "batch1/v2.mp4", "batch2/10-60-1280x720.mp4", "batch2/t.mp4")
    work.put(f"{train}/v1.txt", per_frame())
    work.put(f"{train}/v2_left.txt", per_frame())
    work.put(f"{validation}/10-60-1280x720.txt", per_frame())
    work.run()
    expected = {"v1": "train", "v2_left": "train", "10-60-1280x720": "validation", "t": None}
    assert work.partitions() == expected
    work.check("v2_left", 1e-3)
    assert "annotations: 3 of 4" in work.said.stdout


def test_aff_wild(work):
    for part in ("train", "devel"):
        for video in ("105", "107"):
            name = f"{video}{part[0]}"
            work.clips(f"videos/{part}/{name}.mp4")
            for target, signal in SIGNALS.items():
                rows = "".join(f"{value * 1000:.0f}\n" for value in signal(TIMES))
                work.put(f"annotations/{part}/{target}/{name}.txt", rows)
    work.run("--scale", "-1000..1000")
    assert work.partitions()["105t"] == "train"
    assert work.partitions()["107d"] == "validation"
    work.check("107d")


def test_recola_as_avec_gives_it(work):
    head = "@relation RECOLA\n\n@attribute Instance_name string\n@attribute frameTime numeric\n"
    for name in ("train_1", "train_2", "dev_1"):
        work.clips(f"recordings_video/{name}.mp4")
        for target, signal in SIGNALS.items():
            rows = "".join(f"'{name}',{t:.2f},{signal(t):.6f}\n" for t in TIMES)
            work.put(
                f"ratings_gold_standard/{target}/{name}.arff",
                f"{head}@attribute GoldStandard numeric\n\n@data\n{rows}",
            )
    work.run()
    assert work.partitions() == {"train_1": "train", "train_2": "train", "dev_1": "validation"}
    work.check("dev_1", 1e-3)


def test_recola_with_its_annotators(work, tmp_path):
    people = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
    for name in ("P16", "P17"):
        work.clips(f"video/{name}.mp4")
        for target, signal in SIGNALS.items():
            rows = [";".join(["time", *people])]
            rows += [";".join([f"{t:.2f}", *[f"{signal(t):.3f}"] * 6]) for t in TIMES]
            work.put(f"annotations/emotional_behaviour/{target}/{name}.csv", "\n".join(rows))
    work.put("split.csv", "P16,train\nP17,dev\n")
    work.run("--annotators", "ewe", "--delay", "0.2")
    assert "annotators of arousal agree with a CCC of 1.00 (ff1/ff2 1.00" in work.said.stdout
    assert "read with --delay 0.2 --annotators ewe" in work.said.stdout
    weights = work.store.label_source("P16")["result"]["weights"]["valence"]
    assert set(weights) == {name.lower() for name in people}
    (way,) = json.loads((tmp_path / "run/cache.json").read_text())["labels"]
    assert way["items"] == 2
    assert way["reading"] == {"delay": 0.2, "annotators": "ewe"}
    assert "annotators = ewe" in (tmp_path / "run/README.md").read_text()
    lagged = work.store.labels("P16")[: ROWS - 6, 0]
    assert np.abs(lagged - valence(TIMES[: ROWS - 6] + 0.2)).max() < 0.01


@pytest.mark.parametrize("headed", [True, False])
def test_sewa_as_avec_gives_it(work, headed):
    for name in ("Train_DE_01", "Train_HU_02", "Devel_DE_01"):
        work.clips(f"video/{name}.mp4")
        rows = "".join(
            f"'{name}';{t:.1f};{arousal(t):.5f};{valence(t):.5f};0.1\n"
            for t in np.arange(ROWS // 2.5) / 10
        )
        head = "name;timestamp;arousal;valence;liking\n" if headed else ""
        work.put(f"labels/{name}.csv", head + rows)
    columns = () if headed else ("--columns", "name,time,arousal,valence,liking")
    work.run(*columns)
    assert work.partitions()["Devel_DE_01"] == "validation"
    work.check("Train_HU_02")
    assert work.store.targets() == ("valence", "arousal", "liking")


def test_muse(work):
    work.clips("raw/video/1.mp4", "raw/video/2.mp4", "raw/video/3.mp4")
    for name in ("1", "2", "3"):
        for target, signal in {**SIGNALS, "trustworthiness": valence}.items():
            rows = "".join(f"{t * 1000:.0f},{signal(t):.6f},1\n" for t in np.arange(8) / 4)
            work.put(f"label_segments/{target}/{name}.csv", f"timestamp,value,segment_id\n{rows}")
    work.put("metadata/partition.csv", "Id,Proposal\n1,train\n2,devel\n3,train\n")
    work.run("--split", work.folder / "metadata/partition.csv")
    assert work.partitions() == {"1": "train", "2": "validation", "3": "train"}
    assert work.store.targets() == ("valence", "arousal", "trustworthiness")
    work.check("2", 0.05)


def pictures(folder, first, suffix, dark=40):
    folder.mkdir(parents=True)
    for row in range(ROWS):
        grey = np.full((32, 48, 3), dark + 3 * row, np.uint8)
        Image.fromarray(grey).save(folder / f"{first + row:05d}{suffix}")


def test_afew_va(work, tmp_path):
    for number, name in enumerate(("001", "002")):
        pictures(work.folder / name, 0, ".png", dark=40 + number)
        frames = {
            f"{row:05d}": {
                "landmarks": [[1.0, 2.0]],
                "arousal": round(float(arousal(t)) * 10, 3),
                "valence": round(float(valence(t)) * 10, 3),
            }
            for row, t in enumerate(TIMES)
        }
        content = {"actor": "someone", "video_id": name, "frames": frames}
        work.put(f"{name}/{name}.json", json.dumps(content))
    refused = vapipe_("extract", "--videos", work.folder, "--cache", tmp_path / "cache")
    assert f"vapipe frames {work.folder} --rate 25 --out data-videos" in refused.stderr
    made = vapipe_("frames", work.folder, "--rate", 25, "--out", tmp_path / "videos")
    assert made.exit_code == 0, made.output
    options = ("--labels", work.folder)
    fit = ("--split", "k-fold", "--folds", 2)
    work.run(*options, fit=fit, streams="onet", videos=tmp_path / "videos")
    work.check("002", 1e-3)
    assert "scale of AFEW-VA, -10 to 10" in work.said.stdout


def test_folders_of_pictures_with_a_rate(work, tmp_path):
    for name in ("anna/one", "ben/two"):
        pictures(work.folder / name, 1, ".jpg")
        stem = name.partition("/")[2]
        rows = "".join(f"{t},{valence(t):.4f},{arousal(t):.4f}\n" for t in np.arange(20) / 10)
        work.put(f"labels/{stem}.csv", f"time,valence,arousal\n{rows}")
    made = vapipe_("frames", work.folder, "--rate", "25", "--out", tmp_path / "videos")
    assert "2 videos" in made.stdout
    work.put("split.csv", "one,train\ntwo,validation\n")
    options = ("--labels", work.folder / "labels", "--split", work.folder / "split.csv")
    store = work.run(*options, streams="onet", videos=tmp_path / "videos")
    assert np.allclose(store.timeline("one").pts, TIMES)
    work.check("two")


def test_omg_emotion(work):
    head = "link,start,end,video,utterance,arousal,valence,EmotionMaxVote\n"
    values = {"a1/utterance_1": (0.9, -0.5), "a1/utterance_2": (0.1, 0.4), "b2/utterance_1": (0, 1)}
    work.clips(*(f"videos/{name}.mp4" for name in values))

    def row(name):
        video, utterance = name.split("/")
        own = ",".join(map(str, values[name]))
        return f"https://v/{video},1.5,4.2,{video},{utterance}.mp4,{own},4\n"

    work.put("omg_TrainVideos.csv", head + row("a1/utterance_1") + row("a1/utterance_2"))
    work.put("omg_ValidationVideos.csv", head + row("b2/utterance_1"))
    options = ("--ids", "path", "--scale", "arousal=0..1", "--labels", work.folder)
    store = work.run(*options, videos=work.folder / "videos")
    assert work.partitions() == {
        "a1/utterance_1": "train",
        "a1/utterance_2": "train",
        "b2/utterance_1": "validation",
    }
    for name, (high, low) in values.items():
        assert np.allclose(store.labels(name), [low, 2 * high - 1])


def test_an_almost_known_layout_is_understood_or_named(work):
    """Other case, semicolons, an unknown folder, video names in the split."""
    work.clips("a.mp4", "b.mp4", "c.mp4")
    text = per_frame().replace(",", ";")
    work.put("va_set/TRAIN_SET/A.csv", text)
    work.put("va_set/Validation/b.csv", text)
    work.put("va_set/Holdout/c.csv", text)
    work.run()
    assert work.partitions() == {"a": "train", "b": "validation", "c": None}
    assert "no partition: c" in work.said.stdout
    assert "Holdout: names no partition (train, validation, test)" in work.said.stdout
