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
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from vapipe.cli import main

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["children", "vapipe.extract.run", "vapipe.fusion.training.fit"])


def invoke(words: Sequence[object]) -> dict[str, Any]:
    """A command in this process: exit code, what it said, and the trace of an unknown error."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    trace = ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        trace = "".join(traceback.format_exception(result.exception))
    return {"code": result.exit_code, "said": result.output, "trace": trace}


def _invoke_into(answer: Path, words: Sequence[str]) -> None:
    answer.write_text(json.dumps(invoke(words)))


class Child:
    """A command in a process of its own; its answer is kept in a file of `folder`."""

    def __init__(self, words: Sequence[object], folder: Path):
        self._answer = Path(tempfile.mkstemp(dir=folder)[1])
        words = [str(word) for word in words]
        self._process = _FORKS.Process(target=_invoke_into, args=(self._answer, words))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it, if it has not ended meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ended(self) -> bool:
        return not self._process.is_alive()

    def result(self) -> dict[str, Any] | None:
        """What it came to; None where it was killed."""
        self._process.join()
        text = self._answer.read_text()
        return json.loads(text) if text else None
