"""Runs a function on many tasks: in this process, in others of this machine, or on a cluster.

On this machine joblib (its loky) runs the processes; on a cluster Dask's `distributed` hands tasks
to its workers, which run them in such processes, too. A process that dies, hangs or takes too much
memory costs its own task only; one that saw its device fail does no other. Nothing here knows what
the function is.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import pickle
import resource
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import cloudpickle

from .errors import ConfigError, DeviceError, SchedulerLostError
from .isolation import Cause, IsolatedProcess, TaskFailed, retire
from .plugins import name_plugins, named_plugins

if TYPE_CHECKING:
    from distributed import Client

_SCHEDULER_ANSWER_S = 15.0  # a scheduler that has not answered by then is not there
_AHEAD = 100  # tasks beyond those that can run at once that the scheduler is given
_RETURNS = 10  # how often a task comes back to be sent again, each time after several lost workers
_IDLE_S = 3  # so long a process waits on a Dask worker for another task, its networks loaded


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
    processes also end when their parent is killed.

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
    pack = partial(_Parcel.pack, function, limits or Limits())
    if scheduler is not None:
        with _connect(scheduler) as client:
            yield partial(_run_on_cluster, client, resources, pack)
    elif n_jobs == 1 and limits is None:
        yield _Here(function, pack).run
    else:
        yield partial(_run_in_processes, n_jobs, pack)


class _Here:
    """Runs tasks in this process, until a device fails in it, which may stay so in a process."""

    def __init__(self, function: Callable[[Any], Any], pack: Callable[[Any], _Parcel]) -> None:
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
            return self._function(task)
        except Exception as error:
            self._sound = not isinstance(error, DeviceError)
            return _describe_error(error)


def _describe_error(error: Exception) -> TaskFailed:
    return TaskFailed(
        Cause.ERROR,
        f"{type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
        error,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


# -- what travels ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parcel:
    """A task on its way to the process that works on it.

    Only that process opens it: Dask's scheduler and workers do not load what the function needs.
    """

    content: bytes  # function and task
    seconds: float
    memory: int | None
    plugins: tuple[tuple[str, str], ...]  # as here; the files lie at the same paths everywhere

    @staticmethod
    def pack(function: Callable[[Any], Any], limits: Limits, task: Any) -> _Parcel:

        content = cloudpickle.dumps((function, task))
        return _Parcel(content, limits.seconds(task), limits.memory, named_plugins())

    def run(self, process: IsolatedProcess, wanted: Callable[[], bool]) -> bytes | TaskFailed:
        work = pickle.dumps(self.plugins) + self.content
        return process.run(_open_and_call, work, self.seconds, self.memory, wanted)


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
        failure = _describe_error(error)
        if isinstance(error, DeviceError):
            retire()
    try:
        content = cloudpickle.dumps(failure)
        pickle.loads(content)
    except Exception:  # of the error itself, which may hold anything; its words and trace remain
        content = pickle.dumps(replace(failure, error=None))
    return content


def _unpack(answer: bytes | TaskFailed) -> Any:
    return answer if isinstance(answer, TaskFailed) else pickle.loads(answer)


# -- this machine ----------------------------------------------------------------------------------


def _run_in_processes(
    n_jobs: int, pack: Callable[[Any], _Parcel], tasks: Iterable[Any], alone: bool
) -> Generator[tuple[Any, Any]]:
    """Every thread has a process of its own and waits for it."""
    stop, own, started = threading.Event(), threading.local(), []

    def work(task: Any) -> Any:
        if not hasattr(own, "process"):
            own.process = IsolatedProcess()
            started.append(own.process)
        return _unpack(pack(task).run(own.process, lambda: not stop.is_set()))

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


class Beside:
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
        self._parcel = _Parcel.pack(function, Limits(), task)
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

            answer = _unpack(self._parcel.run(process, wanted))
            process.close()
            left = self._tries if ready else left - 1
            if self._stop.is_set():
                return
            if not left or not self._begun.is_set():
                self.given_up = answer
                self._begun.set()
                return


# -- a cluster -------------------------------------------------------------------------------------


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            f"the Dask engine needs a package that cannot be loaded ({error}); install it with "
            "`pip install 'vapipe[cluster]'`, on the workers, too"
        ) from error
    try:
        client = Client(address, timeout=_SCHEDULER_ANSWER_S)
    except (OSError, ValueError, TypeError) as error:  # TypeError: tls without certificates
        raise SchedulerLostError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler` and give the tcp://HOST:PORT that it prints. A tls:// address needs "
            "the certificates of Dask's configuration, here and there (docs/cluster.md)"
        ) from error
    with client:
        yield client


def describe_scheduler(address: str) -> str:
    """Workers and dashboard of a Dask scheduler, for people.

    Raises:
        ConfigError: see `run_tasks`.
    """
    with _connect(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        return f"{len(workers)} worker(s), {threads} task(s) at once; {client.dashboard_link}"


def _run_on_cluster(
    client: Client,
    resources: Mapping[str, float] | None,
    pack: Callable[[Any], _Parcel],
    tasks: Iterable[Any],
    alone: bool,
) -> Generator[tuple[Any, Any]]:
    """Keep so many tasks with the scheduler that no worker waits."""
    from distributed import KilledWorker, as_completed

    parcels = ((task, pack(task), 0) for task in tasks)
    sent: dict[Any, tuple[Any, _Parcel, int]] = {}
    finished = as_completed(with_results=True, raise_errors=False)

    def send(batch: list[tuple[Any, _Parcel, int]]) -> None:
        futures = client.map(
            _run_on_worker,
            [parcel for _, parcel, _ in batch],
            fresh=alone,
            pure=False,
            resources=dict(resources) if resources else None,
        )
        sent.update(zip(futures, batch, strict=True))
        finished.update(futures)

    def fill_up() -> int:
        """The number of tasks with the scheduler at which to fill up again."""
        most = 2 * sum(client.nthreads().values()) + _AHEAD
        send(list(islice(parcels, max(0, most - len(sent)))))
        return most // 2

    try:
        low = fill_up()
        for future, result in finished:
            if future.cancelled():
                raise SchedulerLostError(
                    "the Dask scheduler has gone away; what is finished stays: start it and its "
                    "workers again, then run the same command"
                )
            task, parcel, returns = sent.pop(future)
            if future.status == "error":
                _, error, _ = result
                if isinstance(error, KilledWorker) and returns < _RETURNS:
                    # Its process would have died in its place: who killed the workers was another.
                    result = None
                else:
                    result = TaskFailed(Cause.DIED, f"Dask gave it up: {error}")
            if result is None:
                send([(task, parcel, returns + 1)])
                continue
            if len(sent) < low:
                low = fill_up()
            yield task, _unpack(result)
    finally:
        client.cancel(list(sent))


_own = threading.local()  # of a thread of a Dask worker: its process and the plug-ins loaded there


def _run_on_worker(parcel: _Parcel, fresh: bool) -> bytes | TaskFailed | None:
    """On a worker: run a task in the process of this thread; None where it was called off."""
    from distributed import get_worker

    # Dask starts its workers as daemons, which may have no children; ours end with their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    if fresh or getattr(_own, "plugins", None) != parcel.plugins:
        if hasattr(_own, "process"):
            _own.process.close()
        _own.process, _own.plugins = IsolatedProcess(idle_s=_IDLE_S), parcel.plugins
    worker = get_worker()
    key = worker.get_current_task()
    called_off = False

    def wanted() -> bool:
        nonlocal called_off  # by a client that was stopped or killed
        task = worker.state.tasks.get(key)
        called_off |= task is None or task.state == "cancelled"
        return not called_off

    answer = parcel.run(_own.process, wanted)
    return None if called_off else answer
