"""Workers are killed all the time: the run completes, nothing is lost, nothing is there twice."""

from __future__ import annotations

import pytest

from cluster import Killer, check_complete, dask_cluster, finish, prepare, spawned, start

pytest.importorskip("distributed")

RETRIES = 30  # chance may hit one video often; what a kill costs is a try


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Twenty longer clips, and their shards."""
    return prepare(tmp_path_factory.mktemp("many"), [60 + 17 * n % 90 for n in range(20)])


def disturb(prepared, process, killer, cache):
    with killer.at_work():
        code, text = finish(process)
    print(f"\nseed {killer.seed}: {len(killer.kills)} kills, after {killer.kills} s\n{text}")
    assert code == 0, text
    assert len(killer.kills) >= 5, "the run was over before it was disturbed"
    check_complete(cache, prepared)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_local_workers_killed_all_the_time_cost_nothing(many, tmp_path, seed):
    cache = tmp_path / "cache"
    process = start(*many.words(cache), "--retries", RETRIES, "--jobs", 2)
    killer = Killer(lambda: spawned(process.pid), cache, seed, (1.0, 3.0))
    disturb(many, process, killer, cache)


@pytest.mark.slow
@pytest.mark.parametrize(("who", "seed"), [("workers", 1), ("servants", 2), ("both", 3)])
def test_dask_workers_killed_all_the_time_cost_nothing(many, tmp_path, who, seed):
    """Dask's nannies restart the workers, which have a process each for what they extract."""
    cache = tmp_path / "cache"
    with dask_cluster(tmp_path, workers=3) as cluster:
        engine = ("--scheduler", cluster.address)
        process = start(*many.words(cache), "--retries", RETRIES, *engine)
        victims = {
            "workers": cluster.workers,
            "servants": cluster.servants,
            "both": lambda: cluster.workers() + cluster.servants(),
        }[who]
        disturb(many, process, Killer(victims, cache, seed, (2.0, 5.0)), cache)
