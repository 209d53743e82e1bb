"""The bar of progress: the last line of a terminal, gone at the end; elsewhere there is none."""

from __future__ import annotations

import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from .console import clock, say

_EVERY_S = 0.1  # a line is drawn so often at most
_WIDEST, _NARROWEST = 30, 6  # columns of the bar itself; less room than that goes without
_TELLING_S = 1.0  # a pace is told from so many seconds of work
_CLEAR = "\r\x1b[K"

_bars: list[Bar] = []  # the one that is up


class Pace:
    """How much of something is done in a second, from when it has begun."""

    def __init__(self) -> None:
        """Know nothing yet: what comes before the first of it, like loading, does not count."""
        self._first: tuple[float, float] | None = None

    def __call__(self, amount: float) -> float:
        """Take how much is done by now; 0 until the pace can be told."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, amount) if amount > 0 else None
            return 0.0
        then, begun = self._first
        return max(0.0, amount - begun) / (now - then) if now - then >= _TELLING_S else 0.0


class Bar:
    """One line below everything else that is printed."""

    def __init__(self, out: TextIO) -> None:
        """Draw nothing yet."""
        self._out = out
        self._up = out.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.RLock()  # also of a signal's handler amid a drawing
        self._line, self._drawn = "", -math.inf
        self._stands = False  # whether the line is there now
        self._whole = True  # whether what others printed ended with a line
        self._pace = Pace()

    def show(
        self, done: float, total: float, *texts: str, before: float = 0.0, most: bool = False
    ) -> None:
        """Show how far the work is, and how long the rest takes.

        Args:
            done: of the work.
            total: all of it.
            texts: what there is to say, most important first: what does not fit is left out.
            before: of `done`, what needed no time now.
            most: whether the work may end early.
        """
        if not self._up:
            return
        left, pace = "", self._pace(done - before)
        if pace:
            left = f"{'up to ' if most else ''}{clock((total - done) / pace)} left"
        with self._lock:
            self._line = lay_out(done / total if total else 1.0, [left, *texts])
            if time.monotonic() - self._drawn >= _EVERY_S:
                self._draw()

    def write_above(self, stream: TextIO, text: str) -> int:
        """Write to a terminal without a bar in the way."""
        with self._lock:
            self._clear()
            written = stream.write(text)
            stream.flush()
            self._whole = text.endswith("\n") if text else self._whole
            self._draw()
            return written

    def end(self) -> None:
        """Take the line away for good."""
        with self._lock:
            self._stands |= self._up and self._whole  # a `^C` may stand there without it
            self._clear()
            self._up = False

    def _draw(self) -> None:
        """The cursor goes to the beginning: what others write, like `^C`, is then cleared, too."""
        if self._up and self._line and self._whole:
            self._put(f"{_CLEAR}{self._line}\r")
            self._stands, self._drawn = True, time.monotonic()

    def _clear(self) -> None:
        if self._stands:
            self._put(_CLEAR)
            self._stands = False

    def _put(self, text: str) -> None:
        """Past the stream's buffer, in which a signal's handler may find the program."""
        os.write(self._out.fileno(), text.encode(self._out.encoding, "replace"))


def lay_out(share: float, texts: list[str]) -> str:
    """`32 % [###-----]  0:32 left  ...` in the columns of the terminal but the last."""
    room = shutil.get_terminal_size().columns - 1
    start = f"{min(int(100 * share), 100):3d} %"
    line = ""
    for text in filter(None, texts):
        if len(start) + len(line) + len(text) + 2 > room:
            break
        line += f"  {text}"
    width = min(room - len(start) - len(line) - 1, _WIDEST) - 2
    if width + 2 < _NARROWEST:
        return f"{start}{line}"
    full = round(width * min(share, 1.0))
    return f"{start} [{'#' * full}{'-' * (width - full)}]{line}"


class _Above:
    """A standard stream while a bar is up."""

    def __init__(self, bar: Bar, stream: TextIO) -> None:
        self._bar, self._stream = bar, stream

    def write(self, text: str) -> int:
        return self._bar.write_above(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar on a terminal; one that never shows itself elsewhere."""
    bar = Bar(sys.stdout)
    with ExitStack() as scope:
        scope.callback(bar.end)
        if bar._up:
            scope.enter_context(redirect_stdout(_Above(bar, sys.stdout)))
            scope.enter_context(redirect_stderr(_Above(bar, sys.stderr)))
        _bars.append(bar)
        scope.callback(_bars.remove, bar)
        yield bar


def end_bars() -> None:
    """Take the bar away at once, before what is under way has come to its end."""
    for bar in _bars:
        bar.end()


@contextmanager
def progress_lines(total: float) -> Iterator[Callable[[float, str, str], None]]:
    """Yield step(amount, line, state): a line is printed, the bar goes on and says the state."""
    done = 0.0
    with progress_bar() as bar:

        def step(amount: float, line: str, state: str) -> None:
            nonlocal done
            done += amount
            if line:
                say(line)
            bar.show(done, total, state)

        yield step
