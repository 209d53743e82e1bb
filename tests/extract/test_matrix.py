"""Containers times codecs times features: a flash and a click share their row, rows are frames.

A sample runs always, all cells with `pytest -m slow tests/extract/test_matrix.py`.
"""

import zlib
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from remux import shown_times

from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe

EVENTS = [7, 31]
ROWS = 40


class Kind(NamedTuple):
    """A container with a codec for pictures and one for sound; `times` where it stores any."""

    suffix: str
    codec: str
    sound: str
    pixels: str = "yuv420p"
    size: tuple[int, int] = (64, 48)
    times: bool = True
    reorders: bool = False


KINDS = [
    Kind("mp4", "libx264", "aac", reorders=True),
    Kind("mp4", "libx265", "aac"),
    Kind("mp4", "mpeg4", "aac", reorders=True),
    Kind("mp4", "libvpx-vp9", "libopus"),
    Kind("mp4", "libsvtav1", "aac"),
    Kind("mov", "libx264", "pcm_s16le", reorders=True),
    Kind("mov", "prores", "pcm_s16le", pixels="yuv422p10le"),
    Kind("mov", "mjpeg", "alac", pixels="yuvj420p"),
    Kind("qt", "libx265", "aac"),
    Kind("mkv", "libx264", "libopus", reorders=True),
    Kind("mkv", "libx265", "flac"),
    Kind("mkv", "mpeg4", "libmp3lame", reorders=True),
    Kind("mkv", "mpeg2video", "ac3", reorders=True),
    Kind("mkv", "ffv1", "pcm_s16le"),
    Kind("mkv", "msmpeg4", "mp2"),
    Kind("webm", "libvpx", "libopus"),
    Kind("webm", "libvpx-vp9", "libopus"),
    Kind("webm", "libsvtav1", "libopus"),
    Kind("ts", "libx264", "aac", reorders=True),
    Kind("ts", "mpeg2video", "mp2", reorders=True),
    Kind("m2ts", "libx264", "ac3", reorders=True),
    Kind("mts", "libx265", "aac"),
    Kind("mpg", "mpeg1video", "mp2", reorders=True),
    Kind("vob", "mpeg2video", "mp2", reorders=True),
    Kind("avi", "mpeg4", "pcm_s16le", times=False, reorders=True),
    Kind("avi", "libx264", "mp2", times=False, reorders=True),
    Kind("avi", "mjpeg", "pcm_s16le", pixels="yuvj420p", times=False),
    Kind("avi", "msmpeg4", "mp2", times=False),
    Kind("flv", "libx264", "aac", reorders=True),
    Kind("flv", "flv", "libmp3lame"),
    Kind("wmv", "wmv2", "mp2"),
    Kind("3gp", "mpeg4", "aac"),
    Kind("3g2", "libx264", "aac", reorders=True),
    Kind("nut", "mpeg4", "flac", reorders=True),
    Kind("mxf", "mpeg2video", "pcm_s16le", size=(720, 576), times=False, reorders=True),
    Kind("dv", "dvvideo", "pcm_s16le", size=(720, 576), times=False),
]
FORMATS = {"qt": "mov", "m2ts": "mpegts", "mts": "mpegts"}


class Cell(NamedTuple):
    """What is written."""

    kind: Kind
    feature: str

    def __str__(self):
        return f"{self.kind.suffix}-{self.kind.codec}-{self.feature}"


def features(kind):
    yield "plain"
    if kind.reorders:
        yield "b-frames"
    if kind.times:
        yield "late"
    if kind.times and kind.codec != "mpeg1video" and kind.codec != "mpeg2video":
        yield "gaps"
    if kind.codec in ("libx264", "mpeg2video"):
        yield "interlaced"


CELLS = [Cell(kind, feature) for kind in KINDS for feature in features(kind)]
ALWAYS = {cell for cell in CELLS if zlib.crc32(str(cell).encode()) % 2} | {
    Cell(kind, "plain") for kind in KINDS[:3]
}


def write(path, cell):
    kind, feature = cell
    times = constant_times(PAL, ROWS)
    if feature == "late":
        times = constant_times(PAL, ROWS, 1.0 if kind.codec.startswith("mpeg") else 0.852)
    if feature == "gaps":
        times = [time + Fraction(row // 13 * 2, 5) for row, time in enumerate(times)]
    options = {"bf": "2"} if feature == "b-frames" else {}
    if feature == "interlaced":
        options = {"flags": "+ildct+ilme", "bf": "0"}
    if kind.codec == "libx265":
        options["x265-params"] = "log-level=error"
    if kind.codec == "libsvtav1":
        options |= {"preset": "12", "svtav1-params": "lp=1"}
    return write_clip(
        path,
        times=times,
        size=kind.size,
        events=EVENTS,
        sound=Sound(codec=kind.sound, rate=48000, layout="stereo"),
        codec=kind.codec,
        pixels=kind.pixels,
        options=options,
        form=FORMATS.get(kind.suffix),
    )


def clicks(info):
    """Rows of the two loudest moments that are 0.2 s apart."""
    blocks = list(read_audio(info))
    times = np.concatenate([(b.start + np.arange(len(b.samples))) / 16000 for b in blocks])
    loud = np.abs(np.concatenate([block.samples for block in blocks]))
    power = np.convolve(loud**2, np.ones(32), "same")
    first = times[int(np.argmax(power))]
    power[np.abs(times - first) < 0.2] = 0
    second = times[int(np.argmax(power))]
    edges = info.timeline.edges()
    return sorted(int(np.searchsorted(edges, t, side="right")) - 1 for t in (first, second))


def test_there_are_enough_cells():
    assert len(CELLS) >= 60
    assert len({str(cell) for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize(
    "cell", [pytest.param(c, marks=() if c in ALWAYS else pytest.mark.slow) for c in CELLS], ids=str
)
def test_flash_and_click_share_their_row_and_rows_are_frames(tmp_path, cell):
    clip = write(tmp_path / f"c.{cell.kind.suffix}", cell)
    info = probe(clip.path)
    assert info.damage == []
    assert len(info.timeline) == ROWS == len(shown_times(clip.path, info.index))
    steps = np.diff(clip.pts)
    np.testing.assert_allclose(np.diff(info.timeline.pts), steps, atol=2e-3)
    bright = np.array([frame.image.mean() for frame in read_frames(info, lines=32)])
    assert np.flatnonzero(bright > 135).tolist() == EVENTS
    assert clicks(info) == EVENTS
    assert info.damage == []
