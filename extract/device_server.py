"""The networks of a run on one device, in one process, for all processes that extract.

Videos are decoded, faces cut and shards written in many processes; what a device computes is asked
for over sockets. A batch is always of one video, so what it gives does not depend on the others.
"""

from __future__ import annotations

import pickle
import socket
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..device import describe_versions
from ..device_faults import device_errors, take_notes
from ..errors import ConfigError, DeviceError, StoppedError, VapipeError
from ..executor import BackgroundProcess
from ..numerics import exactly
from .faces.mtcnn import Cascade
from .task import Settings
from .wire import connect, receive, send

if TYPE_CHECKING:
    from ..cache.timeline import Timeline
    from .media.audio import AudioBlock

_FAILED_STARTS = 3  # in a row, then the device is given up
_LOOK_S = 0.2  # how often it is looked whether the device has failed
_BATCH_S = 5.0  # how long a batch that is under way is waited for at the end


class DeviceServer:
    """The process of one device, begun again when the device fails; a context.

    Attributes:
        address: where it is asked, a path.
    """

    def __init__(self, settings: Settings, device: str, address: Path) -> None:
        """Start nothing yet.

        Args:
            settings: of the run; the streams to load.
            device: in place of the settings'.
            address: for its socket.
        """
        self.device, self.address = device, str(address)
        work = partial(_serve, self.address)
        settings = replace(settings, device=device)
        self._process = BackgroundProcess(work, settings, tries=_FAILED_STARTS, ready=self._answers)

    def __enter__(self) -> DeviceServer:
        """Load the networks.

        Raises:
            ConfigError: they cannot be loaded, or loading them kills the process.
            WeightsError: weights do not fit.
        """
        failure = self._process.start()
        if failure is None:
            return self
        self._process.stop()
        if isinstance(failure.error, VapipeError):
            raise failure.error
        raise ConfigError(
            f"the process that computes on {self.device} ended ({failure.reason}) while it loaded "
            "the encoders; there may be too little memory, or a library is broken: try one stream "
            f"at a time, or --device cpu\n{failure.trace}".rstrip()
        )

    def __exit__(self, *error: object) -> None:
        self._process.stop()

    def check(self) -> None:
        """See whether it can still compute.

        Raises:
            StoppedError: the device failed several times in a row and is given up.
        """
        failure = self._process.given_up
        if failure is not None:
            raise StoppedError(
                f"stopped: {self.device} fails again and again ({failure.reason}); no video is to "
                "blame, what is extracted stays: see to the device (nvidia-smi), or take another "
                "one with --device, and run the same command again"
            )

    def busy(self) -> tuple[float, float]:
        """Seconds in which it computed, and since it was begun; 0, 0 where it does not answer."""
        with suppress(OSError, EOFError), connect(self.address) as link:
            send(link, ("busy",))
            seconds: tuple[float, float] = receive(link)[1]
            return seconds
        return 0.0, 0.0

    def _answers(self) -> bool:
        with suppress(OSError):
            connect(self.address).close()
            return True
        return False


@contextmanager
def serve_devices(settings: Settings, devices: Sequence[str]) -> Iterator[list[DeviceServer]]:
    """A server for each device.

    Raises:
        ConfigError: networks cannot be loaded.
        WeightsError: weights do not fit.
    """
    with ExitStack() as scope:
        folder = Path(scope.enter_context(TemporaryDirectory(prefix="vapipe-")))
        servers = [
            DeviceServer(settings, device, folder / f"{number}.socket")
            for number, device in enumerate(devices)
        ]
        yield [scope.enter_context(server) for server in servers]


# -- in its process --------------------------------------------------------------------------------


def _serve(address: str, settings: Settings) -> None:
    """Answer until the process is ended, or the device fails."""
    from .run import load_streams

    torch.set_num_threads(1)
    with device_errors(settings.device), exactly():
        service = _Service(
            settings.device, {s.spec.stream: s.encoder for s in load_streams(settings)}
        )
    Path(address).unlink(missing_ok=True)  # of a process that died
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(128)
        door.settimeout(_LOOK_S)
        try:
            with exactly():
                while service.failure is None:
                    with suppress(TimeoutError):
                        link, _ = door.accept()
                        link.settimeout(None)
                        threading.Thread(target=service.attend, args=[link], daemon=True).start()
        finally:
            service.close()
    raise service.failure


class _Service:
    """Answers what is asked; each network computes for one at a time, different ones overlap."""

    def __init__(self, device: str, encoders: Mapping[str, Any]) -> None:
        self.failure: DeviceError | None = None
        self._device = torch.device(device)
        self._encoders = encoders
        self._turns: dict[Any, threading.Lock] = defaultdict(threading.Lock)
        self._cascades: dict[tuple[Any, ...], Cascade] = {}
        self._clock, self._began = _Clock(), time.monotonic()
        self._open: dict[threading.Thread, socket.socket] = {}

    def close(self) -> None:
        """Attend nobody any more: a process that ends while its threads compute is aborted."""
        for link in list(self._open.values()):
            with suppress(OSError):  # it went by itself
                link.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + _BATCH_S
        for thread in list(self._open):
            thread.join(max(0.0, until - time.monotonic()))

    def attend(self, link: socket.socket) -> None:
        """Answer one process until it goes."""
        torch.set_num_threads(1)  # the setting of a thread is its own
        cuda = self._device.type == "cuda"
        stream = torch.cuda.stream(torch.cuda.Stream(self._device)) if cuda else nullcontext()
        with link, suppress(OSError, EOFError), stream, self._while_open(link):
            while True:
                method, *arguments = receive(link)
                try:
                    with device_errors(str(self._device)):
                        answer = getattr(self, f"_{method}")(link, *arguments)
                except (OSError, EOFError):
                    raise
                except Exception as error:
                    send(link, ("error", self._judge(error), {}))
                else:
                    send(link, ("done", answer, take_notes()))

    @contextmanager
    def _while_open(self, link: socket.socket) -> Iterator[None]:
        self._open[threading.current_thread()] = link
        try:
            yield
        finally:
            del self._open[threading.current_thread()]

    def _judge(self, error: Exception) -> Exception:
        """What is told of an error; one of the device ends this process."""
        if isinstance(error, DeviceError):
            self.failure = error
            return error
        error.add_note("".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # of the error itself, which may hold anything
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error

    @contextmanager
    def _turn(self, network: Any) -> Iterator[None]:
        with self._turns[network], self._clock:
            yield

    def _streams(self, link: socket.socket) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        names = ("modality", "name", "dim", "input_size")
        found = {
            stream: {name: getattr(encoder, name, None) for name in names}
            for stream, encoder in self._encoders.items()
        }
        return found, describe_versions(str(self._device))

    def _busy(self, link: socket.socket) -> tuple[float, float]:
        return self._clock.seconds, time.monotonic() - self._began

    def _encode(
        self, link: socket.socket, stream: str, crops: np.ndarray, margin: float
    ) -> np.ndarray:
        with self._turn(stream):
            return self._encoders[stream].encode_fitting(crops, margin=margin)

    def _listen(self, link: socket.socket, stream: str, timeline: Timeline) -> None:
        """Send rows as they come and ask for blocks of sound as they are needed."""

        def blocks() -> Iterator[AudioBlock]:
            while True:
                pause.close()
                send(link, ("more", None, {}))
                block = receive(link)
                pause.enter_context(self._turn(stream))
                if block is None:
                    return
                yield block

        with ExitStack() as pause:  # its turn, but while it waits for the other end
            pause.enter_context(self._turn(stream))
            for part in self._encoders[stream].encode(blocks(), timeline):
                pause.close()
                send(link, ("part", part, {}))
                pause.enter_context(self._turn(stream))

    def _detect(
        self, link: socket.socket, options: tuple[Any, ...], method: str, *arguments: Any
    ) -> Any:
        with self._turn(options):
            if options not in self._cascades:
                min_face, thresholds = options
                self._cascades[options] = Cascade(
                    min_face=min_face, thresholds=thresholds, device=self._device
                )
            return getattr(self._cascades[options], method)(*arguments)


class _Clock:
    """Counts the time in which at least one thread is inside."""

    def __init__(self) -> None:
        self._lock, self._inside, self._since = threading.Lock(), 0, 0.0
        self.seconds = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._since = time.monotonic()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self.seconds += time.monotonic() - self._since
