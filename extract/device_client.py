"""What a device computes, asked for from other processes: encoders and the face detector.

They look like those that compute here; every one has a connection of its own to `device_server`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..device_faults import add_notes
from ..errors import DeviceLostError
from .encoders import AudioEncoder, Encoder, VisualEncoder
from .stages import waiting
from .wire import connect, receive, send

if TYPE_CHECKING:
    from ..cache.timeline import Timeline
    from .media.audio import AudioBlock

_PATIENCE_S = 300.0  # a process that is begun again loads its networks first
_PAUSE_S = 0.1


def choose_address(addresses: Sequence[str]) -> str:
    """Another device for each process that asks, in turn."""
    for number in count():
        with suppress(FileExistsError):
            Path(addresses[0]).with_name(f"process-{number}").touch(exist_ok=False)
            return addresses[number % len(addresses)]
    raise AssertionError


def remote_encoders(address: str) -> tuple[dict[str, Encoder], dict[str, str]]:
    """Stream -> encoder on the device, and that device's versions.

    Raises:
        DeviceLostError: its process does not answer.
    """
    found, versions = _Link(address).ask("streams")
    encoders: dict[str, Encoder] = {
        stream: (_Visual if facts["modality"] == "visual" else _Audio)(address, stream, facts)
        for stream, facts in found.items()
    }
    return encoders, versions


class RemoteCascade:
    """The face detector's networks (`faces.mtcnn.Cascade`) on the device."""

    def __init__(
        self, address: str, *, min_face: int, thresholds: tuple[float, ...], device: object
    ) -> None:
        """Connect; the options are the networks', whose device is that at the address."""
        self._link, self._options = _Link(address), (min_face, thresholds)

    def search(self, images: np.ndarray) -> np.ndarray:
        """See `Cascade.search`."""
        return self._ask("search", images)

    def look(self, images: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """See `Cascade.look`."""
        return self._ask("look", images, sides)

    def _ask(self, method: str, *arguments: np.ndarray) -> np.ndarray:
        with waiting(f"device: {method}"):
            found: np.ndarray = self._link.ask("detect", self._options, method, *arguments)
        return found


class _Visual(VisualEncoder):
    def __init__(self, address: str, stream: str, facts: dict[str, Any]) -> None:
        self.name, self.dim, self.input_size = (facts[n] for n in ("name", "dim", "input_size"))
        self._link, self._stream = _Link(address), stream

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        with waiting(f"device: {self._stream}"):
            features: np.ndarray = self._link.ask("encode", self._stream, crops, margin)
        return features


class _Audio(AudioEncoder):
    def __init__(self, address: str, stream: str, facts: dict[str, Any]) -> None:
        self.name, self.dim = facts["name"], facts["dim"]
        self._link, self._stream = _Link(address), stream

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        sound = iter(blocks)
        self._link.send("listen", self._stream, timeline)
        while True:
            with waiting(f"device: {self._stream}"):
                kind, answer = self._link.receive()
            if kind == "part":
                yield answer
            elif kind == "more":
                self._link.send(next(sound, None), whole=True)
            else:
                return


class _Link:
    """A connection; what goes wrong at the other end is raised here."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = self._connect()

    def ask(self, *question: Any) -> Any:
        self.send(*question)
        return self.receive()[1]

    def send(self, *message: Any, whole: bool = False) -> None:
        try:
            send(self._socket, message[0] if whole else message)
        except OSError as error:
            raise self._lost() from error

    def receive(self) -> tuple[str, Any]:
        """The kind of an answer, and the answer."""
        try:
            kind, answer, notes = receive(self._socket)
        except (OSError, EOFError) as error:
            raise self._lost() from error
        add_notes(notes)
        if kind == "error":
            raise answer
        return kind, answer

    def _connect(self) -> socket.socket:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return connect(self._address)
            except OSError as error:
                if time.monotonic() > until:
                    raise self._lost() from error
                time.sleep(_PAUSE_S)

    def _lost(self) -> DeviceLostError:
        return DeviceLostError(
            "the process that computes on the device has ended, and this video was under way; it "
            "is not at fault: run the command again"
        )
