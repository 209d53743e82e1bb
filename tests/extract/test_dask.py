"""Extraction on Dask workers: other processes, over TCP on this machine."""

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from clips import write_videos
from extraction import settings_of, tree
from terminal import vapipe_
from unruly import Deeds, tries

from vapipe.cache.verify import verify_cache
from vapipe.cluster import describe_scheduler
from vapipe.errors import ConfigError
from vapipe.extract.attempts import Policy, StoppedError
from vapipe.extract.dataset import find_dataset
from vapipe.extract.failures import read_failures
from vapipe.extract.options import StreamConfig
from vapipe.extract.run import run_extraction

ROWS = 20
distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")


@pytest.fixture(scope="module")
def cluster():
    """Its scheduler gives a task up as soon as one worker has died over it."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            protocol="tcp",
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"), range(ROWS, ROWS + 6))


def run(videos, cache, streams, **options):
    settings = settings_of(cache, streams)
    found = run_extraction(find_dataset(videos), settings, **options)
    return {outcome.video: outcome for outcome in found}


@pytest.mark.slow  # those of a cluster with a killed worker are compared below
def test_dask_workers_give_the_same_bytes(videos, tmp_path, cluster):
    streams = (StreamConfig("onet", "onet"), StreamConfig("logmel", "logmel"))
    run(videos, tmp_path / "serial", streams)
    words = ("--videos", videos, "--cache", tmp_path / "dask", "--faces", "frame")
    result = vapipe_("extract", *words, "--scheduler", cluster.scheduler_address)
    assert result.exit_code == 0, result.output
    assert "2 workers, 2 tasks at once" in result.stdout
    assert tree(tmp_path / "dask") == tree(tmp_path / "serial")


_REASONS = {
    "die": "died (signal 6, SIGABRT), also when nothing else ran",
    "raise": "unexpected ValueError: no good: 22 rows",
    "hang": "timed out after 31 s in _do, unruly.py:",
}


@pytest.mark.parametrize(
    "what",
    [("die", "raise"), pytest.param(("die", "raise", "hang"), marks=pytest.mark.slow)],
    ids="-".join,
)
def test_bad_units_cost_only_themselves(videos, tmp_path, cluster, what):
    plan = ",".join(f"{ROWS + number}={deed}" for number, deed in enumerate(what, start=1))
    deeds = Deeds(f"{plan}@{tmp_path}")
    streams = (StreamConfig("unruly", "unruly", (("deeds", deeds),)),)
    policy = Policy(time_limit=1.0, grace=30.0) if "hang" in what else Policy()
    before = describe_scheduler(cluster.scheduler_address)
    outcomes = run(
        videos, tmp_path / "cache", streams, policy=policy, scheduler=cluster.scheduler_address
    )
    failed = {video: o.problems[0] for video, o in outcomes.items() if o.status == "failed"}
    assert sorted(failed) == [f"v{number}" for number in range(1, len(what) + 1)]
    for number, deed in enumerate(what, start=1):
        assert _REASONS[deed] in failed[f"v{number}"]
        first, second = tries(tmp_path, ROWS + number)
        assert first != second
    assert not any(finding.problem for finding in verify_cache(tmp_path / "cache"))
    assert describe_scheduler(cluster.scheduler_address) == before


def test_a_dask_worker_that_is_killed_costs_nothing(videos, tmp_path, cluster):
    streams = (StreamConfig("onet", "onet"), StreamConfig("logmel", "logmel"))
    run(videos, tmp_path / "serial", streams)
    cache = tmp_path / "cache"

    def kill():
        while not list(cache.glob("features/*/*.h5")):
            time.sleep(0.01)
        with distributed.Client(cluster.scheduler_address) as client:
            pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    policy = Policy(retries=0)  # what Dask gives up is no failure of a video
    outcomes = run(videos, cache, streams, policy=policy, scheduler=cluster.scheduler_address)
    killer.join(30)
    assert not killer.is_alive()
    assert {outcome.status for outcome in outcomes.values()} == {"extracted"}
    assert tree(cache) == tree(tmp_path / "serial")


def test_workers_that_would_make_other_values_than_planned_refuse(videos, tmp_path, cluster):
    """As where a plug-in, weights or a library differ between nodes; no video is blamed."""
    plain = settings_of(tmp_path / "cache", "logmel")
    planned = replace(plain, specs=(replace(plain.specs[0], plugin="ab" * 32),))
    with pytest.raises(StoppedError, match=r"would get other values on \S+ than specified: "):
        list(run_extraction(find_dataset(videos), planned, scheduler=cluster.scheduler_address))
    assert read_failures(tmp_path / "cache") == {}
    assert not list((tmp_path / "cache").glob("features/*/*.h5"))
    with pytest.raises(ConfigError, match=r"plugin is None, was abab\w+\. Have the same files"):
        list(run_extraction(find_dataset(videos), planned))
