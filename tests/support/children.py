"""Commands of `vapipe` in processes of their own that start at once.

They are forked by a server that has imported vapipe and computed nothing: threads of OpenMP, which
the tests' own process may have, do not survive a fork.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapipe.cli import main

FORKS = multiprocessing.get_context("forkserver")
_USED = ["extract.job", "extract.run", "extract.labels_report", "extract.encoders.logmel_spectra"]
_USED += ["fusion.training.fit", "prediction"]
FORKS.set_forkserver_preload(["children", *(f"vapipe.{name}" for name in _USED)])


def _run(words: Sequence[str], said: Path, answer: Path) -> None:
    # Shells start background jobs, and so their children, with Ctrl-C ignored; here it is heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with said.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code, trace = 0, ""
    try:
        main(list(words), prog_name="vapipe")
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        code, trace = 1, traceback.format_exc()
    answer.write_text(json.dumps({"code": code, "trace": trace}))


class Child:
    """A command in a process of its own; its answer is kept in a file of `folder`."""

    def __init__(self, words: Sequence[object], folder: Path):
        own = Path(tempfile.mkdtemp(dir=folder))
        self._said, self._answer = own / "said", own / "answer"
        self._process = FORKS.Process(
            target=_run, args=([str(word) for word in words], self._said, self._answer)
        )
        self._process.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it, if it has not ended meanwhile."""
        assert self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def ended(self) -> bool:
        return not self._process.is_alive()

    def said(self) -> str:
        """What it has printed so far, of both kinds."""
        return self._said.read_text() if self._said.exists() else ""

    def wait_until_said(self, words: str) -> None:
        while words not in self.said():
            assert not self.ended(), self.said()
            time.sleep(0.005)

    def result(self) -> dict[str, Any] | None:
        """Its exit code, what it said, and the trace of an error; None where it was killed."""
        self._process.join()
        if not self._answer.exists():
            return None
        return {**json.loads(self._answer.read_text()), "said": self.said()}


def invoke(words: Sequence[object], folder: Path) -> dict[str, Any]:
    """Run a command to its end."""
    result = Child(words, folder).result()
    assert result
    return result
