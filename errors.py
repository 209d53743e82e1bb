"""Every error a user can cause or meet derives from `VapipeError`.

The message is complete: what is wrong, where, with which values, and what to do next.
`cli.py` prints it and exits; nothing below `cli.py` prints or exits.
"""

import copyreg
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class VapipeError(Exception):
    """Base of all errors that vapipe raises on purpose; `str(error)` is the whole message."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels between processes whatever its class is made from."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of a list, and how many more there are, for a message."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, noun: str) -> str:
    """`1 video`, `2,000 videos`, `3 entries`: a number of things, for a message."""
    plural = re.sub("(?<=s)$", "e", re.sub("y$", "ie", noun)) + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Which of the known names may be meant, or all of them, for a message."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}"


class CacheError(VapipeError):
    """The feature cache cannot be read or written as asked."""


class PrecisionError(CacheError):
    """Values of a stream that its stored precision cannot hold."""


class FileGoneError(CacheError):
    """A shard is not there any more; its rows may lie in another one."""


class CacheBusyError(CacheError):
    """Another process does what only one may do at a time."""

    def __init__(self, root: Path, holder: str) -> None:
        super().__init__(
            f"{root} is in use by {holder}; run the command again when that is done (a process "
            "that was killed holds nothing)"
        )


class MediaError(VapipeError):
    """A media file cannot be used."""


class FileChangedError(MediaError):
    """A media file changed while it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: changed while it was read; nothing made of it was stored. Extract again when "
            "it is complete"
        )


class LabelError(VapipeError):
    """An annotation or split file cannot be used."""


class UnlabelledError(LabelError):
    """A table in which nothing can be an annotation: a transcript, a list, another task."""


class ScaleError(LabelError):
    """Annotated values outside the scale that they were read on."""


class ConfigError(VapipeError):
    """Options that do not exist, do not fit together, or do not fit the data."""


class MissingPackageError(ConfigError):
    """An optional package that is not installed, or that cannot be imported."""

    def __init__(self, what: str, package: str | ImportError, extra: str, note: str = "") -> None:
        fault = f"{package}, which is not installed"
        if isinstance(package, ImportError):
            fault = f"{package.name}, which cannot be imported ({package})"
        super().__init__(
            f"{what} needs the package {fault}; install it: pip install 'vapipe[{extra}]'{note}"
        )


class ArgumentsError(ConfigError):
    """Arguments of one command or function that exclude each other; exit code 2."""


class RunError(ConfigError):
    """A run folder that is none, is not finished, is damaged, or does not fit what is asked."""


class CheckpointError(RunError):
    """A file of trained weights or of a fit's state that is damaged or fits no such model."""


class StreamError(ConfigError):
    """Streams that a cache lacks, or that cannot play the role they are meant for."""


class SubmissionError(ConfigError):
    """A sample file of a challenge that cannot be read, or that predictions do not fit."""


class TrainingDivergedError(VapipeError):
    """The loss or its gradient stopped being finite."""


class SchedulerLostError(VapipeError):
    """A scheduler of a cluster cannot be reached, or was lost, also with all its workers."""


class DeviceError(VapipeError):
    """The device that computes failed, or its memory is too small; no input is at fault."""


class DeviceLostError(DeviceError):
    """The process that computes on a device has ended, mostly by what others asked of it."""


class StoppedError(VapipeError):
    """Failures end an extraction before its end; the message says why and what to do."""

    @staticmethod
    def by(error: "DiskFullError") -> "StoppedError":
        """Where no other video could be written either."""
        return StoppedError(f"stopped: {error}; what is extracted stays")


class WeightsError(VapipeError):
    """Weights are missing, damaged, of another network, or cannot be fetched.

    Attributes:
        absent: names of the weights that are not here, where that is what is wrong.
    """

    absent: tuple[str, ...] = ()


class DamagedShardError(CacheError):
    """A file in the cache that cannot be what vapipe once wrote there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"damaged shard {path}: {reason}. Nothing else is affected; "
            "`vapipe cache verify --repair` moves it aside so that `vapipe extract` redoes it"
        )
        self.path = path
        self.reason = reason


class DiskFullError(CacheError):
    """No more can be written to the cache: the disk or a quota is full, or it is read-only."""


class WriteVerificationError(CacheError):
    """What was written of a shard reads back differently; nothing of it is kept."""

    def __init__(self, target: Path, what: str) -> None:
        super().__init__(
            f"cannot write {target}: {what} reads back differently from what was written; the "
            "disk, its file system or the memory is faulty, or a library wrote where it must not"
        )


class FitInterrupted(KeyboardInterrupt):
    """A fit was interrupted (Ctrl-C); `folder` is the run, which `resume` goes on with."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
