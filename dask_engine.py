"""An engine beside those of `workers.py`: tasks run on the workers of a Dask scheduler, over TCP.

A Dask worker can neither outlive a fault of a library nor end a thread that hangs. So each of its
threads hands its tasks to a process of its own, with the limits and the answers of `workers.Crew`.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .cache.errors import ConfigError
from .workers import Crew, Death, Engine, Limits

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S = 15.0  # a scheduler that has not answered by then is not there


@contextmanager
def open_dask(
    address: str, limits: Limits, *, gpu: bool = False, fresh: bool = False
) -> Iterator[Engine]:
    """Yield an engine that runs tasks on a scheduler's workers.

    Args:
        address: of the scheduler, e.g. tcp://node1:8786.
        limits: of each task's process.
        gpu: take only workers with a resource `GPU`, one of it per task.
        fresh: run every task in a new process.

    Raises:
        ConfigError: Dask is not installed, or no scheduler answers.
    """
    with _connect(address) as client:
        resources = {"GPU": 1} if gpu else None

        def run(work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            envelopes = [_Envelope(work, task, limits.seconds(task)) for task in tasks]
            yield from _share_out(client, envelopes, limits.memory, fresh, resources)

        yield run


def describe_dask(address: str) -> str:
    """Workers and dashboard of a scheduler, for people.

    Raises:
        ConfigError: see `open_dask`.
    """
    with _connect(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        return f"{len(workers)} worker(s), {threads} task(s) at once; {client.dashboard_link}"


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
        client = Client(address, timeout=_ANSWER_S)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler` and give the tcp://HOST:PORT that it prints"
        ) from error
    with client:
        yield client


@dataclass(frozen=True)
class _Envelope:
    """A task on its way to the process that works on it."""

    work: Callable[[Any], Any]
    task: Any
    seconds: float


def _share_out(
    client: Client,
    envelopes: list[_Envelope],
    memory: int | None,
    fresh: bool,
    resources: dict[str, int] | None,
) -> Iterator[tuple[Any, Any]]:
    from distributed import as_completed

    futures = {
        client.submit(_run_apart, each, memory, fresh, pure=False, resources=resources): each.task
        for each in envelopes
    }
    try:
        for future in as_completed(list(futures)):
            error = future.exception()
            answer = future.result() if error is None else Death(f"Dask gave it up: {error}")
            yield futures.pop(future), answer
    finally:
        client.cancel(list(futures))


_threads = threading.local()


def _run_apart(envelope: _Envelope, memory: int | None, fresh: bool) -> Any:
    """On a worker: run a task in the process of this thread."""
    # Dask starts its workers as daemons, which may have no children; ours end with their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    crew, its_memory = getattr(_threads, "crew", (None, None))
    if crew is None or fresh or its_memory != memory:
        if crew is not None:
            crew.dismiss()
        crew = Crew(1, limits=Limits(attrgetter("seconds"), memory), retries=0)
        _threads.crew = crew, memory
    ((_, answer),) = crew.run(_open, [envelope])
    return answer


def _open(envelope: _Envelope) -> Any:
    return envelope.work(envelope.task)
