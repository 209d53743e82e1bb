"""Videos that are unusual or wrong, through the whole stage: rows with the right status."""

from fractions import Fraction

import av
import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from extraction import settings_of
from terminal import vapipe_

from vapipe.cache import FeatureStore, Valid
from vapipe.cache.timeline import usable
from vapipe.cache.verify import verify_cache
from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.run import run_extraction

DETECT = CropConfig(detection_lines=120, min_face=24)
FRAME = CropConfig(source="frame")
SEEN = {Valid.DETECTED, Valid.TRACKED}
HEARD = {Valid.AUDIO, Valid.SILENCE}  # clicks, and nothing between them


class Extracted:
    """The one video of a folder, extracted; checks what holds for every video."""

    def __init__(self, path, crops=FRAME):
        cache = path.parent / "cache"
        settings = settings_of(cache, "onet,logmel", crops)
        (self.outcome,) = run_extraction(find_dataset(path), settings)
        assert self.outcome.status == "extracted", self.outcome
        self.store, self.video = FeatureStore.open(cache), path.stem
        self.rows = self.outcome.rows
        self.onet, self.logmel = (self.store.read(self.video, s) for s in ("onet", "logmel"))
        self.seen, self.heard = (self.store.status(self.video, s) for s in ("onet", "logmel"))
        for features, codes in ((self.onet, self.seen), (self.logmel, self.heard)):
            assert len(features) == len(codes) == self.rows == self.store.rows(self.video)
            assert not features[~usable(codes)].any()
            assert np.isfinite(features).all()
        assert not any(finding.problem for finding in verify_cache(cache))

    def loudest(self, count):
        """The rows whose sound is loudest."""
        return set(np.argsort(self.logmel.astype(float).mean(axis=1))[-count:].tolist())

    def pts(self):
        return self.store.timeline(self.video).pts


def room(head=None, x=0):
    """A dim image [H, W, 3], with a head at a column or without."""
    image = np.full((120, 240, 3), 60, np.uint8)
    if head is not None:
        image[:, x : x + head.shape[1]] = head
    return image


def likeness(features, other):
    """Cosines of rows [n, D] with one row [D]."""
    features, other = features.astype(float), other.astype(float)
    return features @ other / np.linalg.norm(features, axis=1) / np.linalg.norm(other)


# -- faces -----------------------------------------------------------------------------------------


def test_an_hour_without_a_face_is_an_hour_of_rows_that_say_so(tmp_path, portrait):
    somebody, nobody = room(portrait, 60), room()
    clip = write_clip(
        tmp_path / "hour.mp4",
        times=constant_times(Fraction(1), 3700),
        size=(240, 120),
        draw=lambda row: nobody if 50 <= row < 3650 else somebody,
        options={"preset": "ultrafast"},
    )
    found = Extracted(clip.path, DETECT)
    assert found.rows == 3700
    assert set(found.seen[50:3650].tolist()) == {Valid.NO_FACE}
    assert {*found.seen[:50].tolist(), *found.seen[3650:].tolist()} == SEEN
    assert "hour: onet: 3600 of 3700 rows without a face" in found.outcome.notes
    assert likeness(found.onet[3650:], found.onet[10]).min() > 0.9


@pytest.mark.parametrize("stay", [1, 3, 12])
def test_faces_that_jump_between_people_give_a_face_in_every_row(tmp_path, portrait, stay):
    people = room(portrait, 0), room(np.ascontiguousarray(portrait[:, ::-1]), 120)

    def extract(name, draw, rows):
        options = {"preset": "veryfast", "crf": "12"}
        times = constant_times(PAL, rows)
        path = tmp_path / name / "c.mp4"
        path.parent.mkdir()
        write_clip(path, times=times, size=(240, 120), draw=draw, options=options)
        return Extracted(path, DETECT)

    alone = [extract(f"alone{n}", lambda _, n=n: people[n], 3).onet[1] for n in range(2)]
    found = extract("jumps", lambda row: people[row // stay % 2], 60)
    assert set(found.seen.tolist()) <= SEEN
    for row in range(60):
        assert likeness(found.onet[row : row + 1], alone[row // stay % 2]) > 0.7, row  # a wall: 0.1


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "rows"), [(1, 30), (240, 480)])
def test_very_low_and_high_rates_keep_sound_and_picture_together(tmp_path, fps, rows):
    clip = write_clip(
        tmp_path / "c.mp4",
        times=constant_times(Fraction(fps), rows),
        events=[7, 19],
        sound=Sound(rate=48000),
    )
    found = Extracted(clip.path)
    assert (found.rows, set(found.heard.tolist())) == (rows, HEARD)
    assert found.store.timeline("c").fps == pytest.approx(fps, rel=1e-3)
    flashes = np.abs(np.diff(found.onet.astype(float), axis=0)).sum(axis=1)  # before and after each
    assert set(np.argsort(flashes)[-4:].tolist()) == {6, 7, 18, 19}
    # A spectrum is longer than a row at 240 frames per second: neighbours hear the click, too.
    assert {7, 19} <= found.loudest(2 if fps == 1 else 6) <= {6, 7, 8, 18, 19, 20}


def test_a_single_frame_is_a_row_with_picture_and_sound(tmp_path):
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(PAL, 1), sound=Sound(rate=48000))
    found = Extracted(clip.path)
    assert (found.seen.tolist(), found.heard.tolist()) == ([Valid.IMAGE], [Valid.SILENCE])
    assert found.outcome.notes == ()


@pytest.mark.slow
def test_three_hours_keep_sound_and_picture_together(tmp_path):
    events = [5, 5000, 10790]
    clip = write_clip(
        tmp_path / "c.mkv",
        times=constant_times(Fraction(1), 3 * 3600),
        events=events,
        sound=Sound(rate=16000, codec="flac"),
        options={"preset": "ultrafast"},
    )
    found = Extracted(clip.path)
    assert (found.rows, set(found.heard.tolist())) == (10800, HEARD)
    assert found.pts()[-1] == 10799
    assert found.loudest(3) == set(events)
    flashes = np.abs(np.diff(found.onet.astype(float), axis=0)).sum(axis=1)
    assert set(np.argsort(flashes)[-6:].tolist()) == {r - d for r in events for d in (0, 1)}


def test_a_wrong_rate_in_the_header_moves_nothing(tmp_path):
    """The header says 60 frames per second; the frames are 0.1 s apart."""
    path = tmp_path / "c.mkv"
    raster = Fraction(1, 1000)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=60)
        video.width = video.height = 48
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = raster
        audio = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        for row in range(40):
            level = 200 if row == 30 else 60
            image = av.VideoFrame.from_ndarray(np.full((48, 48, 3), level, np.uint8), "rgb24")
            image.pts, image.time_base = 100 * row, raster
            file.mux(video.encode(image))
            noise = np.random.default_rng(row).integers(-9000, 9000, (1, 1600)) * (row == 30)
            sound = av.AudioFrame.from_ndarray(noise.astype(np.int16), "s16", "mono")
            sound.sample_rate, sound.pts, sound.time_base = 16000, 1600 * row, Fraction(1, 16000)
            file.mux(audio.encode(sound))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))
    with av.open(str(path)) as file:
        assert file.streams.video[0].base_rate == 60
    found = Extracted(path)
    np.testing.assert_allclose(found.pts(), np.arange(40) / 10, atol=1e-3)
    assert found.store.timeline("c").fps == pytest.approx(10, rel=1e-3)
    assert found.loudest(1) == {30}
    assert likeness(np.delete(found.onet, 30, axis=0), found.onet[0]).min() > 0.999


def test_a_recording_appended_to_itself_is_kept_once(tmp_path):
    """Times begin anew in the midst: every time is there twice."""
    times = constant_times(PAL, 50, 1.0)
    clip = write_clip(tmp_path / "c.ts", times=times, sound=Sound(start=1.0, rate=48000))
    clip.path.write_bytes(2 * clip.path.read_bytes())
    found = Extracted(clip.path)
    np.testing.assert_allclose(found.pts(), clip.pts, atol=1e-4)
    assert set(found.seen.tolist()) == {Valid.IMAGE}
    assert set(found.heard.tolist()) == {Valid.SILENCE}
    (note,) = found.outcome.notes
    assert "time goes back at 1 picture," in note
    assert "50 pictures without a place left out" in note


# -- names -----------------------------------------------------------------------------------------


def test_any_path_serves_from_the_command_line_to_the_labels(tmp_path):
    names = ["with  spaces", "ünïcødé 情感 😀", "it's 100% #1 & 'more'; (ok)", "-r", "a,b=c"]
    folder = tmp_path / "Düsseldorf, 2. Aufnahme (neu)"
    (folder / "labels").mkdir(parents=True)
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(PAL, 5), sound=Sound())
    for name in names:
        (folder / f"{name}.mp4").write_bytes(clip.path.read_bytes())
        (folder / "labels" / f"{name}.csv").write_text("valence,arousal\n" + "0.5,-0.5\n" * 5)
    words = ["extract", "--videos", folder, "--cache", folder / "der Cache", "--faces", "frame"]
    result = vapipe_(*words)
    assert result.exit_code == 0, result.output
    store = FeatureStore.open(folder / "der Cache")
    assert sorted(store.videos()) == sorted(names)
    for name in names:
        assert set(store.status(name, "onet").tolist()) == {Valid.IMAGE}
        assert store.labels(name).tolist() == [[0.5, -0.5]] * 5


# -- pixels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("ffv1", "yuv444p", (83, 67)),
        ("libx265", "yuv420p10le", (84, 68)),
        ("ffv1", "gray", (84, 68)),
        ("ffv1", "gray10le", (84, 68)),
        ("png", "rgba", (84, 68)),
        ("ffv1", "yuva420p", (84, 68)),
    ],
)
def test_odd_sizes_deep_grey_and_transparent_pictures_are_embedded_alike(
    tmp_path, portrait, codec, pixels, size
):
    """Against the same picture, grey where the clip is, as plain RGB."""
    picture = portrait[: size[1], 20 : 20 + size[0]]
    if pixels.startswith("gray"):
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    found = []
    for name, kind, layout in (("plain", "ffv1", "bgr0"), ("clip", codec, pixels)):
        (tmp_path / name).mkdir()
        options = {"x265-params": "log-level=error:crf=8"} if kind == "libx265" else {}
        clip = write_clip(
            tmp_path / name / ("c.mov" if kind == "png" else "c.mkv"),
            times=constant_times(PAL, 5),
            size=size,
            draw=lambda row: picture,
            codec=kind,
            pixels=layout,
            options=options,
        )
        found.append(Extracted(clip.path))
    plain, other = found
    assert plain.seen.tolist() == other.seen.tolist() == [Valid.IMAGE] * 5
    assert likeness(other.onet, plain.onet[0]).min() > 0.97
