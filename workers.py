"""Engines: they run work on tasks, in this process or in worker processes, as answers come.

A worker process that dies takes no other with it: its task is run once more, alone, and counts as
failed only if that process dies, too. A worker that takes too long or too much memory is ended.
Nothing here knows what the work is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any

_FAREWELL_S = 5.0  # a worker told to stop has so long to tidy up
_WATCH_S = 0.2  # how often workers with limits are looked at
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Death:
    """What comes of a task in place of an answer.

    Attributes:
        cause: "signal 11, SIGSEGV", "exit code 1", "timed out after 30 s" ...
    """

    cause: str


@dataclass(frozen=True)
class Limits:
    """What a worker process may take; more ends it.

    Resident memory is watched, not address space limited: CUDA reserves far more than it uses.

    Attributes:
        seconds: the wall time that a task may take.
        memory: resident bytes of a process, None for any.
    """

    seconds: Callable[[Any], float]
    memory: int | None = None


# Takes work (a function of one task, importable by name; it must not raise) and tasks; yields each
# task with its answer, in the order in which they finish. Both are pickled on the way to a worker.
Engine = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[Any, Any]]]


@contextmanager
def open_engine(jobs: int, *, limits: Limits | None = None, retries: int = 1) -> Iterator[Engine]:
    """Yield an engine: this process for one job, else worker processes that live with the block.

    Args:
        jobs: how many tasks run at once; 1 without limits is this process, which a fatal fault of
            a library ends.
        limits: of each worker process.
        retries: how often a task whose process died is tried again, alone.
    """
    if jobs == 1 and limits is None:
        yield run_here
        return
    crew = Crew(jobs, limits=limits, retries=retries)
    try:
        yield crew.run
    finally:
        crew.dismiss()


def run_here(work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Run the tasks in this process, one after the other."""
    for task in tasks:
        yield task, work(task)


class Crew:
    """Worker processes, started when there is something to do and kept for what comes next."""

    def __init__(self, jobs: int, *, limits: Limits | None = None, retries: int = 1) -> None:
        """Start nothing yet; at most `jobs` processes will live at once."""
        self._jobs, self._limits, self._retries = jobs, limits, retries
        self._idle: list[_Worker] = []
        self._busy: dict[connection.Connection, tuple[_Worker, Any]] = {}

    def run(self, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Run the tasks; an answer is a `Death` where the worker died, the last one alone."""
        suspects = []
        for task, answer in self._share_out(work, tasks):
            if isinstance(answer, Death) and self._retries:
                suspects.append(task)
            else:
                yield task, answer
        for task in suspects:
            for _ in range(self._retries):
                # Others may have taken the memory, or an earlier task have spoilt the process.
                self.dismiss()
                ((_, answer),) = self._share_out(work, [task])
                if not isinstance(answer, Death):
                    break
            yield task, answer

    def dismiss(self) -> None:
        """End all processes; what they were at is given up."""
        idle, busy = self._idle, [worker for worker, _ in self._busy.values()]
        self._idle, self._busy = [], {}
        for worker in busy:
            worker.interrupt()
        for worker in [*idle, *busy]:
            worker.end()

    def _share_out(
        self, work: Callable[[Any], Any], tasks: Iterable[Any]
    ) -> Iterator[tuple[Any, Any]]:
        waiting = deque(tasks)
        self._hand_out(work, waiting)
        while self._busy:
            pipe = self._next()
            worker, task = self._busy.pop(pipe)
            answer = worker.receive()
            if worker.cause is None:
                self._idle.append(worker)
            self._hand_out(work, waiting)
            yield task, answer

    def _next(self) -> Any:
        """Wait for an answer, a death, or a worker that went beyond the limits; its pipe."""
        while True:
            ready = connection.wait(list(self._busy), _WATCH_S if self._limits else None)
            if self._limits:
                for pipe, (worker, _) in self._busy.items():
                    if pipe not in ready and worker.exceeds(self._limits):
                        return pipe
            if ready:
                return ready[0]

    def _hand_out(self, work: Callable[[Any], Any], waiting: deque[Any]) -> None:
        while waiting and len(self._busy) < self._jobs:
            worker = self._idle.pop() if self._idle else _Worker()
            task = waiting.popleft()
            self._busy[worker.pipe] = worker, task
            worker.send(work, task, self._limits.seconds(task) if self._limits else None)


class _Worker:
    """One process and the pipe to it.

    Attributes:
        pipe: readable when there is an answer, or when the process has died.
        cause: why it died, as far as known.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
        self.pipe, theirs = context.Pipe()
        self.cause: str | None = None
        self._verdict: str | None = None  # why it was ended
        self._allowed: float | None = None
        self._began = 0.0
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _stops_held_back():
            self._process.start()
        theirs.close()  # so that its end closes when the process dies

    def send(self, work: Callable[[Any], Any], task: Any, seconds: float | None) -> None:
        self._allowed, self._began = seconds, time.monotonic()
        with suppress(BrokenPipeError):  # it died idle; `receive` tells
            self.pipe.send((work, task))

    def receive(self) -> Any:
        """The answer, or a `Death`."""
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            self.cause = self._verdict or _describe_exit(self._process.exitcode)
            return Death(self.cause)
        self.cause = self._verdict  # it may have answered just before it was ended
        return answer

    def exceeds(self, limits: Limits) -> bool:
        """Whether it takes more than it may; then it has been ended."""
        took = time.monotonic() - self._began
        if self._allowed is not None and took > self._allowed:
            self._verdict = f"timed out after {took:.0f} s"
        elif limits.memory is not None and (used := self._resident()) > limits.memory:
            self._verdict = (
                f"it took {used / 1e9:.2f} GB of memory, more than the {limits.memory / 1e9:.2f} "
                "GB allowed"
            )
        else:
            return False
        self._process.kill()
        return True

    def _resident(self) -> int:
        """Bytes of memory in use; 0 for a process that is gone."""
        with suppress(FileNotFoundError, ProcessLookupError):
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(pages) * _PAGE_BYTES
        return 0

    def interrupt(self) -> None:
        """Have it give up what it is at."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """Let it go, and see it gone."""
        self.pipe.close()
        self._process.join(_FAREWELL_S)
        self._process.kill()
        self._process.join()


def _describe_exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"


@contextmanager
def _stops_held_back() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C, or a request to end, before they are ready to."""
    resource_tracker.ensure_running()  # starting it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection) -> None:
    """What a worker process does: answer until the pipe closes or it is interrupted."""
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # batch systems send it to all; the parent acts
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(KeyboardInterrupt, EOFError, ConnectionError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        while True:
            work, task = pipe.recv()
            pipe.send(work(task))


def _interrupt_once(number: int, frame: object) -> None:
    """A terminal interrupts all processes, and the parent again its workers: once is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the cache is safe from processes that end at any moment
