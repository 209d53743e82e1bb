"""The demo data set: what is on disk, and that the labels are really in picture and sound."""

import dataclasses
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache.durable import digest_file
from vapipe.demo import dataset
from vapipe.demo.dataset import (
    DESCRIPTION,
    HINT,
    Clip,
    label_text,
    plan_clip,
    write_demo_set,
    write_video,
)
from vapipe.demo.face import FACE_CENTRE, NEUTRAL, SCALE, SIZE, Shot, draw_frames, load_portrait
from vapipe.demo.voice import RATE, render_voice
from vapipe.errors import CacheError, ConfigError
from vapipe.executor import Cause, TaskFailed

TINY = {"train": 2, "validation": 1, "seconds": 2.0, "fps": 25}
LABELS = "VA_Estimation_Challenge"
MOUTH_CORNERS = ((204.0, 141.0), (245.0, 143.0))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, write_demo_set(folder, seed=3, jobs=1, **TINY)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return plan_clip("train", 0, frames=200, fps=25, seed=1)


@pytest.fixture(scope="module")
def media(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(clip, target, load_portrait())
    return target


def pictures(path: Path) -> tuple[list[float], np.ndarray]:
    """Presentation times, and frames [T, H, W, 3] uint8."""
    with av.open(str(path)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return [time for time, _ in frames], np.stack([pixels for _, pixels in frames])


def sound(path: Path) -> np.ndarray:
    """Samples from time zero on."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time == 0
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def labels(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1)


def test_the_folder_has_the_layout_of_aff_wild2(demo: tuple[Path, list[Path]]) -> None:
    folder, videos = demo
    assert {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    } == {
        "batch1/demo_train_01.mp4",
        "batch2/demo_train_02.mp4",
        "batch1/demo_validation_01.mp4",
        f"{LABELS}/Train_Set/demo_train_01.txt",
        f"{LABELS}/Train_Set/demo_train_02.txt",
        f"{LABELS}/Validation_Set/demo_validation_01.txt",
    }
    assert [path.stem for path in videos] == [
        "demo_train_01",
        "demo_train_02",
        "demo_validation_01",
    ]
    assert all(path.is_file() for path in videos)


def test_every_frame_has_a_label_row_and_frame_i_is_shown_at_i_over_fps(
    demo: tuple[Path, list[Path]],
) -> None:
    folder, videos = demo
    for video in videos:
        (file,) = folder.glob(f"{LABELS}/*/{video.stem}.txt")
        times, frames = pictures(video)
        assert file.read_text().splitlines()[0] == "valence,arousal"
        assert labels(file).shape == (len(frames), 2) == (50, 2)
        np.testing.assert_allclose(times, np.arange(50) / 25, atol=1e-6)


def test_labels_lie_within_one_or_are_minus_five(demo: tuple[Path, list[Path]]) -> None:
    folder, _ = demo
    for file in folder.glob(f"{LABELS}/*/*.txt"):
        values = labels(file)
        absent = values == -5
        assert absent.any()
        assert not absent.all(axis=0).any()
        assert (np.abs(values[~absent]) <= 1).all()


def test_the_same_seed_gives_the_same_files_with_any_number_of_processes(
    demo: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, _ = demo
    write_demo_set(tmp_path, seed=3, jobs=2, **TINY)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert [digest_file(path) for path in files] == [
        digest_file(tmp_path / path.relative_to(folder)) for path in files
    ]


def test_clips_differ_by_seed_partition_and_number_and_not_by_how_many_there_are() -> None:
    drawn = [
        label_text(plan_clip(partition, index, frames=100, fps=25, seed=seed))
        for seed in (0, 1)
        for partition in ("train", "validation")
        for index in (0, 1)
    ]
    assert len(set(drawn)) == len(drawn)
    assert drawn[0] == label_text(plan_clip("train", 0, frames=100, fps=25, seed=0))


def test_progress_counts_the_finished_clips(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_demo_set(
        tmp_path,
        train=1,
        validation=1,
        seconds=2,
        fps=10,
        jobs=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_disk_refuses_is_named(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "batch1").write_text("in the way")
    with pytest.raises(CacheError, match=r"cannot write .*batch1/demo_\w+_01\.mp4"):
        write_demo_set(tmp_path, jobs=jobs, **TINY)


def test_a_process_that_dies_is_named_with_its_clip(tmp_path: Path, monkeypatch) -> None:
    def deadly(function, tasks, n_jobs):
        return ((task, TaskFailed(Cause.DIED, "signal 9, SIGKILL")) for task in tasks)

    monkeypatch.setattr(dataset, "run_tasks", deadly)
    with pytest.raises(ConfigError, match=r"demo_train_01\.mp4 died \(signal 9, SIGKILL\), also"):
        write_demo_set(tmp_path, **TINY)


def test_the_description_says_that_the_data_is_synthetic() -> None:
    assert "synthetic" in DESCRIPTION.splitlines()[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(20, 900), fps=st.integers(10, 60))
def test_every_plan_keeps_one_modality_and_hides_each_for_a_while(
    seed: int, frames: int, fps: int
) -> None:
    clip = plan_clip("train", 0, frames=frames, fps=fps, seed=seed)
    for signal in (clip.valence, clip.arousal):
        assert signal.shape == (frames,)
        assert np.abs(signal).max() <= 1
    assert not ((clip.face_hidden > 0) & (clip.voice_hidden > 0)).any()
    for hidden in (clip.face_hidden, clip.voice_hidden):
        assert 0.05 < np.mean(hidden > 0) < 0.3
    assert not ((clip.shot.covered > 0) & (clip.shot.away > 0)).any()
    assert 1 - clip.annotated.mean() < 0.1 + 2 / frames


def test_the_planted_signals_are_slow_spread_out_and_independent() -> None:
    clips = [plan_clip("train", index, frames=700, fps=25, seed=0) for index in range(20)]
    frequency = np.fft.rfftfreq(700, 1 / 25)
    for signals in ([clip.valence for clip in clips], [clip.arousal for clip in clips]):
        # The window keeps the jump between the two ends of a clip out of the spectrum.
        power = np.abs(np.fft.rfft(np.stack(signals) * np.hanning(700), axis=1)) ** 2
        assert power[:, frequency < 0.3].sum() > 0.95 * power.sum()
        counts, _ = np.histogram(np.concatenate(signals), bins=4, range=(-1, 1))
        assert counts.min() > 0.15 * counts.sum()
    pairs = np.corrcoef(
        np.concatenate([clip.valence for clip in clips]),
        np.concatenate([clip.arousal for clip in clips]),
    )
    assert abs(pairs[0, 1]) < 0.1


def test_each_modality_hints_weakly_at_the_label_of_the_other() -> None:
    clips = [plan_clip("train", index, frames=700, fps=25, seed=0) for index in range(40)]
    eyes = np.mean([np.corrcoef(clip.shot.eyes, clip.arousal)[0, 1] for clip in clips])
    smile = np.mean([np.corrcoef(clip.utterance.smile, clip.valence)[0, 1] for clip in clips])
    assert abs(eyes - HINT) < 0.1
    assert abs(smile - HINT) < 0.1


def test_picture_and_sound_share_one_clock(clip: Clip, media: Path) -> None:
    written, heard = render_voice(clip.utterance, clip.fps), sound(media)
    assert abs(len(heard) - len(written)) <= 1024
    size = 2 * len(written)
    match = np.fft.irfft(
        np.fft.rfft(heard[: len(written)], size) * np.conj(np.fft.rfft(written, size))
    )
    assert match.argmax() == 0, "the voice is late or early by so many samples"


def test_loudness_follows_arousal(clip: Clip, media: Path) -> None:
    samples = sound(media)[: RATE * len(clip.arousal) // clip.fps]
    level = 10 * np.log10(np.mean(samples.reshape(len(clip.arousal), -1) ** 2, axis=1) + 1e-9)
    spoken = (clip.voice_hidden == 0) & (level > -48)
    assert spoken.mean() > 0.4
    # Half a second holds about two syllables, whose rise and fall is none of arousal's.
    loud = np.array([level[max(0, i - 6) : i + 7].max() for i in np.flatnonzero(spoken)])
    assert np.corrcoef(loud, clip.arousal[spoken])[0, 1] > 0.8


def test_nothing_of_a_hidden_voice_is_heard(clip: Clip) -> None:
    said = clip.utterance
    shouted = dataclasses.replace(said, loudness=said.loudness + 10, pitch=1.5 * said.pitch)
    samples = np.arange(RATE * len(clip.arousal) // clip.fps) / RATE
    hidden = np.interp(samples, np.arange(len(clip.arousal)) / clip.fps, clip.voice_hidden) == 1
    assert hidden.any()
    one, other = (render_voice(utterance, clip.fps) for utterance in (said, shouted))
    np.testing.assert_array_equal(one[hidden], other[hidden])
    assert (one[~hidden] != other[~hidden]).mean() > 0.5


def in_frame(shot: Shot, x: float, y: float) -> np.ndarray:
    """Where a point of the unwarped portrait lies in each frame [T, 2], pixels."""
    scale = shot.zoom / SCALE
    dx, dy = x - FACE_CENTRE[0], y - FACE_CENTRE[1]
    cos, sin = np.cos(shot.turn), np.sin(shot.turn)
    middle = (SIZE - 1) / 2
    return np.stack(
        [
            middle + shot.shift_x + scale * (cos * dx + sin * dy),
            middle + shot.shift_y + scale * (cos * dy - sin * dx),
        ],
        axis=1,
    )


def still(amount: float) -> np.ndarray:
    """One noiseless grey frame of the unmoved face."""
    rest = np.zeros(1)
    shot = Shot(
        mouth=rest + amount,
        eyes=rest,
        turn=rest,
        shift_x=rest,
        shift_y=rest,
        zoom=rest + 1,
        light=rest + 1,
        slope=rest,
        covered=rest,
        away=rest,
        tint=(1.0, 1.0, 1.0),
        grain=0.0,
        mirrored=False,
        noise_seed=0,
    )
    return next(draw_frames(shot, load_portrait())).mean(axis=2)


def patch(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    """A standardised piece [17, 17] of a grey frame."""
    top, left = round(y) - 8, round(x) - 8
    piece = frame[top : top + 17, left : left + 17]
    return (piece - piece.mean()) / (piece.std() + 1e-6)


def test_mouth_corners_rise_with_valence(clip: Clip, media: Path) -> None:
    _, frames = pictures(media)
    frames = frames.mean(axis=3)
    if clip.shot.mirrored:
        frames = frames[:, :, ::-1]
    seen = np.flatnonzero(clip.face_hidden == 0)[::2]
    steps = np.arange(-14, 15)
    rise = np.zeros(len(seen))
    for corner in MOUTH_CORNERS:
        middle = (SIZE - 1) / 2
        template = patch(still(NEUTRAL), *(middle + (np.array(corner) - FACE_CENTRE) / SCALE))
        where = in_frame(clip.shot, *corner)
        for row, i in enumerate(seen):
            x, y = where[i]
            likeness = [(patch(frames[i], x, y + step) * template).mean() for step in steps]
            rise[row] -= steps[int(np.argmax(likeness))]
    assert np.corrcoef(rise, clip.valence[seen])[0, 1] > 0.8


def test_a_hidden_face_is_not_in_the_picture(clip: Clip, media: Path) -> None:
    _, frames = pictures(media)
    middle = frames[:, 90:180, 80:180].mean(axis=3) / 255
    face = still(NEUTRAL)[90:180, 80:180] / 255

    def likeness(rows: np.ndarray) -> float:
        return max(abs(np.corrcoef(middle[i].ravel(), face.ravel())[0, 1]) for i in rows)

    assert likeness(np.flatnonzero(clip.face_hidden == 1)) < 0.4


def test_without_scikit_image_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)  # importing it now fails for real
    with pytest.raises(ConfigError, match=r"pip install 'vapipe\[demo\]'"):
        write_demo_set(tmp_path / "demo", **TINY)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("seed", -1), ("train", 0), ("validation", 0), ("seconds", 1.0), ("fps", 5)],
)
def test_a_number_out_of_range_is_named_with_its_range(
    tmp_path: Path, option: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=rf"{option} must lie between \d+ and \d+; got {value}"):
        write_demo_set(tmp_path, **{**TINY, option: value})


@pytest.mark.parametrize(
    "stranger", ["batch1/holiday.mp4", f"{LABELS}/Train_Set/demo_train_09.txt"]
)
def test_it_does_not_mix_with_what_a_folder_already_holds(tmp_path: Path, stranger: str) -> None:
    file = tmp_path / stranger
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=f"already holds {stranger}"):
        write_demo_set(tmp_path, **TINY)
    assert file.read_bytes() == b"mine"
