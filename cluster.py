"""Runs tasks on the workers of a Dask scheduler, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import MissingPackageError, SchedulerLostError, counted
from .isolation import Cause, IsolatedProcess, Parcel, TaskFailed, unpack

if TYPE_CHECKING:
    from distributed import Client

_SCHEDULER_ANSWER_S = 15.0  # a scheduler that has not answered by then is not there
_AHEAD = 100  # tasks beyond those that can run at once that the scheduler is given
_RETURNS = 10  # how often a task comes back to be sent again, each time after several lost workers
_IDLE_S = 3  # so long a process waits on a Dask worker for another task, its networks loaded


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """A client of a scheduler.

    Raises:
        MissingPackageError: Dask is not installed.
        SchedulerLostError: no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingPackageError(
            "the Dask engine", error, "cluster", ", on the workers, too"
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
    with connect(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        held = f"{counted(len(workers), 'worker')}, {counted(threads, 'task')} at once"
        return f"{held}; {client.dashboard_link}"


def run_on_cluster(
    client: Client,
    resources: Mapping[str, float] | None,
    pack: Callable[[Any], Parcel],
    tasks: Iterable[Any],
    alone: bool,
) -> Generator[tuple[Any, Any]]:
    """Keep so many tasks with the scheduler that no worker waits."""
    from distributed import KilledWorker, as_completed

    parcels = ((task, pack(task), 0) for task in tasks)
    sent: dict[Any, tuple[Any, Parcel, int]] = {}
    finished = as_completed(with_results=True, raise_errors=False)

    def send(batch: list[tuple[Any, Parcel, int]]) -> None:
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
            yield task, unpack(result)
    finally:
        client.cancel(list(sent))


_own = threading.local()  # of a thread of a Dask worker: its process and the plug-ins loaded there


def _run_on_worker(parcel: Parcel, fresh: bool) -> bytes | TaskFailed | None:
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
