"""Flash and click of one moment land on the same row, at every frame rate."""

import numpy as np
import pytest
from clips import FILM, NTSC, PAL, RATES, Sound, constant_times, variable_times, write_clip

from vapipe.extract.encoders import create_encoder
from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe


def rows_of_events(clip, reach=6):
    """For each event: rows of the brightest image and of the loudest sound around it."""
    info = probe(clip.path)
    light = np.array([frame.image.mean() for frame in read_frames(info)])
    encoder = create_encoder("logmel")
    features = np.concatenate([f for f, _ in encoder.encode(read_audio(info), info.timeline)])
    power = np.exp(features.astype(np.float64)).sum(axis=1)
    spans = [slice(row - reach, row + reach + 1) for row in clip.events]
    return [
        (row - reach + int(light[span].argmax()), row - reach + int(power[span].argmax()))
        for row, span in zip(clip.events, spans, strict=True)
    ]


CASES = {str(float(fps))[:5]: constant_times(fps, round(8 * fps)) for fps in RATES} | {
    "variable": variable_times(280),
    "video at 0.852 s": constant_times(NTSC, 240, 0.852),
    "both late": constant_times(PAL, 200, 2.0),
    "one frame per second": constant_times(PAL / 25, 40),
    "240 fps": constant_times(PAL * 48 / 5, 1000),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("codec", "suffix"), [("aac", "mp4"), ("flac", "mkv")])
def test_flash_and_click_land_on_the_same_row(tmp_path, case, codec, suffix):
    times = CASES[case]
    sound = Sound(codec=codec, start=1.5 if case == "both late" else 0.0, seconds=None)
    events = range(12, len(times) - 12, max(len(times) // 6, 14))
    clip = write_clip(tmp_path / f"c.{suffix}", times=times, sound=sound, events=events)
    rows = rows_of_events(clip)
    assert len(rows) >= 2
    for event, (flash, click) in zip(clip.events, rows, strict=True):
        assert flash == event
        assert abs(click - flash) <= (1 if case != "240 fps" else 3)  # 1024 samples are 6 rows


def test_a_hole_in_the_sound_moves_no_later_click(tmp_path):
    times = constant_times(FILM, 240)
    sound = Sound(codec="flac", holes=((3.0, 4.5),))
    clip = write_clip(tmp_path / "c.mkv", times=times, sound=sound, events=[30, 150, 210])
    for flash, click in rows_of_events(clip):
        assert abs(click - flash) <= 1
