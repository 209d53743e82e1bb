"""As many processes are started as the work is worth."""

from pathlib import Path

import pytest

from vapipe.extract import plan as plan_module
from vapipe.extract.dataset import Video
from vapipe.extract.plan import sensible_jobs
from vapipe.extract.spec import EncoderSpec

GIB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "encoder", "precision", "cores", "jobs"),
    [
        ([5.0] * 9, "onet", "float32", 8, 1),  # starting processes would take longer than the work
        ([150.0] * 3, "logmel", "float32", 8, 2),
        ([150.0] * 3, "mfcc", "float32", 8, 2),
        ([5.0] * 9, "resnet50", "float32", 8, 3),
        ([5.0] * 9, "resnet50", "bfloat16", 8, 1),
        ([300.0], "resnet50", "float32", 8, 1),  # one video is never shared out
        ([3600.0] * 20, "onet", "float32", 4, 4),
        ([], "onet", "float32", 4, 1),
    ],
)
def test_as_many_processes_as_the_work_is_worth(
    monkeypatch, seconds, encoder, precision, cores, jobs
):
    monkeypatch.setattr(plan_module.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(plan_module, "available_memory", lambda: 64 * GIB)
    monkeypatch.setattr(
        plan_module, "container_duration", lambda path: (seconds[int(path.name)], 0)
    )
    videos = [Video(str(n), Path(str(n)), ()) for n in range(len(seconds))]
    streams = [
        EncoderSpec("sound", "logmel", "audio"),
        EncoderSpec("another", encoder, "visual", precision=precision),
    ]
    assert sensible_jobs(videos, "cpu", streams) == jobs
    beside_a_gpu = sensible_jobs(videos, "cuda:0", streams)  # whose networks are not theirs
    assert beside_a_gpu == min(jobs, max(1, int(sum(seconds) / 180)))
    monkeypatch.setattr(plan_module, "available_memory", lambda: 3 * GIB)
    assert sensible_jobs(videos, "cpu", streams) == min(jobs, 2)


def test_the_memory_that_is_left_is_known():
    assert 0 < plan_module.available_memory() < 1 << 50


def test_videos_that_cannot_be_opened_are_worth_no_process(tmp_path):
    assert sensible_jobs([Video("a", tmp_path / "a.mp4", ())] * 2, "cpu", []) == 1


def test_memory_that_grows_with_the_longest_video_is_reckoned_with(monkeypatch):
    """OpenSMILE's descriptors take 2.7 GB per hour; its functionals, as most, do not grow."""
    pytest.importorskip("opensmile")
    monkeypatch.setattr(plan_module.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(plan_module, "available_memory", lambda: 16_800_000_000)
    monkeypatch.setattr(plan_module, "container_duration", lambda path: (float(path.name), 0))
    videos = [Video(each, Path(each), ()) for each in ("600", "3600", "3600", "900")]

    def jobs(*options):
        streams = [EncoderSpec("s", "egemaps", "audio", options=each) for each in options]
        return sensible_jobs(videos, "cpu", streams)

    assert jobs((("window", 1.0),)) == 4  # one for each video
    assert jobs(()) == 4  # 4 x (1.5 + 2.7) GB
    assert jobs((), (("window", 1.0),)) == 4
    assert jobs((), ()) == 2
