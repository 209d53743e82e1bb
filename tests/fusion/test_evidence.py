"""Predictions say what they rest on: validity of face and sound in CSVs, and its share in print."""

import csv
import shutil

import numpy as np
import pytest
from terminal import vapipe_

import vapipe
from vapipe.cache import FeatureStore, Valid
from vapipe.cache.layout import write_features
from vapipe.commands.predict import share
from vapipe.fusion.evaluation.results import find_evidence, read_predictions

BOX = ["face_x", "face_y", "face_width", "face_height"]
LACKING = {"onet": Valid.NO_FACE, "logmel": Valid.NO_AUDIO}


@pytest.fixture
def without(planted, tmp_path):
    """A copy of the cache in which streams of the first video lack so many of their last rows."""

    def make(**rows):
        root = shutil.copytree(planted.root, tmp_path / "cache")
        video = planted.videos()[0]
        for stream, count in rows.items():
            codes = planted.status(video, stream).copy()
            codes[len(codes) - count :] = LACKING[stream]
            source = planted.source(video)
            with write_features(
                root,
                video,
                stream=stream,
                key=planted.key(stream),
                modality=planted.modality(stream),
                rows=len(codes),
                dim=planted.read(video, stream).shape[1],
                source=source,
                config=planted.config(stream),
            ) as shard:
                shard.append(features=planted.read(video, stream), valid=codes)
        return FeatureStore.open(root), video

    return make  # fmt: skip


def predicted(store, run, video, out):
    words = ("--cache", store.root, "--video", video, "--out", out, "--device", "cpu")
    return vapipe_("predict", run, *words)


def test_every_row_says_what_it_rests_on(without, fitted, tmp_path):
    store, video = without(onet=30)
    result = predicted(store, fitted.run_dir, video, tmp_path / "out")
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / f"{video}.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row", "pts", "valence", "arousal", "face", "sound", *BOX, "track"]
    assert {cell for row in rows for cell in row[6:]} == {""}
    for column, stream in ((4, "onet"), (5, "logmel")):
        codes = [Valid[row[column].upper()] for row in rows]
        assert np.array_equal(codes, store.status(video, stream))
    assert [row[4] for row in rows[-30:]] == ["no_face"] * 30
    found = vapipe.predict(fitted.run_dir, cache=store, items=[video], device="cpu").items[video]
    assert np.array_equal(found.seen["face"], store.valid(video, "onet") > 0)
    values = read_predictions(tmp_path / "out", video)
    assert np.allclose(values, found.values, atol=1e-6)
    for kind, rows in found.seen.items():
        assert f"{kind} in {share(rows)} %" in result.stdout


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (["onet"], "no face in any frame; its predictions rest on sound alone"),
        (["logmel"], "no sound in any frame; its predictions rest on face alone"),
        (["onet", "logmel"], "no face and no sound in any frame; its predictions say nothing"),
    ],
)
def test_predictions_without_evidence_are_pointed_out(without, fitted, tmp_path, lacking, said):
    store, video = without(**dict.fromkeys(lacking, 10**6))
    result = predicted(store, fitted.run_dir, video, tmp_path / "out")
    assert f"warning: {video}: {said}" in result.stderr
    for stream in lacking:
        assert f"{'face' if stream == 'onet' else 'sound'} in 0 %" in result.stdout


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Valid.CROPPED, "their crops were read from files"),
        (Valid.IMAGE, "whole frames were seen, no faces looked for"),
        (Valid.IMPORTED, "their features were imported without"),
        (Valid.TRACKED, "an earlier vapipe extracted them and stored none; `vapipe cache remove"),
        (Valid.NO_FACE, ""),
    ],
)
def test_why_there_are_no_boxes_is_said(without, fitted, tmp_path, monkeypatch, code, reason):
    monkeypatch.setitem(LACKING, "onet", code)
    store, video = without(onet=10**6)
    said = predicted(store, fitted.run_dir, video, tmp_path / "out").stdout
    assert (f"no boxes of faces in 1 file: {reason}" in said) == bool(reason)
    assert ("no boxes" in said) == bool(reason)


def test_boxes_and_tracks_stand_beside_the_predictions(planted, fitted, tmp_path):
    root, video = shutil.copytree(planted.root, tmp_path / "cache"), planted.videos()[0]
    values, codes = planted.read(video, "onet"), planted.status(video, "onet").copy()
    rng, count = np.random.default_rng(0), len(codes)
    box, track = rng.uniform(-9, 99, (count, 4)), np.full(count, 2)
    track[: count // 4], track[-5:], box[-5:], codes[-5:] = 1, 0, np.nan, Valid.NO_FACE
    with write_features(
        root,
        video,
        stream="onet",
        key=planted.key("onet"),
        modality="visual",
        rows=count,
        dim=values.shape[1],
        source=planted.source(video),
        config=planted.config("onet"),
        faces=True,
    ) as shard:
        shard.append(features=values, valid=codes, box=box, track=track)
    store = FeatureStore.open(root)
    result = predicted(store, fitted.run_dir, video, tmp_path / "out")
    with (tmp_path / "out" / f"{video}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = np.array([[float(row[name] or "nan") for name in BOX] for row in rows])
    np.testing.assert_allclose(found, box, atol=0.051)
    assert [row["track"] for row in rows] == [str(t or "") for t in track]
    most = share(track[:-5] == 1)
    assert f"of the faces {most} % are not recognised as the person of most frames" in result.stdout
    assert "no boxes" not in result.stdout
    (mine,) = vapipe.predict(
        fitted.run_dir, cache=store, items=[video], device="cpu"
    ).items.values()
    np.testing.assert_array_equal(mine.others, track == 1)
    np.testing.assert_array_equal(mine.boxes, box.astype(np.float32))


def test_the_share_is_whole_or_none_only_where_it_is():
    assert [share(np.arange(1000) < n) for n in (0, 1, 500, 999, 1000)] == [
        "0", "1", "50", "99", "100",
    ]  # fmt: skip


def test_a_row_that_one_of_two_streams_sees_is_seen(planted):
    class Two:
        """A store with two streams of pictures."""

        modality = staticmethod(lambda stream: "visual")

        @staticmethod
        def status(video, stream):
            a = [Valid.NO_FACE, Valid.DETECTED, Valid.NO_FACE]
            b = [Valid.IMAGE, Valid.IMAGE, Valid.DECODE_ERROR]
            return np.array(a if stream == "a" else b, np.uint8)

    found = find_evidence(Two, "v", ["a", "b"])
    assert found["face"].tolist() == [Valid.IMAGE, Valid.DETECTED, Valid.NO_FACE]
