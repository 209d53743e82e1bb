"""Two hosts, each a network namespace, share a folder and a cable; the cable is cut for a while."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager

import pytest

from cluster import check_complete, dask_cluster, finish, prepare, start

pytest.importorskip("distributed")


def ip(*words):
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"`ip {' '.join(words)}`: {done.stderr.strip()}")


class Cable:
    """Between two namespaces, whose ends have the addresses 10.231.0.1 and .2."""

    def __init__(self, one, other):
        self.ends = [(one, f"{one}v", "10.231.0.1/24"), (other, f"{other}v", "10.231.0.2/24")]

    def lay(self):
        (_, a, _), (_, b, _) = self.ends
        ip("link", "add", a, "type", "veth", "peer", "name", b)
        for host, end, address in self.ends:
            ip("link", "set", end, "netns", host)
            ip("-n", host, "address", "add", address, "dev", end)
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", end, "up")

    def set(self, state):
        host, end, _ = self.ends[0]
        ip("-n", host, "link", "set", end, state)


@contextmanager
def two_hosts():
    """Prefixes of commands on either host, and the cable between them."""
    hosts = [f"va{os.getpid()}{letter}" for letter in "ab"]
    made = []
    try:
        try:
            for host in hosts:
                ip("netns", "add", host)
                made.append(host)
            cable = Cable(*hosts)
            cable.lay()
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield [("ip", "netns", "exec", host) for host in hosts], cable
    finally:
        for host in made:
            ip("netns", "delete", host)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("many"), [60 + 17 * n % 90 for n in range(20)])


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 10, 60])
def test_a_cut_between_the_hosts_costs_nothing(many, tmp_path, seconds):
    """After 30 s without a sign of life TCP gives a connection up; shorter cuts are waited out.

    A worker that has lost its scheduler ends, and its nanny with it: the other host does the rest.
    """
    cache = tmp_path / "cache"
    with (
        two_hosts() as (hosts, cable),
        dask_cluster(tmp_path, workers=1, host="10.231.0.1", prefixes=hosts) as cluster,
    ):
        process = start(*many.words(cache), "--scheduler", cluster.address, prefix=hosts[0])
        began = time.monotonic()
        while len(list(cache.rglob("*.h5"))) < 9 and process.poll() is None:
            time.sleep(0.05)
        if seconds:
            cable.set("down")
            cut = time.monotonic()
            done = len(list(cache.rglob("*.h5")))
            time.sleep(seconds)
            cable.set("up")
            print(f"\ncut after {cut - began:.0f} s with {done} shards, restored with "
                  f"{len(list(cache.rglob('*.h5')))}, the run {process.poll()}")  # fmt: skip
        code, text = finish(process)
        print(f"all in {time.monotonic() - began:.0f} s\n{text}")
        logs = [path.read_text() for path in sorted(tmp_path.glob("worker-*.log"))]
    assert code == 0, text
    assert "2 workers, 2 tasks at once" in text
    assert all("10.231.0." in log for log in logs)
    check_complete(cache, many)
