"""Work for worker processes, which must find it by name: some of it ends them."""

import os
import signal
import time
from pathlib import Path


def double(number):
    return 2 * number


def die_at(task):
    """Number, deadly numbers, signal, folder; every try is noted in the folder."""
    number, deadly, how, folder = task
    with (Path(folder) / "tries").open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    if number in deadly:
        os.kill(os.getpid(), how)
    return number


def die_in_company(task):
    """Number, folder; number 0 is killed the first time, as by a system short of memory."""
    number, folder = task
    mark = Path(folder) / "killed"
    if number == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave(number):
    os._exit(number)


def blunder(number):
    raise ValueError(number)


def wait_for_the_end(task):
    """Number, folder; number 0 returns once two others wait, which leave a file if interrupted."""
    number, folder = task
    if number == 0:
        until = time.monotonic() + 30
        while len(list(Path(folder).glob("*.waits"))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return 0
    (Path(folder) / f"{os.getpid()}.waits").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (Path(folder) / f"{os.getpid()}.tidy").touch()
        raise


def hang(task):
    """Number, hanging number, folder; every try is noted in the folder."""
    number, hanging, folder = task
    with (Path(folder) / "tries").open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    if number == hanging:
        time.sleep(60)
    return number


def hoard(task):
    """Number, bytes; number 1 takes that much memory for a while."""
    number, size = task
    if number == 1:
        kept = bytearray(size)
        kept[::4096] = b"1" * len(kept[::4096])
        time.sleep(60)
    return number


def end_yourself(number):
    """A request to end, as a batch system sends to every process of a job."""
    os.kill(os.getpid(), signal.SIGTERM)
    return number
