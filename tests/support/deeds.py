"""Work for worker processes, which must find it by name: some of it ends them."""

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from vapipe.errors import DeviceError
from vapipe.progress import tell


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


def lose_device(task):
    """Number, numbers at which the device fails; the number and the process that got through."""
    number, deadly = task
    if number in deadly:
        raise DeviceError(f"device failed at {number}")
    return number, os.getpid()


def tell_steps(task):
    """Number, steps; tells of every step, and takes a while for it."""
    number, steps = task
    for step in range(1, steps + 1):
        tell(step, steps, f"of {number}")
        time.sleep(0.05)
    return number


def leave(number):
    os._exit(number)


def blunder(number):
    raise ValueError(number)


def wait_for_the_end(task):
    """Number, count, folder; number 0 returns once so many others wait, which note interrupts."""
    number, count, folder = task
    if number == 0:
        until = time.monotonic() + 30
        while len(list(Path(folder).glob("*.waits"))) < count and time.monotonic() < until:
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
        threading.Thread(target=wait_beside, daemon=True).start()
        time.sleep(61)
    return number


def wait_beside():
    time.sleep(62)


def nap(seconds):
    time.sleep(seconds)


def hoard(task):
    """Number, bytes; number 1 takes that much memory for a while."""
    number, size = task
    if number == 1:
        kept = bytearray(size)
        kept[::4096] = b"1" * len(kept[::4096])
        time.sleep(60)
    return number


def die_while_sending(task):
    """Number, size of the answer; number 1 is killed soon after it returned, while that is sent."""
    number, nbytes = task
    if number == 1:
        threading.Thread(target=_kill_after_return, args=(sys._getframe(),), daemon=True).start()
    return bytes(nbytes)


def _kill_after_return(frame):
    main = threading.main_thread().ident
    while any(each is frame for each, _ in traceback.walk_stack(sys._current_frames()[main])):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


def end_by(number):
    os.kill(os.getpid(), number)


def interrupt_yourself(number):
    raise KeyboardInterrupt


def stop_yourself(number):
    os.kill(os.getpid(), signal.SIGSTOP)


def tell_pid(work):
    return str(os.getpid()).encode()


_kept = []


def grow(number):
    """Takes 400 MB more each time; tells its process."""
    time.sleep(1.1)  # loky looks once per second
    block = bytearray(400_000_000)
    block[::4096] = b"1" * len(block[::4096])
    _kept.append(block)
    return os.getpid()


class Unsendable(Exception):
    def __init__(self, number):
        super().__init__(number)
        self.lock = threading.Lock()


def blunder_unsendably(number):
    raise Unsendable(number)


def answer_unsendably(number):
    return threading.Lock()


def end_yourself(number):
    """A request to end, as a batch system sends to every process of a job."""
    os.kill(os.getpid(), signal.SIGTERM)
    return number


def cut_or_die(store, task):
    """In place of what cuts faces for contact sheets: `gone` ends its process."""
    from vapipe.reports import contact_sheets

    if task.facts.id == "gone":
        os.kill(os.getpid(), signal.SIGSEGV)
    return contact_sheets._cut(store, task)
