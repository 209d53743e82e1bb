"""The log of a run in the cache: one file per run, JSON lines, written by one process only.

Times are by each host's own clock, for people; nothing is decided by them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache.durable import slug, wrap_io_errors
from ..cache.locks import lock, lock_where_possible

FOLDER = "log"

Write = Callable[..., None]


@contextmanager
def open_log(root: Path, **facts: Any) -> Iterator[Write]:
    """Begin a log with facts of the run; yields write(event, **facts), which appends a line.

    The last line says how the run ended: "done", "stopped" (by the user, or a failure limit), or
    the error. A killed run has no such line.

    Raises:
        CacheError: the disk refuses.
    """
    host, stamp = socket.gethostname(), time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    name = f"{stamp}-{slug(host)}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
    path = root / FOLDER / name
    with wrap_io_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8")
        lock_where_possible(file.fileno())

    def write(event: str, **facts: Any) -> None:
        record = {"event": event, "time": round(time.time(), 3), **facts}
        with wrap_io_errors(path):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()

    with file:
        write("start", host=host, pid=os.getpid(), **facts)
        try:
            yield write
        except (GeneratorExit, KeyboardInterrupt):
            write("end", how="stopped")
            raise
        except Exception as error:
            write("end", how=f"{type(error).__name__}: {error}")
            raise
        write("end", how="done")


@dataclass(frozen=True)
class LoggedRun:
    """A run as its log tells it.

    Attributes:
        start: facts of the first line: host, pid, jobs, todo, streams, partition ...
        units: the lines of units, in the order in which they finished; a later try of a video
            stands after the earlier one.
        end: how it ended, None where the log does not say.
        last: time of the last line, seconds since 1970 by the host's clock.
        devices: of each device with a process of its own, how long that computed.
    """

    path: Path
    start: Mapping[str, Any]
    units: tuple[Mapping[str, Any], ...]
    end: str | None
    last: float
    devices: tuple[Mapping[str, Any], ...] = ()

    def final(self) -> dict[str, Mapping[str, Any]]:
        """Video -> line of its last try."""
        return {unit["video"]: unit for unit in self.units}

    def state(self) -> str:
        """How it ended, or "running" or "killed", on whatever host.

        A run locks its log; where the file system has no locks the state is "open".
        """
        if self.end is not None:
            return self.end
        with self.path.open("rb") as file:
            try:
                return "killed" if lock(file.fileno(), shared=True) else "running"
            except OSError:
                return "open"


def read_logs(root: Path) -> list[LoggedRun]:
    """All runs logged in a cache, the earliest first; lines cut off are passed over."""
    runs = []
    for path in sorted((root / FOLDER).glob("*.jsonl")):
        records = list(_records(path))
        if records and records[0]["event"] == "start":
            ends = [record["how"] for record in records if record["event"] == "end"]
            units = tuple(record for record in records if record["event"] == "unit")
            devices = tuple(record for record in records if record["event"] == "device")
            end, last = ends[-1] if ends else None, records[-1]["time"]
            runs.append(LoggedRun(path, records[0], units, end, last, devices))
    return runs


@dataclass(frozen=True)
class RunProgress:
    """How far one run is.

    Attributes:
        state: "running", "done", "stopped", "killed", "open" (only its own host could tell whether
            it still runs), or an error.
        extracted, failed: videos; a failed one may get another try.
        left: videos that it has not finished.
        frames_per_s: of one process, on average.
        peak: resident bytes of a process at most.
        left_s: seconds that the rest may take, None where nothing tells.
    """

    run: LoggedRun
    state: str
    extracted: int
    failed: int
    left: int
    frames_per_s: float
    peak: int
    left_s: float | None


def sum_up(run: LoggedRun) -> RunProgress:
    """Sum up a log."""
    final = list(run.final().values())
    done = [unit for unit in final if unit["outcome"] == "extracted"]
    left = run.start["todo"] - len(final)
    seconds = sum(unit["seconds"] for unit in done)
    elapsed = run.last - run.start["time"]
    return RunProgress(
        run=run,
        state=run.state(),
        extracted=len(done),
        failed=len(final) - len(done),
        left=left,
        frames_per_s=sum(unit["rows"] for unit in done) / seconds if seconds else 0.0,
        peak=max((unit["peak_bytes"] for unit in final), default=0),
        left_s=elapsed / len(final) * left if final else None,
    )


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # half a line: its writer is at it, or was killed
