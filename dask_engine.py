"""An engine beside those of `workers.py`: tasks run on the workers of a Dask scheduler, over TCP.

A Dask worker can neither outlive a fault of a library nor end a thread that hangs. So each of its
threads hands its tasks to a process of its own, with the limits and the answers of `workers.Crew`.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .plugins import name_plugins, named_plugins
from .workers import Crew, Death, Engine, Limits

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_S = 15.0  # a scheduler that has not answered by then is not there
_AHEAD = 100  # tasks beyond those that can run at once that the scheduler is given
_RETURNS = 10  # how often a task comes back to be sent again, each time after several lost workers


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
            plugins = named_plugins()
            envelopes = (
                (task, _Envelope(pickle.dumps((work, task)), limits.seconds(task), plugins))
                for task in tasks
            )
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
    """A task on its way to the process that works on it.

    Only that process opens it: the scheduler and the workers do not load what the work needs.
    """

    content: bytes  # work and task, pickled
    seconds: float
    plugins: tuple[tuple[str, str], ...]  # as here; the files lie at the same paths everywhere


def _share_out(
    client: Client,
    envelopes: Iterator[tuple[Any, _Envelope]],
    memory: int | None,
    fresh: bool,
    resources: dict[str, int] | None,
) -> Iterator[tuple[Any, Any]]:
    """Keep so many tasks with the scheduler that no worker waits; yield answers as they come.

    Raises:
        ConfigError: the scheduler has gone away.
    """
    from distributed import KilledWorker, as_completed

    sent: dict[Any, tuple[Any, _Envelope, int]] = {}
    finished = as_completed(with_results=True, raise_errors=False)

    def send(batch: list[tuple[Any, _Envelope, int]]) -> None:
        futures = client.map(
            _run_apart,
            [envelope for _, envelope, _ in batch],
            memory=memory,
            fresh=fresh,
            pure=False,
            resources=resources,
        )
        sent.update(zip(futures, batch, strict=True))
        finished.update(futures)

    def fill_up() -> int:
        """The number of tasks with the scheduler at which to fill up again."""
        most = 2 * sum(client.nthreads().values()) + _AHEAD
        send([(*each, 0) for each in islice(envelopes, max(0, most - len(sent)))])
        return most // 2

    try:
        low = fill_up()
        for future, result in finished:
            if future.cancelled():
                raise ConfigError(
                    "the Dask scheduler has gone away; what is finished stays: start it and its "
                    "workers again, then run the same command"
                )
            task, envelope, returns = sent.pop(future)
            if future.status == "error":
                _, error, _ = result
                if isinstance(error, KilledWorker) and returns < _RETURNS:
                    # Its process would have died in its place: who killed the workers was another.
                    send([(task, envelope, returns + 1)])
                    continue
                result = Death(f"Dask gave it up: {error}")
            if len(sent) < low:
                low = fill_up()
            yield task, result if isinstance(result, Death) else pickle.loads(result)
    finally:
        client.cancel(list(sent))


_threads = threading.local()


def _run_apart(envelope: _Envelope, memory: int | None, fresh: bool) -> bytes | Death:
    """On a worker: run a task in the process of this thread."""
    # Dask starts its workers as daemons, which may have no children; ours end with their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    made_for = memory, envelope.plugins  # a process loads its networks and plug-ins once
    crew, its_own = getattr(_threads, "crew", (None, None))
    if crew is None or fresh or its_own != made_for:
        if crew is not None:
            crew.dismiss()
        crew = Crew(1, limits=Limits(attrgetter("seconds"), memory), retries=0)
        _threads.crew = crew, made_for
    ((_, answer),) = crew.run(_open, [envelope])
    return answer


def _open(envelope: _Envelope) -> bytes:
    if envelope.plugins:
        name_plugins(path for path, _ in envelope.plugins)
    work, task = pickle.loads(envelope.content)
    return pickle.dumps(work(task))
