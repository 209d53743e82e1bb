"""Runs a function on many tasks: in this process, in others of this machine, or on a cluster.

On this machine joblib (its loky) runs the processes; on a cluster Dask's `distributed` hands tasks
to its workers, which run them in such processes, too. A process that dies, hangs or takes too much
memory costs its own task only; one that saw its device fail does no other. Nothing here knows what
the function is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .cluster import connect, run_on_cluster
from .errors import DeviceError
from .isolation import Cause, IsolatedProcess, Parcel, TaskFailed, describe_error, unpack
from .progress import tell, telling_of


@dataclass(frozen=True)
class Limits:
    """What a task may take in a process; more ends the process.

    Resident memory is watched, not address space limited: CUDA reserves far more than it uses.

    Attributes:
        seconds: task -> wall time that it may take, the start of its process included.
        memory: resident bytes of its process, None for any.
    """

    seconds: Callable[[Any], float] = lambda task: math.inf
    memory: int | None = None


def crashed(failure: TaskFailed) -> bool:
    """Whether the process failed, for which another task or program may be the reason."""
    return failure.cause != Cause.ERROR


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    *,
    n_jobs: int = 1,
    scheduler: str | None = None,
    limits: Limits | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int = 1,
    retry_if: Callable[[TaskFailed], bool] = crashed,
    on_attempt: Callable[[Any, Any, int], None] = lambda task, answer, attempt: None,
) -> Generator[tuple[Any, Any]]:
    """Yield every task with its result or `TaskFailed`, as they finish.

    Failures for which the task may not be the reason come last: when all others are done, each such
    task is tried again, alone and in a fresh process. Closing the generator ends what runs;
    processes also end when their parent is killed. What a task tells of its progress is told here,
    too, with the task in front (`progress.py`); from a cluster it is not.

    Args:
        function: of one task; it, tasks and results travel to processes by cloudpickle.
        n_jobs: processes of this machine. 1 without limits is this process: quick to start, but a
            fatal fault ends it, nothing ends a hang, and another try is no fresh one, except
            behind a `DeviceError`: what follows it is done in another process.
        scheduler: address of a Dask scheduler whose workers run the tasks, in place of `n_jobs`.
        resources: what a task takes of a Dask worker, e.g. {"GPU": 1}.
        retries: how often a task is tried again.
        retry_if: for which failures the task may not be the reason; by default all but errors.
        on_attempt: told (task, result or TaskFailed, number of the try) after every try; what it
            raises ends the run.

    Raises:
        ConfigError: Dask is not installed, no scheduler answers, or it has gone away.
    """
    suspects = []
    with _open_engine(function, n_jobs, scheduler, limits, resources) as engine:

        def attempt(batch: Iterable[Any], number: int) -> Generator[tuple[Any, Any]]:
            with closing(engine(batch, number > 1)) as found:
                for task, answer in found:
                    if isinstance(answer, TaskFailed):
                        answer = replace(answer, attempts=number)
                    on_attempt(task, answer, number)
                    yield task, answer

        with closing(attempt(tasks, 1)) as first:
            for task, answer in first:
                if isinstance(answer, TaskFailed) and retry_if(answer):
                    suspects.append((task, answer))
                else:
                    yield task, answer
        for task, answer in suspects:
            for number in range(2, retries + 2):
                ((_, answer),) = attempt([task], number)
                if not (isinstance(answer, TaskFailed) and retry_if(answer)):
                    break
            yield task, answer


# Runs tasks, alone or not; yields each with what came of it.
_Engine = Callable[[Iterable[Any], bool], Generator[tuple[Any, Any]]]


@contextmanager
def _open_engine(
    function: Callable[[Any], Any],
    n_jobs: int,
    scheduler: str | None,
    limits: Limits | None,
    resources: Mapping[str, float] | None,
) -> Iterator[_Engine]:
    pack = partial(_pack, function, limits or Limits())
    if scheduler is not None:
        with connect(scheduler) as client:
            yield partial(run_on_cluster, client, resources, pack)
    elif n_jobs == 1 and limits is None:
        yield _Here(function, pack).run
    else:
        yield partial(_run_in_processes, n_jobs, pack)


def _pack(function: Callable[[Any], Any], limits: Limits, task: Any) -> Parcel:
    return Parcel.pack(function, task, limits.seconds(task), limits.memory)


class _Here:
    """Runs tasks in this process, until a device fails in it, which may stay so in a process."""

    def __init__(self, function: Callable[[Any], Any], pack: Callable[[Any], Parcel]) -> None:
        self._function, self._pack, self._sound = function, pack, True

    def run(self, tasks: Iterable[Any], alone: bool) -> Generator[tuple[Any, Any]]:
        tasks = iter(tasks)
        while self._sound:
            try:
                task = next(tasks)
            except StopIteration:
                return
            yield task, self._call(task)
        yield from _run_in_processes(1, self._pack, tasks, alone)

    def _call(self, task: Any) -> Any:
        try:
            with telling_of(task):
                return self._function(task)
        except Exception as error:
            self._sound = not isinstance(error, DeviceError)
            return describe_error(error)


# -- this machine ----------------------------------------------------------------------------------


def _run_in_processes(
    n_jobs: int, pack: Callable[[Any], Parcel], tasks: Iterable[Any], alone: bool
) -> Generator[tuple[Any, Any]]:
    """Every thread has a process of its own and waits for it."""
    stop, own, started = threading.Event(), threading.local(), []

    def work(task: Any) -> Any:
        if not hasattr(own, "process"):
            own.process = IsolatedProcess()
            started.append(own.process)
        heard = partial(tell, task)
        return unpack(pack(task).run(own.process, lambda: not stop.is_set(), heard))

    threads = ThreadPoolExecutor(1 if alone else n_jobs)
    futures = {threads.submit(work, task): task for task in tasks}
    try:
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    finally:
        stop.set()
        for future in futures:
            future.cancel()
        wait(futures)
        for process in started:
            process.close()
        threads.shutdown()


class BackgroundProcess:
    """A function that runs beside the tasks in a process of its own, begun again when that ends.

    Attributes:
        given_up: how it ended the last time, where it is not begun again; else None.
    """

    def __init__(
        self, function: Callable[[Any], Any], task: Any, *, tries: int, ready: Callable[[], bool]
    ) -> None:
        """Start nothing yet.

        Args:
            function: of a task; runs until it is interrupted.
            task: its argument.
            tries: so often in a row it may end before it is ready.
            ready: asked here whether it has got so far.
        """
        self.given_up: TaskFailed | None = None
        self._parcel = Parcel.pack(function, task)
        self._tries, self._ready = tries, ready
        self._stop, self._begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> TaskFailed | None:
        """Wait until it is ready; how it ended where it does not become so."""
        self._thread.start()
        self._begun.wait()
        return self.given_up

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        left = self._tries
        while True:
            process, ready = IsolatedProcess(), False

            def wanted() -> bool:
                nonlocal ready
                ready = ready or self._ready()
                if ready:
                    self._begun.set()
                return not self._stop.is_set()

            answer = unpack(self._parcel.run(process, wanted))
            process.close()
            left = self._tries if ready else left - 1
            if self._stop.is_set():
                return
            if not left or not self._begun.is_set():
                self.given_up = answer
                self._begun.set()
                return
