"""Real processes: the command line, a Dask scheduler and its workers, and who kills them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from clips import PAL, Sound, constant_times, write_clip

from vapipe.cache.index import open_catalog
from vapipe.cache.verify import verify_cache
from vapipe.extract.runlog import read_logs

_HERE = Path(__file__).parent
_COMMAND = (sys.executable, str(_HERE / "vapipe_with_unruly.py"))
# As the workers find the encoder `unruly`; few threads, since several processes share the cores.
_PATHS = os.pathsep.join(filter(None, [str(_HERE), os.environ.get("PYTHONPATH")]))
ENVIRONMENT = {**os.environ, "PYTHONPATH": _PATHS, "OMP_NUM_THREADS": "1"}


def write_videos(folder: Path, lengths: Sequence[int], size: tuple[int, int] = (48, 32)) -> Path:
    """Clips v00.mp4 ... of so many frames, each with pictures and a sound of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(lengths):
        tiles = np.random.default_rng(number).integers(0, 255, (8, 4, 4, 3), np.uint8)
        pictures = tiles.repeat(size[1] // 4, axis=1).repeat(size[0] // 4, axis=2)

        def hum(times: np.ndarray, pitch: int = 200 + 50 * number) -> np.ndarray:
            return 0.3 * np.sin(2 * np.pi * pitch * times)

        write_clip(
            folder / f"v{number:02d}.mp4",
            times=constant_times(PAL, rows),
            size=size,
            sound=Sound(signal=hum),
            draw=lambda row, pictures=pictures: pictures[row % 8],
            options={"preset": "ultrafast"},
        )
    return folder


def start(*words: object, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start `vapipe` with some words in a process of its own."""
    return subprocess.Popen(
        [*prefix, *_COMMAND, *map(str, words)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process; its exit code and what it printed."""
    try:
        text, _ = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        raise AssertionError(f"not done after 600 s:\n{text}") from None
    return process.returncode, text


def run(*words: object) -> tuple[int, str]:
    """Run `vapipe` with some words; its exit code and what it printed."""
    return finish(start(*words))


@dataclass
class Cluster:
    """A scheduler and what was started with it.

    Attributes:
        address: of the scheduler.
        scheduler: its process.
        parents: the processes of `dask worker`, which watch over the workers and restart them.
    """

    address: str
    scheduler: subprocess.Popen[bytes]
    parents: list[subprocess.Popen[bytes]]

    def workers(self) -> list[int]:
        """Process ids of the workers that live now."""
        return [pid for parent in self.parents for pid in spawned(parent.pid)]

    def servants(self) -> list[int]:
        """Process ids of the processes in which the workers' tasks run."""
        return [pid for worker in self.workers() for pid in spawned(worker)]


def spawned(parent: int) -> list[int]:
    """Children of a process that `multiprocessing` or loky started to work."""
    found = []
    try:
        for child in psutil.Process(parent).children():
            if re.search("spawn_main|popen_loky", " ".join(child.cmdline())):
                found.append(child.pid)
    except psutil.Error:  # gone meanwhile
        pass
    return found


@contextmanager
def dask_cluster(
    folder: Path,
    workers: int = 3,
    *,
    host: str = "127.0.0.1",
    prefixes: Sequence[Sequence[str]] = ((),),
) -> Iterator[Cluster]:
    """A scheduler and workers of one thread each, as a user starts them.

    Args:
        folder: for their files and output.
        workers: how many workers each prefix gets.
        host: where the scheduler listens.
        prefixes: of the commands that start workers; that of the scheduler is the first.
    """
    file = folder / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def launch(prefix: Sequence[str], name: str, *words: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", name.split("-")[0], *words],
                env=ENVIRONMENT,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    try:
        scheduler = launch(
            prefixes[0], "scheduler", "--host", host, "--port", "0",
            "--no-dashboard", "--scheduler-file", str(file),
        )  # fmt: skip
        until = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < until, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        words = (address, "--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0")
        parents = [
            launch(prefix, f"worker-{number}", *words, "--no-dashboard", "--local-directory",
                   str(folder / f"worker-{number}"))
            for number, prefix in enumerate(prefixes)
        ]  # fmt: skip
        for number in range(len(parents)):
            log = folder / f"worker-{number}.log"
            while log.read_text().count("Registered to") < workers:
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield Cluster(address, scheduler, parents)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Killer:
    """Kills a random process every few seconds, as chance (a seed) has it.

    Before each kill at least one more video is done: on a slow machine a process takes longer to
    start than the pause, and no program gets anywhere if none of its processes ever does.

    Attributes:
        victims: who may be killed now.
        cache: whose log tells what is done.
        seed: of the choice and the times.
        pause: at least and at most so many seconds between two kills.
        kills: seconds since the start of each kill.
    """

    victims: Callable[[], list[int]]
    cache: Path
    seed: int
    pause: tuple[float, float]
    kills: list[float] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._kill, args=(done,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _kill(self, done: threading.Event) -> None:
        chance = random.Random(self.seed)
        began, before = time.monotonic(), 0
        while not done.wait(chance.uniform(*self.pause)):
            while videos_done(self.cache) <= before and not done.wait(0.05):
                pass
            victims = sorted(self.victims())
            if victims and not done.is_set():
                try:
                    os.kill(chance.choice(victims), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills.append(round(time.monotonic() - began, 1))
                before = videos_done(self.cache)


def videos_done(cache: Path) -> int:
    """How many videos a cache's logs call extracted."""
    logs = (path.read_text() for path in cache.glob("log/*.jsonl"))
    return sum(text.count('"outcome": "extracted"') for text in logs)


def shards(cache: Path) -> dict[str, bytes]:
    """Every shard of a cache with its bytes."""
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*.h5")}


def check_same(cache: Path, reference: Path) -> None:
    """The caches hold the same shards, byte for byte; all are sound, and listed once."""
    found, expected = shards(cache), shards(reference)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    check_sound(cache)


@dataclass(frozen=True)
class Prepared:
    """Videos, and the cache of an undisturbed run over them in one process."""

    videos: Path
    cache: Path

    def words(self, cache: Path) -> tuple[object, ...]:
        """The command that fills another cache with the same."""
        return ("extract", "--videos", self.videos, "--cache", cache, "--faces", "frame")


def prepare(folder: Path, lengths: Sequence[int]) -> Prepared:
    """Write clips and extract them undisturbed."""
    videos = write_videos(folder / "videos", lengths, size=(160, 120))
    prepared = Prepared(videos, folder / "cache")
    code, text = run(*prepared.words(prepared.cache), "--jobs", 1)
    assert code == 0, text
    return prepared


def check_complete(cache: Path, prepared: Prepared) -> None:
    """After a disturbed run: all as in the undisturbed one, listed once, nothing given up."""
    check_same(cache, prepared.cache)
    videos = sorted(path.stem for path in prepared.videos.iterdir())
    _, _, listing = (cache / "index.json").read_bytes().partition(b"\n")
    for folder in json.loads(listing):
        assert sorted(folder["ids"]) == videos
    assert not (cache / "failures").exists()
    (log,) = read_logs(cache)
    assert log.state() == "done"
    assert sorted(log.final()) == videos
    code, text = run("cache", "verify", "--cache", cache)
    assert code == 0, text


def check_sound(cache: Path) -> None:
    """No shard is damaged, no item stands in the listing twice, nothing half-done is left."""
    assert [finding for finding in verify_cache(cache) if finding.problem] == []
    for folder in open_catalog(cache).folders:
        assert len(set(folder.ids)) == len(folder.ids) == len(folder.shards)
