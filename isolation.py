"""A process for one task at a time, which dies, hangs or fills up without harm to others.

It is a pool of one of joblib's loky. In a pool of several one death ends the neighbours, too, and
loky cannot say which task was at fault (`tests/test_executor.py`).
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import json
import math
import multiprocessing.resource_tracker
import os
import pickle
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import cloudpickle
from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import resource_tracker

from .errors import DeviceError
from .plugins import name_plugins, named_plugins
from .progress import listening

_FAREWELL_S = 5.0  # a process told to stop has so long to tidy up
_WATCH_S = 0.2  # how often it is looked at, and tells how far its task is
_OVERTIME_S = 5.0  # one that does not end itself when its time is up is killed after these
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOPS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Cause(StrEnum):
    """Why a task failed."""

    ERROR = "error"  # its function raised
    DIED = "died"  # its process ended
    TIME = "time"  # it took longer than allowed
    MEMORY = "memory"  # it took more memory than allowed


@dataclass(frozen=True)
class TaskFailed:
    """What comes of a task in place of a result.

    Attributes:
        cause: the kind of failure.
        reason: "signal 11, SIGSEGV", "exit code 1", "timed out after 30 s in read, file.py:12" ...
        trace: of an error its traceback, of a crash or a time-out where every thread was.
        error: what was raised, None where it cannot be pickled.
        peak: resident bytes that the process had at most when it raised, else 0.
        attempts: how often the task was tried.
    """

    cause: Cause
    reason: str
    trace: str = ""
    error: Exception | None = None
    peak: int = 0
    attempts: int = 1


class IsolatedProcess:
    """Started when there is something to do and kept, with what it loaded, for what comes next.

    Work and answers lie in a file in memory that both ends have open. Pipes carry but a few bytes,
    so that a death amid a large answer leaves no half message that would be waited for.
    """

    def __init__(self, idle_s: int = 0) -> None:
        """Start nothing yet; the process will end after `idle_s` seconds without work, if any."""
        self._idle_s = idle_s
        self._box, self._trace = os.memfd_create("work"), os.memfd_create("trace")
        self._news, self._news_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pool: Any = None
        self._process: Any = None

    def run(
        self,
        function: Callable[[bytes], bytes],
        work: bytes,
        seconds: float,
        memory: int | None,
        wanted: Callable[[], bool],
        heard: Callable[..., None] = lambda *news: None,
    ) -> bytes | TaskFailed:
        """Call a function in the process and wait for what comes of it.

        Args:
            function: importable by name; what it raises is raised here.
            seconds: wall time that it may take.
            memory: resident bytes that the process may have.
            wanted: asked now and then; where it says no, the function is interrupted.
            heard: called now and then with the last that the function told (`progress.tell`).
        """
        while True:
            self._read_news()  # of a task before
            _write(self._box, work)
            os.ftruncate(self._trace, 0)
            fresh = self._pool is None
            future = self._submit(function, seconds)
            verdict = self._watch(future, seconds, memory, wanted, heard)
            error = future.exception()
            if verdict is None and error is None:
                if future.result():
                    self._end()
                return _read(self._box)
            taken = os.fstat(self._box).st_size == 0
            code = self._end()
            if error is None:  # it answered just before it was ended
                return _read(self._box)
            if verdict is not None:
                return verdict
            if isinstance(error, KeyboardInterrupt):
                return TaskFailed(Cause.DIED, "interrupted")
            if not isinstance(error, BrokenProcessPool):
                raise error
            if taken or fresh:  # else it had ended before, while it waited for work
                trace = _read(self._trace).decode(errors="replace")
                return _describe_end(code, seconds, trace.partition("\nExtension modules: ")[0])

    def close(self) -> None:
        """Let the process go, and see it gone."""
        self._end()
        for file in (self._box, self._trace, self._news, self._news_end):
            os.close(file)

    def _submit(self, function: Callable[[bytes], bytes], seconds: float) -> Future[bool]:
        if self._pool is None:
            parent = os.getpid(), self._box, self._trace, self._news_end
            self._pool = process_executor.ProcessPoolExecutor(
                1, initializer=_prepare, initargs=parent
            )
        # A process that starts must not hear Ctrl-C, or a request to end, before it is ready to;
        # the start of a tracker would let them through again.
        for tracker in (resource_tracker, multiprocessing.resource_tracker):
            tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            future = self._pool.submit(_serve, function, seconds, self._idle_s)
            # Not public, but as in Python's own pool: the one way to its process id and exit code.
            self._process = next(iter(self._pool._processes.values()), self._process)
        except BrokenProcessPool as error:  # it ended while it waited for work
            future = Future()
            future.set_exception(error)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return future

    def _watch(
        self,
        future: Future[bool],
        seconds: float,
        memory: int | None,
        wanted: Callable[[], bool],
        heard: Callable[..., None],
    ) -> TaskFailed | None:
        """Wait; where the process must be ended, end it and say why."""
        began = time.monotonic()
        while not wait([future], _WATCH_S).done:
            if news := self._read_news():
                heard(*news)
            if not wanted():
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGINT)
                if not wait([future], _FAREWELL_S).done:
                    self._kill()
                return TaskFailed(Cause.DIED, "called off")
            if time.monotonic() - began > seconds + _OVERTIME_S:
                self._kill()
                return TaskFailed(Cause.TIME, f"timed out after {seconds:.0f} s")
            if memory is not None and (used := _resident(self._process.pid)) > memory:
                self._kill()
                return TaskFailed(
                    Cause.MEMORY,
                    f"it took {used / 1e9:.2f} GB of memory, more than the {memory / 1e9:.2f} GB "
                    "allowed",
                )
        return None

    def _read_news(self) -> list[Any]:
        """The last that the process has told since it was asked last."""
        with suppress(BlockingIOError):
            if lines := os.read(self._news, 1 << 16).splitlines():
                return json.loads(lines[-1])
        return []

    def _kill(self) -> None:
        self._pool.shutdown(kill_workers=True)

    def _end(self) -> int | None:
        """Have the process end, if there is one; its exit code."""
        if self._pool is None:
            return None
        self._pool.shutdown(wait=False)
        self._process.join(_FAREWELL_S)
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        while self._process.exitcode is None:  # loky's thread waits for it, too
            time.sleep(0.001)
        self._pool = None
        return self._process.exitcode


def _resident(process: int) -> int:
    """Bytes of memory in use; 0 for a process that is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


def _describe_end(code: int | None, seconds: float, trace: str) -> TaskFailed:
    if trace.startswith("Timeout ("):  # as faulthandler begins
        where = ""
        # The main thread comes last, its innermost call first.
        if frame := re.search(r'File "(.*)", line (\d+) in (.*)', trace.rpartition("Thread ")[2]):
            where = f" in {frame[3]}, {Path(frame[1]).name}:{frame[2]}"
        return TaskFailed(Cause.TIME, f"timed out after {seconds:.0f} s{where}", trace)
    reason = f"exit code {code}"
    if code is not None and code < 0:
        reason = f"signal {-code}"
        with suppress(ValueError):  # a real-time signal has no name
            reason += f", {signal.Signals(-code).name}"
    return TaskFailed(Cause.DIED, reason, trace)


def _write(file: int, content: bytes) -> None:
    with open(file, "r+b", closefd=False) as stream:
        stream.truncate(0)
        stream.seek(0)
        stream.write(content)


def _read(file: int) -> bytes:
    with open(file, "rb", closefd=False) as stream:
        stream.seek(0)
        return stream.read()


# -- what travels ----------------------------------------------------------------------------------


def describe_error(error: Exception) -> TaskFailed:
    """What comes of a task whose function raised."""
    return TaskFailed(
        Cause.ERROR,
        f"{type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
        error,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


@dataclass(frozen=True)
class Parcel:
    """A task on its way to the process that works on it.

    Only that process opens it: Dask's scheduler and workers do not load what the function needs.
    """

    content: bytes  # function and task
    seconds: float
    memory: int | None
    plugins: tuple[tuple[str, str], ...]  # as here; the files lie at the same paths everywhere

    @staticmethod
    def pack(
        function: Callable[[Any], Any],
        task: Any,
        seconds: float = math.inf,
        memory: int | None = None,
    ) -> Parcel:
        """A task with what it may take, see `IsolatedProcess.run`."""
        content = cloudpickle.dumps((function, task))
        return Parcel(content, seconds, memory, named_plugins())

    def run(
        self,
        process: IsolatedProcess,
        wanted: Callable[[], bool],
        heard: Callable[..., None] = lambda *news: None,
    ) -> bytes | TaskFailed:
        """Have it done in a process; see `IsolatedProcess.run`, and `unpack` for the answer."""
        work = pickle.dumps(self.plugins) + self.content
        return process.run(_open_and_call, work, self.seconds, self.memory, wanted, heard)


def _open_and_call(work: bytes) -> bytes:
    """In the process: the pickled result or `TaskFailed`."""

    file = io.BytesIO(work)
    try:
        plugins = pickle.load(file)
        if plugins:
            name_plugins(path for path, _ in plugins)
        function, task = pickle.load(file)
        return cloudpickle.dumps(function(task))
    except Exception as error:
        failure = describe_error(error)
        if isinstance(error, DeviceError):
            retire()
    try:
        content = cloudpickle.dumps(failure)
        pickle.loads(content)
    except Exception:  # of the error itself, which may hold anything; its words and trace remain
        content = pickle.dumps(replace(failure, error=None))
    return content


def unpack(answer: bytes | TaskFailed) -> Any:
    """The result, or how the task failed."""
    return answer if isinstance(answer, TaskFailed) else pickle.loads(answer)


# -- in the process --------------------------------------------------------------------------------

_files: tuple[int, int, int]  # those of the parent: work and answers, traces, news
_spent = False  # whether this process is to do nothing more


def retire() -> None:
    """Have this process ended when its present task is answered; the next one gets a fresh one."""
    global _spent
    _spent = True


def _prepare(parent: int, box: int, trace: int, news_end: int) -> None:
    """Make the process end with its parent, open the files, and be ready for signals."""
    # Not a thread that watches: a hang in a library can hold the interpreter's lock.
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) or os.getppid() != parent:
        os._exit(1)
    global _files
    _files = (
        os.open(f"/proc/{parent}/fd/{box}", os.O_RDWR),
        os.open(f"/proc/{parent}/fd/{trace}", os.O_WRONLY | os.O_APPEND),
        os.open(f"/proc/{parent}/fd/{news_end}", os.O_WRONLY | os.O_NONBLOCK),
    )
    faulthandler.enable(_files[1])
    # With psutil loky replaces processes that grow by 300 MB; ours would load networks again.
    process_executor._USE_PSUTIL = False
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # batch systems send it to all; the parent acts
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    except KeyboardInterrupt:
        os._exit(1)  # nothing is begun


def _interrupt_once(number: int, frame: object) -> None:
    """A terminal interrupts all processes, and the parent again its own: once is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Reporter:
    """Sends what a task tells to the parent; what comes too often, or finds no room, is dropped."""

    def __init__(self) -> None:
        self._sent = -math.inf

    def __call__(self, *news: Any) -> None:
        if time.monotonic() - self._sent < _WATCH_S:
            return
        self._sent = time.monotonic()
        with suppress(BlockingIOError):
            os.write(_files[2], json.dumps(news).encode() + b"\n")  # short: all of it or nothing


def _serve(function: Callable[[bytes], bytes], seconds: float, idle_s: int) -> bool:
    signal.alarm(0)
    box, trace, _ = _files
    work = _read(box)
    os.ftruncate(box, 0)  # tells that it was taken
    if math.isfinite(seconds):
        faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
    try:
        with listening(_Reporter()):
            _write(box, function(work))
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(idle_s)  # SIGALRM ends it
    return _spent
