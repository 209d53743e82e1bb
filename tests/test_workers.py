"""Worker processes: real ones, that real signals end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import deeds
import pytest

from vapipe.workers import Crew, Death, Limits, open_engine

SEGFAULT, KILL = signal.SIGSEGV, signal.SIGKILL


def answers(engine, work, tasks):
    return dict(engine(work, tasks))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_answered_once(jobs):
    with open_engine(jobs) as engine:
        assert Counter(engine(deeds.double, range(9))) == Counter((n, 2 * n) for n in range(9))
        assert answers(engine, deeds.double, []) == {}
        assert answers(engine, deeds.double, [4]) == {4: 8}


def test_one_job_stays_in_this_process():
    with open_engine(1) as engine:  # a local function could not be sent to another
        assert list(engine(lambda _: os.getpid(), [0])) == [(0, os.getpid())]


@pytest.mark.parametrize("how", [SEGFAULT, KILL])
def test_only_the_task_that_kills_is_lost(tmp_path, how):
    tasks = [(number, (2,), how, str(tmp_path)) for number in range(6)]
    with open_engine(2) as engine:
        found = answers(engine, deeds.die_at, tasks)
    assert {task[0]: answer for task, answer in found.items()} == {
        **{number: number for number in (0, 1, 3, 4, 5)},
        2: Death(f"signal {int(how)}, {how.name}"),
    }
    tries = [line.split() for line in (tmp_path / "tries").read_text().splitlines()]
    assert Counter(number for number, _ in tries) == {**dict.fromkeys("01345", 1), "2": 2}
    assert tries[-1][0] == "2"  # the second try is the last, in a process of its own
    assert tries[-1][1] not in {pid for _, pid in tries[:-1]}


def test_a_run_of_nothing_but_deaths_ends(tmp_path):
    tasks = [(number, (0, 1, 2), KILL, str(tmp_path)) for number in range(3)]
    with open_engine(2) as engine:
        found = answers(engine, deeds.die_at, tasks)
    assert list(found.values()) == [Death("signal 9, SIGKILL")] * 3
    assert len((tmp_path / "tries").read_text().splitlines()) == 6


def test_who_died_in_company_gets_a_chance_alone(tmp_path):
    with open_engine(2) as engine:
        found = answers(engine, deeds.die_in_company, [(n, str(tmp_path)) for n in range(4)])
    assert sorted(found.values()) == [0, 1, 2, 3]


def test_other_ends_have_a_cause_too(capfd):
    with open_engine(2) as engine:
        assert answers(engine, deeds.leave, [7]) == {7: Death("exit code 7")}
        assert answers(engine, deeds.blunder, [5]) == {5: Death("exit code 1")}
        assert answers(engine, deeds.leave, [0]) == {0: Death("exit code 0")}
    assert "ValueError: 5" in capfd.readouterr().err


def test_a_signal_without_a_name_has_its_number(tmp_path):
    unnamed = signal.SIGRTMIN + 3
    with open_engine(2) as engine:
        found = answers(engine, deeds.die_at, [(0, (0,), int(unnamed), str(tmp_path))])
    assert list(found.values()) == [Death(f"signal {int(unnamed)}")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_the_task_that_hangs_is_lost(tmp_path, jobs):
    """A limit of its own for each task; the one that hangs is tried twice and never waited out."""
    limits = Limits(lambda task: 1.0 if task[0] == 2 else 30.0)
    began = time.monotonic()
    with open_engine(jobs, limits=limits) as engine:
        found = answers(engine, deeds.hang, [(n, 2, str(tmp_path)) for n in range(4)])
    assert time.monotonic() - began < 15
    assert {task[0]: answer for task, answer in found.items()} == {
        **{number: number for number in (0, 1, 3)},
        2: Death("timed out after 1 s"),
    }
    tries = Counter(line.split()[0] for line in (tmp_path / "tries").read_text().splitlines())
    assert tries == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_only_the_task_that_takes_too_much_memory_is_lost():
    limits = Limits(lambda task: 30.0, memory=300_000_000)
    with open_engine(2, limits=limits, retries=0) as engine:
        found = answers(engine, deeds.hoard, [(n, 500_000_000) for n in range(3)])
    deaths = [answer.cause for answer in found.values() if isinstance(answer, Death)]
    assert len(deaths) == 1
    assert re.fullmatch(r"it took 0\.\d\d GB of memory, more than the 0\.30 GB allowed", deaths[0])
    assert sorted(a for a in found.values() if not isinstance(a, Death)) == [0, 2]


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (3, 4)])
def test_a_task_that_kills_is_tried_as_often_as_asked(tmp_path, retries, tries):
    with open_engine(2, retries=retries) as engine:
        found = answers(engine, deeds.die_at, [(0, (0,), KILL, str(tmp_path))])
    assert list(found.values()) == [Death("signal 9, SIGKILL")]
    assert len((tmp_path / "tries").read_text().splitlines()) == tries


def test_workers_leave_a_request_to_end_to_their_parent():
    with open_engine(2) as engine:
        assert answers(engine, deeds.end_yourself, [1, 2, 3]) == {1: 1, 2: 2, 3: 3}


def test_a_worker_that_died_idle_costs_nothing():
    crew = Crew(2)
    try:
        assert answers(crew.run, deeds.double, [1]) == {1: 2}
        (idle,) = crew._idle
        idle._process.kill()
        idle._process.join()
        assert answers(crew.run, deeds.double, [2]) == {2: 4}
    finally:
        crew.dismiss()


def test_leaving_interrupts_the_workers_which_may_tidy_up(tmp_path):
    with open_engine(3) as engine:
        found = engine(deeds.wait_for_the_end, [(number, str(tmp_path)) for number in range(3)])
        assert next(found)[1] == 0
    waiting, tidy = (sorted(p.stem for p in tmp_path.glob(f"*.{end}")) for end in ("waits", "tidy"))
    assert waiting == tidy
    assert len(waiting) == 2
    assert not any(map(alive, waiting))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


_PARENT = """
import deeds, os, signal, sys
from vapipe.workers import open_engine
with open_engine(3) as engine:
    next(engine(deeds.wait_for_the_end, [(number, sys.argv[1]) for number in range(3)]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(deeds.__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", _PARENT, str(tmp_path)], env=environment, check=False
    )
    assert done.returncode == -KILL
    workers = [path.stem for path in tmp_path.glob("*.waits")]
    assert len(workers) == 2
    until = time.monotonic() + 10
    while any(map(alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.05)
