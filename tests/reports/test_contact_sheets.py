"""Contact sheets show the faces that features were made of, and say why where they cannot."""

import dataclasses
import io
import os
import shutil

import deeds
import h5py
import numpy as np
import pytest
from caches import add_features, add_video, make_cache
from clips import PAL, Sound, constant_times, write_clip
from extraction import settings_of
from PIL import Image

from vapipe.cache import FeatureStore, Valid
from vapipe.cache.pack import pack_cache
from vapipe.cache.report import scan
from vapipe.cache.timeline import usable
from vapipe.executor import Limits
from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crops import CropConfig, read_crops
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe
from vapipe.extract.run import run_extraction
from vapipe.reports import contact_sheets
from vapipe.reports.cache_report import write_cache_report
from vapipe.reports.contact_sheets import (
    FACES,
    choose_items,
    choose_stream,
    make_sheets,
    not_extracted,
)

CROPS = CropConfig(detection_lines=120, min_face=24, every=5)
ROWS = 40


@pytest.fixture(scope="module")
def videos(tmp_path_factory, portrait):
    """`duo` shows two faces throughout, `gone` one that leaves after 12 frames and starts late."""
    folder = tmp_path_factory.mktemp("videos")
    dim = np.full((160, 320, 3), 60, np.uint8)

    def duo(row):
        image = dim.copy()
        image[20:140, 10 + row : 130 + row] = portrait
        image[30:150, 180:300] = portrait[:, ::-1] // 2
        return image

    def gone(row):
        image = dim.copy()
        if row < 12:
            image[20:140, 100:220] = portrait
        return image

    sound = Sound(signal=lambda t: 0.3 * np.sin(2 * np.pi * 220 * t))
    for name, draw, start in (("duo", duo, 0.0), ("gone", gone, 0.8)):
        times = constant_times(PAL, ROWS, start)
        write_clip(folder / f"{name}.mp4", times=times, size=(320, 160), draw=draw, sound=sound)
    (folder / "labels").mkdir()
    for item in ("duo_left", "duo_right", "gone"):
        rows = "0.1,-0.2\n" * ROWS
        (folder / "labels" / f"{item}.csv").write_text("valence,arousal\n" + rows)
    return folder


@pytest.fixture(scope="module")
def cache(videos, tmp_path_factory):
    root = tmp_path_factory.mktemp("extracted") / "cache"
    done = list(run_extraction(find_dataset(videos), settings_of(root, crops=CROPS)))
    assert all(outcome.status == "extracted" for outcome in done)
    return root


def sheets(cache, videos, *only, limits=None, n_jobs=1, **changes):
    """Sheets by id, worst first, of all items or of `only` some; `changes` are of the report."""
    report = dataclasses.replace(scan(cache), **changes)
    stream = choose_stream(report)
    chosen = choose_items(report, stream, 99)
    items = [item for item in chosen if not only or item.id in only]
    store = FeatureStore.open(cache)
    made = make_sheets(store, report, items, stream, videos, n_jobs=n_jobs, limits=limits)
    return {sheet.item: sheet for sheet in made}


def test_faces_are_those_of_each_subject_and_else_the_whole_picture(cache, videos):
    found = sheets(cache, videos)
    store = FeatureStore.open(cache)
    assert set(found) == {"duo_left", "duo_right", "gone"}
    for video in find_dataset(videos).videos:
        batches = list(read_crops(probe(video.path), CROPS, video.subjects))
        images = [frame.image for frame in read_frames(probe(video.path))]
        for subject in video.subjects:
            sheet = found[subject.id]
            assert sheet.note == ""
            assert [face.row * FACES // ROWS for face in sheet.faces] == list(range(FACES))
            crops = np.concatenate([batch.crops[subject.id] for batch in batches])
            for face in sheet.faces:
                assert face.code == store.status(subject.id, "onet")[face.row]
                assert face.time == store.timeline(subject.id).pts[face.row]
                assert face.track == store.tracks(subject.id, "onet")[face.row]
                seen = bool(usable(np.array([face.code]))[0])
                assert seen == (face.track > 0)
                shown = Image.open(io.BytesIO(face.jpeg))
                assert shown.size == ((96, 96) if seen else (96, 48))
                expected = Image.fromarray(crops[face.row] if seen else images[face.row])
                expected = np.asarray(expected.resize(shown.size), int)
                assert np.abs(expected - np.asarray(shown, int)).mean() < 5
    assert {face.track for face in found["gone"].faces} == {0, 1}


def test_a_video_that_ends_the_process_costs_its_own_faces_only(cache, videos, monkeypatch):
    here = sheets(cache, videos)
    monkeypatch.setattr(contact_sheets, "_cut", deeds.cut_or_die)
    apart = sheets(cache, videos, n_jobs=2, limits=Limits())
    assert list(apart) == list(here)
    assert {item: apart[item] for item in ("duo_left", "duo_right")} == {
        item: here[item] for item in ("duo_left", "duo_right")
    }
    note = f"{videos / 'gone.mp4'}: no faces, since cutting them ended its process (signal 11, SIG"
    assert apart["gone"].note.startswith(note)
    assert apart["gone"].codes == here["gone"].codes


def test_the_fewest_usable_rows_come_first(cache, videos):
    found = sheets(cache, None)
    assert next(iter(found)) == "gone"
    share = [np.mean(FeatureStore.open(cache).valid(item, "onet") > 0) for item in found]
    assert share == sorted(share)
    report = scan(cache)
    unit = choose_stream(report)
    assert [item.id for item in choose_items(report, unit, 1)] == ["gone"]
    assert choose_items(report, unit, 0) == []


def test_without_videos_the_sheets_say_how_to_get_faces(cache):
    for sheet in sheets(cache, None).values():
        assert sheet.faces == ()
        assert sheet.note == "name the folder of the videos with --videos DIR to see faces"
        assert set(sheet.codes) == {"onet", "logmel"}
        assert sheet.sound


def test_a_video_that_is_missing_or_changed_is_named_and_the_others_go_on(cache, videos, tmp_path):
    there = tmp_path / "elsewhere" / "deep"
    shutil.copytree(videos, there)
    os.utime(there / "duo.mp4", (1, 1))  # copied, but the same bytes
    (there / "gone.mp4").unlink()
    found = sheets(cache, there.parent)
    assert len(found["duo_left"].faces) == FACES
    assert found["gone"].note == (
        f"no video called gone.mp4 in {there.parent} or below; give its folder with --videos"
    )
    with (there / "duo.mp4").open("ab") as file:
        file.write(b"more")
    note = sheets(cache, there, "duo_right")["duo_right"].note
    assert note.startswith(f"{there / 'duo.mp4'}: changed since it was extracted; run `vapipe ext")
    assert not_extracted(there, scan(cache)) == []
    shutil.copy(there / "duo.mp4", there / "new.mp4")
    assert not_extracted(there.parent, scan(cache)) == ["deep/new.mp4"]


def test_a_video_that_reads_otherwise_now_is_told_with_both_lengths(cache, videos):
    report = scan(cache)
    items = [i._replace(video=i.video._replace(rows=ROWS + 1)) for i in report.items]
    note = sheets(cache, videos, "gone", items=tuple(items))["gone"].note
    assert f"gone.mp4: {ROWS} frames here, {ROWS + 1} when it was extracted" in note


def test_damage_inside_a_compressed_pack_is_told_and_the_others_go_on(tmp_path):
    root = make_cache(tmp_path / "cache")
    noise = np.random.default_rng(0)
    for name in ("a", "b"):
        add_video(root, name, {"onet": noise.normal(size=(2048, 256))})  # a chunk each
    list(pack_cache(root, compress=True))
    (path,) = (root / "features").glob("onet-*/@pack-*")
    with h5py.File(path, locking=False) as file:
        chunk = file["features"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 600 : chunk.byte_offset + 900] = bytes(300)
    path.write_bytes(data)
    found = sheets(root, None)
    assert found["a"].note.startswith(f"damaged shard {path}: its HDF5 part cannot be read")
    assert found["a"].codes == {}
    assert found["b"].codes == {"onet": "d" * 160}


# -- streams without places of faces ---------------------------------------------------------------


def of_config(cache, videos, **config):
    """The sheet of `gone` as if its visual stream had been made otherwise."""
    report = scan(cache)
    units = tuple(
        dataclasses.replace(unit, config=config) if unit.modality == "visual" else unit
        for unit in report.streams
    )
    return sheets(cache, videos, "gone", streams=units)["gone"]


def test_imported_streams_and_crop_files_have_no_faces_to_show(cache, videos):
    sheet = of_config(cache, videos, imported="x")
    assert (sheet.faces, sheet.note) == (
        (), "stream onet was imported: where its faces are is unknown"
    )  # fmt: skip
    assert of_config(cache, videos, crops={"source": "crops"}).note == (
        "stream onet was made of face crops, not of videos; look at those files"
    )


def test_of_streams_of_whole_frames_the_centre_is_shown(cache, videos):
    sheet = of_config(cache, videos, crops={"source": "frame", "size": 112, "lines": 1080})
    (clip,) = videos.glob("gone.mp4")
    images = {frame.row: frame.image for frame in read_frames(probe(clip))}
    for face in sheet.faces:
        shown = np.asarray(Image.open(io.BytesIO(face.jpeg)), int)
        centre = Image.fromarray(images[face.row][:, 80:240]).resize((96, 96))
        assert np.abs(shown - np.asarray(centre, int)).mean() < 5


def test_a_stream_without_boxes_says_how_to_get_them(cache, videos, monkeypatch):
    """As shards of earlier versions are read."""
    monkeypatch.setattr(FeatureStore, "boxes", lambda *names: np.full((ROWS, 4), np.nan))
    sheet = sheets(cache, videos, "gone")["gone"]
    assert sheet.faces == ()
    assert sheet.note == (
        "stream onet was extracted by an earlier vapipe, which kept no places of faces; extract it "
        "again to see them"
    )


def test_a_cache_of_sound_alone_still_has_sheets(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "a", {"logmel": np.zeros((ROWS, 128))})
    sheet = sheets(root, tmp_path)["a"]
    assert (sheet.faces, sheet.note) == ((), "the cache has no visual stream")
    assert sheets(make_cache(tmp_path / "empty"), None) == {}


# -- codes and sound over time ---------------------------------------------------------------------


def test_codes_over_time_are_a_letter_each(tmp_path):
    root = make_cache(tmp_path / "cache")
    codes = np.repeat([Valid.DETECTED, Valid.TRACKED, Valid.NO_FACE, Valid.IMAGE], [3, 2, 4, 1])
    add_video(root, "a", {"onet": np.zeros((10, 3))}, valid={"onet": codes.astype(np.uint8)})
    long = np.repeat([Valid.DETECTED, Valid.NO_FACE], 1000).astype(np.uint8)
    add_video(root, "b", {"onet": np.zeros((2000, 3))}, valid={"onet": long})
    found = sheets(root, None)
    assert found["a"].codes == {"onet": "dddttmmmmu"}
    assert found["b"].codes == {"onet": "d" * 80 + "m" * 80}


def test_the_strip_is_bright_where_it_is_loud_and_black_where_unheard(tmp_path):
    quiet, loud = np.log(1e-6), 3.0
    features = np.full((400, 128), quiet)
    features[100:200, :32] = loud  # low bands, for a quarter of the time
    features[300:] = loud
    codes = np.repeat([Valid.AUDIO, Valid.NO_AUDIO], [300, 100]).astype(np.uint8)
    root = make_cache(tmp_path / "cache")
    add_video(root, "a", {"other": np.zeros((400, 3))})
    config = {"encoder": "logmel", "options": {"eps": 1e-6}}
    add_features(root, "a", "logmel", features, modality="audio", codes=codes, config=config)
    strip = np.asarray(Image.open(io.BytesIO(sheets(root, None)["a"].sound)), int)
    assert strip.shape == (64, 400)
    assert strip[50:, 110:190].min() > 200
    assert strip[:44, 110:190].max() < 30
    assert strip[:, 310:].max() < 30
    assert strip[:, :90].max() < 30


def test_a_reason_that_all_items_share_is_told_once(tmp_path):
    root = make_cache(tmp_path / "cache")
    for video in ("a", "b", "c"):
        add_video(root, video, {"logmel": np.zeros((ROWS, 128))})
    told = []
    page = tmp_path / "page.html"
    write_cache_report(root, page, videos=tmp_path, progress=lambda *step: told.append(step[1]))
    assert [line for line in told if line] == ["a: the cache has no visual stream"]
    assert page.read_text().count("the cache has no visual stream") == 3
