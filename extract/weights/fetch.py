"""Download a file of weights: resumable, checked before it gets its name, one process at a time.

Runs only when the user asks for it; what exists and whether it is right is for `files.py`.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ...cache.durable import atomic_file, dead_partials, digest_file, wrap_io_errors, write_json
from ...errors import WeightsError
from .files import (
    WeightFile,
    digest_problem,
    elsewhere,
    find_weights,
    locked,
    pin_file,
    read_pin,
    weight_entry,
    weights_folder,
)
from .table import WeightEntry

Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 20
_SHA256 = re.compile("[0-9a-f]{64}")
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class FetchPolicy:
    """How long to try.

    Attributes:
        attempts: connections before giving up; what has arrived is kept for the next command.
        timeout_s: seconds without a byte after which a connection counts as lost.
        pause_s: seconds before the second attempt, doubled before each further one.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    pause_s: float = 1.0


@dataclass(frozen=True)
class _Origin:
    """What a partial file is part of: without the same answer again it is not continued."""

    url: str
    validator: str | None  # strong ETag, else Last-Modified: what If-Range compares
    total: int | None


class _Interrupted(Exception):
    """This attempt failed in a way that another one may not."""


class _Stale(_Interrupted):
    """What is there is not part of the file that the server has now."""


def fetch_weights(
    name: str,
    *,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
    policy: FetchPolicy = FetchPolicy(),
) -> WeightFile:
    """Download a file of the table, unless it is there and right.

    An interrupted download is continued where it stopped. The digest is compared before the file
    gets its name; where none is public, the file must fit its network, and is pinned.

    Args:
        name: of the table.
        folder: instead of `weights_folder()`.
        progress: gets (bytes that have arrived, all bytes or None).
        policy: how long to try.

    Raises:
        WeightsError: unknown, without public location, unreachable, or not the right file; says
            what to download elsewhere and how to add it.
        CacheError: the folder cannot be written.
    """
    folder = folder or weights_folder()
    entry = weight_entry(name, folder)
    if entry.url is None:
        raise WeightsError(
            f"the weights {name} cannot be fetched ({entry.source}); add your file: "
            f"`vapipe weights add {name} FILE`"
        )
    target = folder / entry.file
    partial = folder / f"{entry.file}.partial"
    with wrap_io_errors(target):
        folder.mkdir(parents=True, exist_ok=True)

    def others() -> None:
        progress(_size(partial), entry.nbytes)

    with locked(folder, entry, others):
        for leftover in dead_partials(folder):
            leftover.unlink(missing_ok=True)
        if not _is_right(entry, folder):
            published = _download(entry, partial, progress, policy)
            digest = _checked(entry, folder, partial, published)
            with atomic_file(target) as ready, wrap_io_errors(target):
                partial.replace(ready)
            _record(partial).unlink(missing_ok=True)
            pin_file(entry, folder, digest)
    return find_weights(name, folder=folder)


def _is_right(entry: WeightEntry, folder: Path) -> bool:
    """Whether the file is there with the digest it should have."""
    path = folder / entry.file
    if not path.is_file():
        return False
    return digest_problem(entry, read_pin(entry.name, folder), digest_file(path), path) is None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http; keeps the digest that comes with one.

    Hugging Face names the SHA-256 of a large file where it redirects to the storage of the file.
    """

    digest: str | None = None

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise WeightsError(
                f"{req.full_url} leads to {newurl}, where anybody on the way can change the file; "
                "nothing was downloaded"
            )
        linked = headers.get("X-Linked-ETag", "").strip('"')
        if req.type == "https" and _SHA256.fullmatch(linked):
            self.digest = linked
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(
    entry: WeightEntry, partial: Path, progress: Progress, policy: FetchPolicy
) -> str | None:
    """Get all bytes into `partial`, in as many attempts as the policy allows.

    Returns:
        The SHA-256 that the publisher sends along, where it does.
    """
    why = ""
    redirects = _Redirects()
    for attempt in range(policy.attempts):
        if attempt:
            time.sleep(policy.pause_s * 2 ** (attempt - 1))
        try:
            _attempt(entry, partial, progress, policy.timeout_s, redirects)
            return redirects.digest
        except _Stale as error:
            why = str(error)
            partial.unlink(missing_ok=True)
        except _Interrupted as error:
            why = str(error)
    raise WeightsError(
        f"{entry.url}: {why}, after {policy.attempts} attempts; {_size(partial)} bytes are kept, "
        f"`vapipe weights fetch {entry.name}` continues. If it stays so: {elsewhere(entry)}"
    )


def _attempt(
    entry: WeightEntry, partial: Path, progress: Progress, timeout_s: float, redirects: _Redirects
) -> None:
    """One connection, continuing what is there."""
    assert entry.url is not None
    if entry.sha256 is None and not _is_private(entry.url):
        raise WeightsError(
            f"the weights {entry.name} have no public digest, and {entry.url} is not https: "
            f"nothing would prove the file right. {elsewhere(entry)}"
        )
    origin, have = _begun(entry, partial)
    if origin and have == origin.total:
        return
    request = urllib.request.Request(entry.url, headers=_headers(origin, have))
    try:
        opener = urllib.request.build_opener(redirects)
        with opener.open(request, timeout=timeout_s) as answer:
            have = _position(answer, origin, have)
            total = _total(answer, have)
            if have == 0:
                _start(partial, _Origin(entry.url, _validator(answer), total))
            _check_space(partial, total, have)
            have = _receive(answer, partial, have, total, progress)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing there behind what has arrived
                raise _Stale("the file on the server is shorter than before") from error
            reason = f"the server answered {error.code} {error.reason}"
        raise _failure(entry, reason, again=error.code in _TRY_AGAIN) from error
    except urllib.error.URLError as error:
        raise _unreachable(entry, error.reason, timeout_s) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(entry, error, timeout_s) from error
    if total is not None and have != total:
        raise _Interrupted(f"the connection ended after {have} of {total} bytes")


def _is_private(url: str) -> bool:
    """Whether nobody on the way can change what comes: https, or this very machine."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def _begun(entry: WeightEntry, partial: Path) -> tuple[_Origin | None, int]:
    """What an earlier attempt got, where it can be continued safely; else nothing.

    Continuing needs something that shows a changed file: a validator, or a public digest.
    """
    record = _record(partial)
    if not (partial.exists() and record.exists()):
        return None, 0
    try:
        origin = _Origin(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None, 0  # a record that says nothing; the download starts anew
    if (
        not isinstance(origin.total, int | None)
        or origin.url != entry.url
        or not (origin.validator or entry.sha256)
    ):
        return None, 0
    have = partial.stat().st_size
    if origin.total is not None and have > origin.total:
        return None, 0
    return (origin, have) if have else (None, 0)


def _start(partial: Path, origin: _Origin) -> None:
    """An empty partial file, then what it will be part of."""
    with wrap_io_errors(partial):
        partial.write_bytes(b"")
    write_json(_record(partial), asdict(origin))


def _size(partial: Path) -> int:
    try:
        return partial.stat().st_size
    except FileNotFoundError:
        return 0


def _record(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _headers(origin: _Origin | None, have: int) -> dict[str, str]:
    headers = {"User-Agent": "vapipe", "Accept-Encoding": "identity"}
    if origin and have:
        headers["Range"] = f"bytes={have}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    return headers


def _position(answer: http.client.HTTPResponse, origin: _Origin | None, have: int) -> int:
    """Where the answer starts: at what has arrived, or at 0 from a server without ranges."""
    if answer.status != 206 or origin is None:
        return 0
    span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    same_size = origin.total is None or total in ("*", str(origin.total))
    same_file = not origin.validator or _validator(answer) in (None, origin.validator)
    if not (same_size and same_file and span.startswith(f"{have}-")):
        raise _Stale("the file on the server changed during the download")
    return have


def _validator(answer: http.client.HTTPResponse) -> str | None:
    etag = answer.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")


def _total(answer: http.client.HTTPResponse, have: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def _check_space(partial: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if total is not None and total - have > free:
        raise WeightsError(
            f"{partial.parent}: {total - have} more bytes are needed for the download, {free} are "
            "free; make room there, or choose another folder with VAPIPE_WEIGHTS"
        )


def _receive(
    answer: http.client.HTTPResponse,
    partial: Path,
    have: int,
    total: int | None,
    progress: Progress,
) -> int:
    """Append what comes to the partial file; the bytes it has in the end."""
    progress(have, total)
    with wrap_io_errors(partial):
        out = partial.open("ab")
    with out:
        while chunk := answer.read1(_CHUNK):
            with wrap_io_errors(partial):
                out.write(chunk)
                out.flush()
            have += len(chunk)
            progress(have, total)
    return have


def _checked(entry: WeightEntry, folder: Path, partial: Path, published: str | None) -> str:
    """The digest of a complete download; a wrong file is removed."""
    digest = digest_file(partial)
    pin = read_pin(entry.name, folder)
    expected = entry.sha256 or (pin.sha256 if pin else published)
    try:
        if expected is None:
            from .checkpoints import check_checkpoint

            check_checkpoint(partial, entry.architecture)
        elif not digest.startswith(expected):
            raise WeightsError(f"its SHA-256 is {digest}, expected {expected}")
    except WeightsError as error:
        nbytes = partial.stat().st_size
        partial.unlink()
        _record(partial).unlink(missing_ok=True)
        raise WeightsError(
            f"{entry.url} did not give the weights {entry.name} ({nbytes} bytes): {error}. The "
            "download was removed; try again. If it stays so, the public file has changed or "
            f"something on the way alters it: {elsewhere(entry)}"
        ) from error
    return digest


def _unreachable(entry: WeightEntry, reason: object, timeout_s: float) -> Exception:
    """The error for a connection that failed, by whether another attempt may help."""
    host = urllib.request.Request(entry.url or "").host
    if isinstance(reason, socket.gaierror):
        return _failure(entry, f"the name {host} is not found; this machine may be offline")
    if isinstance(reason, ConnectionRefusedError):
        return _failure(entry, f"{host} refuses the connection")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _failure(entry, f"the certificate of {host} is not valid ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return _failure(entry, f"nothing came from {host} for {timeout_s:g} s", again=True)
    return _failure(entry, f"the connection to {host} failed ({reason!r})", again=True)


def _failure(entry: WeightEntry, reason: str, *, again: bool = False) -> Exception:
    if again:
        return _Interrupted(reason)
    return WeightsError(f"{entry.url}: {reason}. To go on without it: {elsewhere(entry)}")
