"""Videos that fail: tried again alone, then noted and passed over, until something has changed."""

import json
import os
import re
import shutil

import pytest
from clips import PAL, Sound, constant_times, write_clip, write_videos
from extraction import FRAME, settings_of
from terminal import vapipe_
from unruly import Deeds, tries

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.verify import verify_cache
from vapipe.errors import StoppedError
from vapipe.extract.attempts import Policy
from vapipe.extract.dataset import find_dataset
from vapipe.extract.failures import read_failures
from vapipe.extract.options import Options, StreamConfig
from vapipe.extract.run import load_streams, run_extraction

ROWS = 20  # video number n has n more


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Seven videos without pictures to speak of, v0 to v6."""
    return write_videos(tmp_path_factory.mktemp("videos"), range(ROWS, ROWS + 7))


@pytest.fixture(autouse=True)
def fresh_encoders():
    load_streams.cache_clear()


def settings(folder, deeds="", device="cpu"):
    """`deeds`: number of the video=deed, ..."""
    pairs = (pair.split("=") for pair in deeds.split(",") if pair)
    plan = ",".join(f"{n if n == '*' else ROWS + int(n)}={deed}" for n, deed in pairs)
    (folder / "plan").write_text(plan)
    stream = StreamConfig("unruly", "unruly", (("deeds", Deeds(f"@{folder}")),))
    return settings_of(folder / "cache", (stream,))


def run(videos, folder, deeds="", **options):
    found = run_extraction(find_dataset(videos), settings(folder, deeds), **options)
    return {outcome.video: outcome for outcome in found}


def statuses(outcomes, status):
    return [video for video, outcome in sorted(outcomes.items()) if outcome.status == status]


def test_a_video_that_hangs_costs_only_itself(videos, tmp_path):
    """One worker process is enough for a limit."""
    policy = Policy(time_limit=1.0, grace=10.0, retries=0)
    outcomes = run(videos, tmp_path, "6=hang", jobs=1, policy=policy)
    assert statuses(outcomes, "extracted") == [f"v{n}" for n in range(6)]
    reason = outcomes["v6"].problems[0]
    assert re.search(r"v6.mp4: timed out after 11 s in _do, unruly.py:\d+; allow more", reason)


@pytest.mark.slow
def test_every_kind_of_failure_costs_only_its_video_and_has_its_reason(videos, tmp_path):
    policy = Policy(time_limit=1.0, grace=10.0, memory_limit=1_500_000_000, retries=1)
    deeds = "1=hang,2=hoard,3=raise,4=die"
    outcomes = run(videos, tmp_path, deeds, jobs=2, policy=policy)
    assert statuses(outcomes, "extracted") == ["v0", "v5", "v6"]
    reasons = {video: outcomes[video].problems[0] for video in statuses(outcomes, "failed")}
    told = {video: re.sub(r"\.py:\d+", "", reason) for video, reason in reasons.items()}
    assert {video: reason.partition(".mp4: ")[2].partition(";")[0] for video, reason in
            told.items() if video != "v2"} == {
        "v1": "timed out after 11 s in _do, unruly, also when nothing else ran",
        "v3": f"unexpected ValueError: no good: {ROWS + 3} rows",
        "v4": "its worker process died (signal 6, SIGABRT), also when nothing else ran",
    }  # fmt: skip
    assert "GB of memory, more than the 1.50 GB allowed" in reasons["v2"]
    for number in (1, 2, 3, 4):
        first, second = tries(tmp_path, ROWS + number)
        assert first != second, "the second try is in another process"
    noted = read_failures(tmp_path / "cache")
    assert {video: failure.reason for video, failure in noted.items()} == reasons
    assert "in _do" in noted["v3"].trace
    assert noted["v4"].media["video"]["codec"] == "h264"
    assert not any(finding.problem for finding in verify_cache(tmp_path / "cache"))


def test_a_video_that_failed_is_passed_over_until_something_changes(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    assert statuses(run(folder, tmp_path, "3=raise"), "failed") == ["v3"]
    assert len(tries(tmp_path, ROWS + 3)) == 2
    again = run(folder, tmp_path, "3=raise")
    assert len(tries(tmp_path, ROWS + 3)) == 2
    assert statuses(again, "quarantined") == ["v3"]
    assert (
        again["v3"]
        .problems[0]
        .startswith("not tried, since it failed in an earlier run; --retry-failed tries again: ")
    )
    assert "no good: 23 rows" in again["v3"].problems[0]
    run(folder, tmp_path, "3=raise", policy=Policy(retry_failed=True, retries=0))
    assert len(tries(tmp_path, ROWS + 3)) == 3
    (folder / "v3.mp4").touch()
    assert statuses(run(folder, tmp_path, "3=raise"), "failed") == ["v3"]
    assert len(tries(tmp_path, ROWS + 3)) == 5
    good = run(folder, tmp_path, policy=Policy(retry_failed=True))
    assert statuses(good, "extracted") == ["v3"]
    assert read_failures(tmp_path / "cache") == {}
    assert list((tmp_path / "cache/failures").iterdir()) == []


def test_other_streams_are_tried_where_one_failed(videos, tmp_path):
    run(videos, tmp_path, "3=raise")
    other = settings_of(settings(tmp_path).cache, "logmel")
    assert {o.status for o in run_extraction(find_dataset(videos), other)} == {"extracted"}


def test_another_version_tries_again(videos, tmp_path, monkeypatch):
    run(videos, tmp_path, "3=raise")
    monkeypatch.setattr("vapipe.extract.failures.__version__", "99.0")
    assert statuses(run(videos, tmp_path), "extracted") == ["v3"]


def test_a_failure_that_passes_is_none(videos, tmp_path):
    outcomes = run(videos, tmp_path, "3=raise1")
    assert statuses(outcomes, "extracted") == sorted(outcomes)
    assert len(tries(tmp_path, ROWS + 3)) == 2
    assert not (tmp_path / "cache/failures").exists()


def test_what_the_cache_refuses_is_no_failure_of_the_video(videos, tmp_path):
    (tmp_path / "cache").mkdir()
    run(videos, tmp_path)
    shutil.rmtree(tmp_path / "cache/timeline")
    (tmp_path / "cache/timeline").write_text("in the way")
    with pytest.raises(StoppedError, match="cannot write"):
        run(videos, tmp_path)
    assert read_failures(tmp_path / "cache") == {}
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(videos / "v0.mp4", few)
    (outcome,) = run(few, tmp_path).values()
    assert "cannot write" in outcome.problems[0]
    assert read_failures(tmp_path / "cache") == {}


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_stops_the_run_at_once_and_keeps_what_is_done(tmp_path, small_disk, jobs):
    folder, cache = tmp_path / "videos", small_disk / "cache"
    folder.mkdir()
    write_clip(folder / "v0.mp4", times=constant_times(PAL, 800), sound=Sound())
    for number in range(1, 12):
        os.link(folder / "v0.mp4", folder / f"v{number}.mp4")
    words = ("--videos", folder, "--cache", cache, "--streams", "logmel", "--jobs", jobs)
    result = vapipe_("extract", *words)
    assert result.exit_code == 3, result.output
    done = FeatureStore.open(cache)
    complete = [video for video in done.sources() if done.has(video, "logmel")]
    assert 0 < len(complete) < 12
    assert f"{len(complete)} videos extracted" in result.stdout
    assert "next:" not in result.stdout
    assert result.stderr.count("No space left on device") == 1  # nothing else was tried
    assert "error: stopped: cannot write" in result.stderr
    assert "what is extracted stays" in result.stderr
    assert read_failures(cache) == {}


def test_a_file_that_cannot_be_used_is_tried_once_and_noted(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    for number in range(6):
        (folder / f"bad{number}.mp4").write_text("this is no video\n")
    outcomes = run(folder, tmp_path)
    assert len(statuses(outcomes, "failed")) == 6  # alike, but files and not the set-up are bad
    assert len(statuses(outcomes, "extracted")) == 7
    assert len(statuses(run(folder, tmp_path), "quarantined")) == 6


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_first_failures_of_one_kind_stop_the_run(videos, tmp_path, jobs):
    with pytest.raises(StoppedError, match="the first 5 videos tried all failed alike") as error:
        run(videos, tmp_path, "*=raise", jobs=jobs)
    assert "unexpected ValueError: no good: " in str(error.value)
    assert "Traceback" in str(error.value)
    assert read_failures(tmp_path / "cache") == {}
    assert statuses(run(videos, tmp_path), "extracted") == [f"v{n}" for n in range(7)]


def test_first_failures_of_several_kinds_do_not(videos, tmp_path):
    deeds = "0=raise,1=raise,2=raise,3=raise,4=die,5=raise"
    outcomes = run(videos, tmp_path, deeds, jobs=2, policy=Policy(retries=0))
    assert len(statuses(outcomes, "failed")) == 6


def test_more_failures_than_allowed_stop_the_run(videos, tmp_path):
    policy = Policy(max_failures=1)
    with pytest.raises(StoppedError, match=r"2 videos failed, and --max-failures allows 1"):
        run(videos, tmp_path, "1=raise,3=raise,5=raise", policy=policy)
    assert tries(tmp_path, ROWS + 5) == []
    done = FeatureStore.open(tmp_path / "cache")
    assert done.has("v0", "unruly")
    assert done.has("v2", "unruly")
    outcomes = run(videos, tmp_path, "1=raise,3=raise,5=raise", policy=Policy(max_failures=3))
    assert statuses(outcomes, "failed") == ["v1", "v3", "v5"]


def test_a_damaged_note_is_one_message(videos, tmp_path):
    run(videos, tmp_path, "3=raise")
    (note,) = (tmp_path / "cache/failures").iterdir()
    note.write_text("{")
    with pytest.raises(CacheError, match="delete it, and the video is tried again"):
        run(videos, tmp_path)
    note.write_text(json.dumps({"video": "v3"}))
    with pytest.raises(CacheError, match="delete it, and the video is tried again"):
        run(videos, tmp_path)


def test_the_command_tells_and_ends_with_3(videos, tmp_path, monkeypatch):
    def command(*words):
        return vapipe_("extract", "--videos", videos, "--cache", tmp_path / "cache", *words)

    def use(deeds):
        (spec,) = settings(tmp_path, deeds).specs
        stream = StreamConfig(spec.stream, spec.encoder, spec.options)
        chosen = Options((stream,), FRAME, "as the test wants it")
        monkeypatch.setattr("vapipe.extract.job.choose_options", lambda *_: chosen)

    use("3=raise,4=raise")
    stopped = command("--max-failures", 0)
    assert stopped.exit_code == 3, stopped.output
    assert "error: stopped: 1 video failed, and --max-failures allows 0" in stopped.stderr
    assert "3 videos extracted" in stopped.stdout
    failed = command("--retries", 0)
    assert failed.exit_code == 3
    assert "  v3: failed" in failed.stdout
    again = command()
    assert again.exit_code == 3
    assert "  v3: quarantined" in again.stdout
    assert "--retry-failed tries again" in again.stderr
    assert command("--retry-failed").exit_code == 3
    use("")
    assert command("--retry-failed").exit_code == 0
    use("*=raise")
    shutil.rmtree(tmp_path / "cache")
    broken = command()
    assert broken.exit_code == 1
    assert "error: stopped: the first 5 videos" in broken.stderr
