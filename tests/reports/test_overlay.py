"""Overlays keep every frame at its time, keep the sound, and show the values where they belong."""

import av
import numpy as np
import pytest
from clips import PAL, Sound, constant_times, variable_times, write_clip

from vapipe.cache import ConfigError, MediaError
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe
from vapipe.reports import overlay
from vapipe.reports import panel as panel_module
from vapipe.reports.overlay import write_overlay
from vapipe.reports.panel import Panel

NAMES = ("valence", "arousal")


def waves(rows):
    phase = np.arange(rows) / 10
    return np.stack([np.sin(phase), np.cos(phase)], axis=1)


def loud(times):
    return 0.3 * np.sin(2 * np.pi * 330 * times)


def heard(path):
    """Packets of the sound: times and bytes."""
    with av.open(str(path)) as file:
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(audio=0) if p.size]


@pytest.mark.parametrize("start", [0.0, 0.85])
def test_frames_of_a_variable_rate_and_sound_keep_their_times(tmp_path, start):
    times = variable_times(60, start=start)
    sound = Sound(start=0.2, seconds=1.5, signal=loud)
    clip = write_clip(tmp_path / "in.mp4", times=times, sound=sound, events=[7, 40])
    path = write_overlay(clip.path, tmp_path / "out", waves(60))
    assert path == tmp_path / "out.mp4"
    info = probe(path)
    assert np.abs(info.timeline.pts - clip.pts).max() < 1e-4
    flashes = [f.row for f in read_frames(info) if f.image[90:110, 90:110].mean() > 128]
    assert flashes == [7, 40]
    (mine, theirs) = heard(clip.path), heard(path)
    assert [packet for _, packet in mine] == [packet for _, packet in theirs]
    assert np.allclose(*([float(t) for t, _ in each] for each in (mine, theirs)), atol=1e-3)


def test_without_sound_there_is_none(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", times=constant_times(PAL, 5))
    path = write_overlay(clip.path, tmp_path / "out", waves(5))
    assert probe(path).audio is None
    assert len(probe(path).timeline) == 5


def test_sound_that_mp4_cannot_hold_goes_into_mkv(tmp_path):
    sound = Sound(codec="pcm_s16le", signal=loud)
    clip = write_clip(tmp_path / "in.mkv", times=constant_times(PAL, 30), sound=sound)
    path = write_overlay(clip.path, tmp_path / "out", waves(30))
    assert path.suffix == ".mkv"
    assert [p for _, p in heard(path)] == [p for _, p in heard(clip.path)]
    assert np.abs(probe(path).timeline.pts - clip.pts).max() <= 0.5e-3


def test_a_name_with_dots_stays_whole(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", times=constant_times(PAL, 5))
    assert write_overlay(clip.path, tmp_path / "a.b", waves(5)).name == "a.b.mp4"


@pytest.mark.parametrize("shape", [(4, 2), (5, 3), (5,)])
def test_other_numbers_of_rows_are_refused(tmp_path, shape):
    clip = write_clip(tmp_path / "in.mp4", times=constant_times(PAL, 5))
    with pytest.raises(ConfigError, match=r"values of shape .* for a video of 5 frames"):
        write_overlay(clip.path, tmp_path / "out", np.zeros(shape))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_build_without_x264_writes_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay.av, "codecs_available", {"mpeg4"})
    times = variable_times(20)
    clip = write_clip(tmp_path / "in.mp4", times=times)
    info = probe(write_overlay(clip.path, tmp_path / "out", waves(20)))
    assert info.codec == "mpeg4"
    assert np.abs(info.timeline.pts - clip.pts).max() < 1e-4


def test_what_cannot_be_encoded_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "_CODECS", {"libx264": {"preset": "nonsense"}})
    clip = write_clip(tmp_path / "in.mp4", times=constant_times(PAL, 5))
    with pytest.raises(MediaError, match=r"out.mp4: the overlay of .*in.mp4 cannot be encoded \("):
        write_overlay(clip.path, tmp_path / "out", waves(5))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.slow  # a minute for those of at most 300 frames
def test_real_clips_stay_in_time(real_clip, tmp_path):
    info = probe(real_clip)
    if len(info.timeline) > 300:
        pytest.skip("long")
    made = probe(write_overlay(real_clip, tmp_path / "out", waves(len(info.timeline))))
    assert np.abs(made.timeline.pts - info.timeline.pts).max() < 1e-4
    assert (made.audio is None) == (info.audio is None)


# -- the picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "across", "down"), [((0, 0), 0.5, 0.5), ((1, 1), 1, 0), ((-1, 0.5), 0, 0.25)]
)
def test_the_point_is_where_the_values_say(value, across, down):
    panel = Panel((320, 240), np.array([0.0]), np.array([value], float), NAMES)
    left, top, right, bottom = 320 + 12, 12, 320 + 240 - 12, 240 - 12
    canvas = panel.draw(0, None)
    x = round(left + across * (right - left))
    y = round(top + down * (bottom - top))
    assert (canvas[y, x] == 255).all()
    assert not (canvas[top:bottom, left:right][::40, ::40] == 255).all()


def test_values_beyond_the_plane_are_drawn_at_its_edge():
    times = np.arange(2) / 25
    inside, beyond = (Panel((320, 240), times, np.full((2, 2), v), NAMES) for v in (1.0, 1.0001))
    assert (inside.draw(1, None)[20:230] == beyond.draw(1, None)[20:230]).all()


def test_the_cursor_moves_with_time_not_with_rows():
    times = np.array([0.0, 0.1, 4.0])
    panel = Panel((320, 240), times, np.zeros((3, 2)), NAMES)
    strip = [panel.draw(row, None)[-20] for row in range(3)]
    cursors = [np.flatnonzero((line == 255).all(axis=1)) for line in strip]
    width = panel.size[0] - 24
    assert [int(c[0]) - 12 for c in cursors] == pytest.approx([0, width * 0.1 / 4, width], abs=1)


def test_long_curves_scroll():
    times = np.arange(0, 100, 0.1)
    panel = Panel((320, 240), times, np.zeros((len(times), 2)), NAMES)
    middle = 12 + (panel.size[0] - 24) // 2

    def cursor(row):
        line = panel.draw(row, None)[-20]
        return int(np.flatnonzero((line == 255).all(axis=1))[0])

    assert [cursor(row) for row in (300, 600)] == pytest.approx([middle, middle], abs=1)
    assert cursor(0) == 12
    assert cursor(len(times) - 1) == pytest.approx(panel.size[0] - 12, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (47, 31), (320, 240), (303, 541)])
def test_the_picture_is_whole_and_the_canvas_even(size):
    panel = Panel(size, np.array([0.0, 1.0]), np.zeros((2, 2)), NAMES)
    picture = np.full((size[1], size[0], 3), (1, 255, 1), np.uint8)
    canvas = panel.draw(0, picture)
    assert canvas.shape == (panel.size[1], panel.size[0], 3)
    assert panel.size[0] % 2 == panel.size[1] % 2 == 0
    assert (canvas == (1, 255, 1)).all(axis=2).sum() == size[0] * size[1]
    assert not (panel.draw(0, None) == (1, 255, 1)).all(axis=2).any()


def test_stretches_without_a_face_or_sound_are_shaded_where_they_are():
    times = np.arange(100) / 10
    shaded = {"no face": (times >= 4) & (times < 6), "no sound": np.zeros(100, bool)}
    plain = Panel((320, 240), times, np.zeros((100, 2)), NAMES)
    panel = Panel((320, 240), times, np.zeros((100, 2)), NAMES, shaded)
    assert np.array_equal(plain.draw(20, None)[:240], panel.draw(20, None)[:240])  # a seen row
    assert not np.array_equal(plain.draw(50, None)[:240], panel.draw(50, None)[:240])
    left, top, right, _ = panel._strip_box()
    line = panel.draw(20, None)[top + 3]
    shaded = np.flatnonzero((line == panel_module._SHADE).all(axis=1))
    expected = [left + (right - left) * t / times[-1] for t in (4, 6)]
    assert np.abs([shaded[0], shaded[-1]] - np.array(expected)).max() <= 2
    assert (np.diff(shaded) == 1).all()


def frame_of(image, colour):
    """Left, top, right, bottom of the pixels of about one colour; None where there are none."""
    near = (np.abs(image.astype(int) - colour) < 60).all(axis=2)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    return [columns[0], rows[0], columns[-1], rows[-1]] if len(rows) else None


def test_a_box_is_drawn_around_the_face_and_in_another_colour_where_care_is_needed():
    boxes = np.array([[40, 30, 50, 70], [np.nan] * 4, [-20, 200, 60, 80]])
    care = {"another track": np.array([False, False, True])}
    panel = Panel((320, 240), np.arange(3.0), np.zeros((3, 2)), NAMES, care, boxes)
    pictures = [panel.draw(row, np.zeros((240, 320, 3), np.uint8))[:240, :320] for row in range(3)]
    assert frame_of(pictures[0], panel_module._TEXT) == [40, 30, 90, 100]
    assert not pictures[1].any()
    assert frame_of(pictures[2], panel_module._CARE) == [0, 200, 40, 239]
    assert frame_of(pictures[2], panel_module._TEXT) is None


@pytest.mark.parametrize("size", [(304, 540), (640, 360), (48, 32)])
def test_reasons_stand_in_the_curves_and_hide_no_number(size):
    care = {name: np.ones(2, bool) for name in ("no sound", "another track")}
    times = np.array([0.0, 3000.0])
    plain, panel = (Panel(size, times, np.zeros((2, 2)), NAMES, each) for each in (None, care))
    left, top, right, bottom = panel._strip_box()
    drawn = panel.draw(1, None)[top + 1 : bottom, left:right]
    assert frame_of(drawn, panel_module._TEXT)[1] < 20
    above = [each.draw(1, None)[top - 20 : top - 1, left:right] for each in (plain, panel)]
    assert np.array_equal(*above)
    blank = (above[0] == panel_module._BACK).all(axis=(0, 2))
    assert (np.diff(np.flatnonzero(~blank)) > 7).any()  # between values and clock


@pytest.mark.parametrize("size", [(400, 1080), (64, 120)])
def test_boxes_go_with_the_picture_into_its_reduced_size(tmp_path, size):
    clip = write_clip(tmp_path / "in.mp4", times=constant_times(PAL, 2), size=size)
    boxes = np.array([[0.25, 0.25, 0.5, 0.5]] * 2) * (size * 2)  # of width, height
    path = write_overlay(clip.path, tmp_path / "out", np.zeros((2, 2)), boxes=boxes)
    image = next(read_frames(probe(path))).image
    scale = min(1.0, 540 / size[1])
    width, height = size[0] * scale, size[1] * scale
    left, top = max(0, 200 - width) / 2, max(0, 200 - height) / 2
    inner = image[: round(top + height), : round(left + width)]
    expected = [left + width / 4, top + height / 4, left + width * 3 / 4, top + height * 3 / 4]
    assert frame_of(inner, panel_module._TEXT) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("size", [(304, 540), (540, 541), (300, 480)])
def test_beside_a_tall_picture_nothing_is_left_empty(size):
    panel = Panel(size, np.arange(50) / 25, waves(50), NAMES)
    assert panel.size[1] <= size[1] + 1
    beside = panel.draw(20, None)[:, size[0] :]
    drawn = np.flatnonzero((beside != panel_module._BACK).any(axis=(1, 2)))
    assert np.diff([0, *drawn, size[1]]).max() <= 45  # where the title would stand


def test_the_way_fades_and_the_title_is_cut_to_its_place():
    times = np.arange(60) / 25
    values = np.stack([np.linspace(-0.9, 0.9, 60), np.full(60, 0.75)], axis=1)
    panel = Panel((320, 240), times, values, NAMES, title="grjca-1")
    left, top, right, bottom = panel._plane_box()
    line = panel.draw(59, None)[round(top + (bottom - top) / 8)].astype(int)
    first = times.searchsorted(times[-1] - panel_module._TRAIL_S)
    ends = [round(left + (1 + v) / 2 * (right - left)) for v in (values[first, 0], 0.9)]
    way = line[ends[0] + 2 : ends[1] - 8, 0]
    assert way[-1] > 200 > 60 > way[0]
    assert np.diff(way[way != panel_module._LINE[0]]).min() >= 0
    plain, longer, longest = (
        Panel((320, 240), times, values, NAMES, title=title).draw(0, None)
        for title in ("", "a" * 500, "a" * 501)
    )
    assert not np.array_equal(plain, longer)
    assert np.array_equal(longer, longest)
    assert np.array_equal(plain[:, -8:], longer[:, -8:])  # nothing runs over the edge
