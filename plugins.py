"""Encoders and heads of the user's own: Python files that register them, for both stages.

Which files is said by the environment variable VAPIPE_PLUGINS (`vapipe --plugin FILE` sets it), so
that every worker process hears it. A file runs once per process, when an encoder or a head is
looked up; the digest of its text is part of the key of every stream that its encoders make.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from .errors import ConfigError

VARIABLE = "VAPIPE_PLUGINS"  # paths, separated as in PATH

_loaded: dict[str, str] = {}  # path -> SHA-256 (hex) of the text that was run
_digests: dict[str, str] = {}  # name of the module -> the same


def name_plugins(paths: Iterable[str | Path]) -> None:
    """Say which files this process and those that it starts are to load."""
    os.environ[VARIABLE] = os.pathsep.join(str(Path(path).resolve()) for path in paths)


def named_plugins() -> tuple[tuple[str, str], ...]:
    """The files named, in order: (path, SHA-256 of its text now).

    Raises:
        ConfigError: a file cannot be read.
    """
    return tuple((path, _digest(text)) for path, text in _read_all())


def load_plugins() -> None:
    """Run the files named that this process has not run yet.

    Raises:
        ConfigError: a file cannot be read, fails, or has changed since it was run.
    """
    for path, text in _read_all():
        digest = _digest(text)
        if path not in _loaded:
            _loaded[path] = digest
            _run(path, text, digest)
        elif _loaded[path] != digest:
            raise ConfigError(
                f"plug-in {path} has changed since this process loaded it; start the process "
                "(a notebook: its kernel) again"
            )


def plugin_digest(module: str) -> str | None:
    """SHA-256 (hex) of the file that a module was loaded from, None where it is no plug-in."""
    return _digests.get(module)


def _read_all() -> list[tuple[str, bytes]]:
    texts = []
    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        try:
            texts.append((path, Path(path).read_bytes()))
        except OSError as error:
            raise ConfigError(
                f"plug-in {path} cannot be read ({error.strerror}); correct --plugin or the "
                f"environment variable {VARIABLE}"
            ) from error
    return texts


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _run(path: str, text: bytes, digest: str) -> None:
    name = f"vapipe_plugin_{Path(path).stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # as in an import: classes look themselves up while they are made
    _digests[name] = digest
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name], _digests[name], _loaded[path]
        raise ConfigError(
            f"plug-in {path} fails when it is loaded: {type(error).__name__}: {error}; fix it, "
            f"`python {path}` shows where"
        ) from error
