"""Runs commands of `vapipe` in a terminal of so many columns, and knows what stands in it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from children import FORKS

from vapipe.cli import main

WAIT_S = 120


def _run(words: Sequence[str], terminal: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    keyboard = os.open(terminal, os.O_RDWR)  # becomes the controlling one
    for number in (0, 1, 2):
        os.dup2(keyboard, number)
    os.environ["TERM"] = "xterm"
    os.environ.pop("COLUMNS", None)  # which the tests' own process may have from elsewhere
    main(list(words), prog_name="vapipe")


@dataclass(frozen=True)
class Shown:
    """What a command left.

    Attributes:
        code: exit code.
        raw: all that the terminal received.
        lines: what one sees at the end.
        bars: every line that was drawn to be cleared again.
    """

    code: int
    raw: str
    lines: list[str]
    bars: list[str]


def show(
    words: Sequence[object], columns: int = 80, interrupt: Callable[[str], bool] | None = None
) -> Shown:
    """Run a command to its end; Ctrl-C is typed once `interrupt`, of all received, says so."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = FORKS.Process(target=_run, args=([str(word) for word in words], os.ttyname(slave)))
    process.start()
    received: list[bytes] = []

    def read() -> None:
        typed = interrupt is None
        while True:
            try:
                content = os.read(master, 1 << 16)
            except OSError:  # nobody has it open any more
                return
            received.append(content)
            if not typed and interrupt and interrupt(b"".join(received).decode()):
                typed = True
                os.write(master, b"\x03")

    reader = threading.Thread(target=read)
    reader.start()
    process.join(WAIT_S)
    if process.is_alive():
        process.kill()
        process.join()
    os.close(slave)
    reader.join()
    os.close(master)
    assert process.exitcode is not None
    raw = b"".join(received).decode()
    bars = re.findall(r"\x1b\[K([^\r\n\x1b]+)\r(?!\n)", raw)
    return Shown(process.exitcode, raw, screen(raw, columns), bars)


def screen(raw: str, columns: int) -> list[str]:
    """The lines that stand in a terminal that received this."""
    lines, x = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", raw):
        if part == "\x1b[K":
            lines[-1] = lines[-1][:x]
        elif part == "\r":
            x = 0
        elif part == "\n":
            lines.append("")
            x = 0
        else:
            assert part >= " ", f"nothing else is expected here: {part!r}"
            if x == columns:
                lines.append("")
                x = 0
            lines[-1] = lines[-1][:x].ljust(x) + part + lines[-1][x + 1 :]
            x += 1
    return [line.rstrip() for line in lines]
