"""The folder of weights: find a file and prove it right, pin it on first use, add one's own.

Nothing here opens a connection; that is `fetch.py`, and only on demand.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from ...cache.durable import atomic_file, digest_file, wrap_io_errors, write_json
from ...cache.locks import locked_file
from ...errors import WeightsError
from .table import WEIGHT_TABLE, WeightEntry, WeightFile

FOLDER_VARIABLE = "VAPIPE_WEIGHTS"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PIN_SUFFIX = ".pin.json"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Pin:
    """What was recorded when a file was first used; later changes of the file are errors.

    A file whose size and time of change are still these need not be read again.
    """

    name: str
    architecture: str
    file: str
    sha256: str
    nbytes: int
    modified_ns: int


def weights_folder() -> Path:
    """`$VAPIPE_WEIGHTS`, or `~/.cache/vapipe/weights`."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "vapipe" / "weights"


def find_weights(name: str, *, folder: Path | None = None, rehash: bool = False) -> WeightFile:
    """The checked file of weights called `name`; never downloads.

    Args:
        name: of the table, or of an added file.
        folder: instead of `weights_folder()`.
        rehash: compute the digest even where size and time are as recorded. It is always
            computed on first use and after the file was touched.

    Raises:
        WeightsError: unknown, absent (with the command that gets it), or not the right file.
    """
    folder = folder or weights_folder()
    entry = weight_entry(name, folder)
    path = folder / entry.file
    if not path.is_file():
        raise _absent([entry], folder)
    pin = read_pin(name, folder)
    status = path.stat()
    known = pin is not None and (pin.nbytes, pin.modified_ns) == (
        status.st_size,
        status.st_mtime_ns,
    )
    digest = pin.sha256 if pin and known and not rehash else digest_file(path)
    problem = digest_problem(entry, pin, digest, path)
    if problem:
        raise WeightsError(problem)
    if not known and os.access(folder, os.W_OK):  # a shared folder may be read-only
        pin_file(entry, folder, digest)
    return WeightFile(name, entry.architecture, path, digest, status.st_size)


def all_with_weights(steps: Iterable[Callable[[], _T]]) -> list[_T]:
    """What each step gives; where several lack weights, one error names all of them.

    Raises:
        WeightsError: as the steps raise them; more than one in one.
    """
    made, errors = [], []
    for step in steps:
        try:
            made.append(step())
        except WeightsError as error:
            errors.append(error)
    if len(errors) > 1:
        folder = weights_folder()
        names = dict.fromkeys(name for error in errors for name in error.absent)
        absent = _absent([weight_entry(name, folder) for name in names], folder)
        others = [str(error) for error in errors if not error.absent]
        together = WeightsError("\n".join([str(absent)] * bool(names) + others))
        together.absent = tuple(names)
        raise together
    if errors:
        raise errors[0]
    return made


def present_names(folder: Path | None = None) -> list[str]:
    """Names whose files are in the folder, in the order of the table, then the user's own."""
    folder = folder or weights_folder()
    return [name for name, entry in all_entries(folder).items() if (folder / entry.file).is_file()]


def all_entries(folder: Path | None = None) -> dict[str, WeightEntry]:
    """The table and the user's own additions in the folder."""
    folder = folder or weights_folder()
    entries = dict(WEIGHT_TABLE)
    for path in sorted(folder.glob(f"*{_PIN_SUFFIX}")):
        name = path.name.removesuffix(_PIN_SUFFIX)
        if name not in entries and _NAME.fullmatch(name):
            entries[name] = weight_entry(name, folder)
    return entries


def weight_entry(name: str, folder: Path) -> WeightEntry:
    """The entry of the table, or of a file that the user added.

    Raises:
        WeightsError: nothing is called so.
    """
    if name in WEIGHT_TABLE:
        return WEIGHT_TABLE[name]
    pin = read_pin(name, folder) if _NAME.fullmatch(name) else None
    if pin is None:
        close = difflib.get_close_matches(name, WEIGHT_TABLE, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise WeightsError(
            f"no weights are called {name!r}; {hint}`vapipe weights list` shows all. A file of "
            f"your own gets a name with `vapipe weights add NAME FILE --architecture NETWORK`"
        )
    return _own_entry(name, pin.architecture)


def add_weights(
    name: str,
    source: Path,
    *,
    architecture: str | None = None,
    replaces: bool = False,
    folder: Path | None = None,
) -> WeightFile:
    """Copy a file into the folder under a name, after checking that it is what it should be.

    Args:
        name: of the table, or a new one.
        source: the file; a name of the table with a public digest takes only that very file.
        architecture: the network a file with a new name fits.
        replaces: whether a different file of that name may be replaced.
        folder: instead of `weights_folder()`.

    Raises:
        WeightsError: not a checkpoint of that network, not the published file, or the name
            holds another file.
        ConfigError: unknown architecture.
        CacheError: the folder cannot be written.
    """
    from .checkpoints import check_checkpoint

    folder = folder or weights_folder()
    entry = _entry_to_add(name, architecture, folder)
    if not source.is_file():
        raise WeightsError(f"{source}: there is no such file to add as {name}")
    target = folder / entry.file
    with wrap_io_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
    check_checkpoint(source, entry.architecture)
    digest = digest_file(source)
    if entry.sha256 and not digest.startswith(entry.sha256):
        raise WeightsError(
            f"{source} is not the published {entry.file}: its SHA-256 is {digest}, expected "
            f"{entry.sha256}. To use a different file, give it its own name: "
            f"`vapipe weights add NAME {source} --architecture {entry.architecture}`"
        )
    with locked(folder, entry):
        pin = None if replaces else read_pin(name, folder)
        if pin and pin.sha256 != digest:
            raise WeightsError(
                f"{name} already holds another file, SHA-256 {pin.sha256}; {source} has "
                f"{digest}. Choose another name, or add --replace: features extracted with the "
                "other file keep their own key"
            )
        if not (target.exists() and target.samefile(source)):
            _copy(source, target, digest)
        pin_file(entry, folder, digest)
    return find_weights(name, folder=folder)


def digest_problem(entry: WeightEntry, pin: Pin | None, digest: str, path: Path) -> str | None:
    """Why a file with this digest is not the right one, and what to do; None where it is."""
    nbytes = path.stat().st_size
    again = (
        f"`vapipe weights fetch {entry.name}` gets it again"
        if entry.url
        else f"`vapipe weights add {entry.name} FILE --replace` takes another file"
    )
    if entry.sha256 and not digest.startswith(entry.sha256):
        size = f" of {entry.nbytes}" if entry.nbytes else ""
        return (
            f"{path}: not the published file of {entry.name}, or half of it ({nbytes}{size} "
            f"bytes): its SHA-256 is {digest}, expected {entry.sha256}; {again}"
        )
    if pin and pin.sha256 != digest:
        return (
            f"{path}: the file has changed since {entry.name} was first used: its SHA-256 is "
            f"{digest}, recorded was {pin.sha256}; {again}. To accept the file as it is now: "
            f"`vapipe weights add {entry.name} {path} --replace`"
        )
    return None


def read_pin(name: str, folder: Path) -> Pin | None:
    """The record of a name, if there is one.

    Raises:
        WeightsError: the record cannot be read.
    """
    path = folder / f"{name}{_PIN_SUFFIX}"
    if not path.exists():
        return None
    try:
        return Pin(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path}: the record of {name} cannot be read ({error}); remove it, and the next use "
            "records the file as it is then"
        ) from error


def pin_file(entry: WeightEntry, folder: Path, digest: str) -> None:
    """Record what a file is now."""
    status = (folder / entry.file).stat()
    pin = Pin(
        name=entry.name,
        architecture=entry.architecture,
        file=entry.file,
        sha256=digest,
        nbytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    )
    write_json(folder / f"{entry.name}{_PIN_SUFFIX}", asdict(pin))


@contextmanager
def locked(
    folder: Path, entry: WeightEntry, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Let one process at a time change a file; the lock ends with the process that holds it."""
    lock = folder / f".{entry.file}.lock"
    with ExitStack() as held:
        with wrap_io_errors(lock):
            held.enter_context(locked_file(lock, waiting))
        yield


def _copy(source: Path, target: Path, digest: str) -> None:
    with atomic_file(target) as copy:
        with wrap_io_errors(target):
            shutil.copyfile(source, copy)
        if digest_file(copy) != digest:
            raise WeightsError(f"{source} changed while it was copied; add it again when it rests")


def _own_entry(name: str, architecture: str) -> WeightEntry:
    return replace(
        WEIGHT_TABLE["ir50"],
        name=name,
        architecture=architecture,
        file=f"{name}.weights",
        source="your own file",
    )


def _entry_to_add(name: str, architecture: str | None, folder: Path) -> WeightEntry:
    """The entry a file is added to: of the table, of an earlier addition, or a new one."""
    if name in WEIGHT_TABLE or (folder / f"{name}{_PIN_SUFFIX}").exists():
        entry = weight_entry(name, folder)
        if architecture not in (None, entry.architecture):
            raise WeightsError(
                f"{name} is the name of weights of {entry.architecture}, not {architecture}; "
                "choose another name"
            )
        return entry
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"{name!r} cannot be the name of weights: lower-case letters, digits, dot, dash and "
            "underscore, at most 64 of them"
        )
    if architecture is None:
        raise WeightsError(
            f"{name} is a new name, so say which network the file is for: `vapipe weights add "
            f"{name} FILE --architecture NETWORK`"
        )
    return _own_entry(name, architecture)


def _absent(entries: Sequence[WeightEntry], folder: Path) -> WeightsError:
    """An error that names all entries, and the commands that get them."""
    public = [entry for entry in entries if entry.url is not None]
    names = [entry.name for entry in public]
    said = [
        f"the weights {entry.name} are not in {folder} and cannot be fetched "
        f"({entry.source}); add your file: `vapipe weights add {entry.name} FILE`"
        for entry in entries
        if entry.url is None
    ]
    if public:
        said.insert(
            0,
            f"the weights {', '.join(names)} are not in {folder}; `vapipe weights fetch "
            f"{' '.join(names)}` downloads them. Without a connection here: "
            + "; ".join(map(elsewhere, public)),
        )
    error = WeightsError("\n".join(said))
    error.absent = tuple(entry.name for entry in entries)
    return error


def elsewhere(entry: WeightEntry) -> str:
    """How to get a file on another machine."""
    return f"download {entry.url} elsewhere, then `vapipe weights add {entry.name} FILE`"
