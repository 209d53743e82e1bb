"""Tasks in real processes, that real signals end, on this machine and on Dask's workers."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import deeds
import joblib
import psutil
import pytest

from cluster import dask_cluster
from vapipe import errors
from vapipe.cluster import describe_scheduler
from vapipe.executor import Cause, Limits, TaskFailed, run_tasks
from vapipe.isolation import IsolatedProcess

SEGFAULT, KILL = signal.SIGSEGV, signal.SIGKILL


def answers(function, tasks, **options):
    return dict(run_tasks(function, tasks, **options))


def reasons(found):
    """Number of the task -> what came of it, in words where it failed."""
    return {
        task[0]: answer.reason if isinstance(answer, TaskFailed) else answer
        for task, answer in found.items()
    }


def notes(folder):
    return [line.split() for line in (folder / "tries").read_text().splitlines()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture(params=["processes", "dask"])
def where(request):
    """Options of `run_tasks` for two tasks at once, on either engine."""
    if request.param == "processes":
        return {"n_jobs": 2}
    return {"scheduler": request.getfixturevalue("cluster").address}


# -- on both engines -------------------------------------------------------------------------------


def test_every_task_is_answered_once(where):
    assert Counter(run_tasks(deeds.double, range(9), **where)) == Counter(
        (n, 2 * n) for n in range(9)
    )
    assert answers(deeds.double, [], **where) == {}


def test_a_process_that_saw_its_device_fail_does_nothing_more(where):
    """In this process, too: the tasks behind the fault are done in others."""
    for options in (where, {"n_jobs": 1}):
        tasks = [(number, (2, 5)) for number in range(8)]
        found = list(run_tasks(deeds.lose_device, tasks, retries=0, **options))
        lost = {task[0] for task, answer in found if isinstance(answer, TaskFailed)}
        assert lost == {2, 5}
        if options == {"n_jobs": 1}:
            groups = [
                {answer[1] for task, answer in found if task[0] in part}
                for part in ((0, 1), (3, 4), (6, 7))
            ]
            assert [len(group) for group in groups] == [1, 1, 1]
            assert len(set.union(*groups)) == 3


def test_what_is_defined_where_it_is_used_is_sent_too(where):
    factor = 3
    assert answers(lambda number: factor * number, [1, 2], **where) == {1: 3, 2: 6}


@pytest.mark.parametrize("how", [SEGFAULT, KILL])
def test_only_the_task_that_kills_is_lost(tmp_path, where, how):
    tasks = [(number, (2,), how, str(tmp_path)) for number in range(6)]
    found = answers(deeds.die_at, tasks, **where)
    died = f"signal {int(how)}, {how.name}"
    assert reasons(found) == {0: 0, 1: 1, 2: died, 3: 3, 4: 4, 5: 5}
    assert found[tasks[2]].cause == Cause.DIED
    assert found[tasks[2]].attempts == 2
    tries = notes(tmp_path)
    assert Counter(number for number, _ in tries) == {**dict.fromkeys("01345", 1), "2": 2}
    assert tries[-1][0] == "2"  # the second try is the last, in a process of its own
    assert tries[-1][1] not in {pid for _, pid in tries[:-1]}
    if how == SEGFAULT:
        assert "in die_at" in found[tasks[2]].trace


def test_a_run_of_nothing_but_deaths_ends(tmp_path, where):
    tasks = [(number, (0, 1, 2), KILL, str(tmp_path)) for number in range(3)]
    assert set(reasons(answers(deeds.die_at, tasks, **where)).values()) == {"signal 9, SIGKILL"}
    assert len(notes(tmp_path)) == 6


def test_who_died_in_company_gets_a_chance_alone(tmp_path, where):
    found = answers(deeds.die_in_company, [(n, str(tmp_path)) for n in range(4)], **where)
    assert sorted(found.values()) == [0, 1, 2, 3]


def test_only_the_task_that_hangs_is_lost_and_it_is_told_where(tmp_path, where):
    """A limit of its own for each task; the one that hangs is tried twice and never waited out."""
    limits = Limits(lambda task: 1.0 if task[0] == 2 else 30.0)
    began = time.monotonic()
    tasks = [(n, 2, str(tmp_path)) for n in range(4)]
    found = answers(deeds.hang, tasks, limits=limits, **where)
    assert time.monotonic() - began < 20
    failure = found[tasks[2]]
    line = next(n for n, text in enumerate(Path(deeds.__file__).read_text().splitlines(), 1)
                if "time.sleep(61)" in text)  # fmt: skip
    assert reasons(found) == {
        **{number: number for number in (0, 1, 3)},
        2: f"timed out after 1 s in hang, deeds.py:{line}",
    }
    assert failure.cause == Cause.TIME
    assert "in wait_beside" in failure.trace  # other threads are told of, but are not to blame
    assert Counter(number for number, _ in notes(tmp_path)) == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_only_the_task_that_takes_too_much_memory_is_lost(where):
    limits = Limits(lambda task: 30.0, memory=300_000_000)
    tasks = [(n, 500_000_000) for n in range(3)]
    found = answers(deeds.hoard, tasks, limits=limits, retries=0, **where)
    assert found[tasks[1]].cause == Cause.MEMORY
    reason = found[tasks[1]].reason
    assert re.fullmatch(r"it took 0\.\d\d GB of memory, more than the 0\.30 GB allowed", reason)
    assert [found[tasks[0]], found[tasks[2]]] == [0, 2]


def test_a_worker_killed_while_it_sends_a_large_answer_costs_only_that_task(where):
    tasks = [(0, 1_000_000), (1, 400_000_000), (2, 1_000_000)]
    for _ in range(5):  # on a busy machine the kill may come when all is sent
        found = answers(deeds.die_while_sending, tasks, **where)
        if isinstance(found[tasks[1]], TaskFailed):
            break
    assert reasons({t: a if isinstance(a, TaskFailed) else len(a) for t, a in found.items()}) == {
        0: 1_000_000, 1: "signal 9, SIGKILL", 2: 1_000_000,
    }  # fmt: skip


def test_errors_are_answers_with_their_traceback(where):
    (failure,) = answers(deeds.blunder, [5], **where).values()
    assert (failure.cause, failure.reason, failure.attempts) == (Cause.ERROR, "ValueError: 5", 1)
    assert "in blunder" in failure.trace
    assert isinstance(failure.error, ValueError)
    (failure,) = answers(deeds.blunder_unsendably, [5], **where).values()
    assert failure.reason == "Unsendable: 5"
    assert failure.error is None
    (failure,) = answers(deeds.answer_unsendably, [5], **where).values()
    assert "cannot pickle" in failure.reason


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (3, 4)])
def test_a_task_is_tried_as_often_as_asked_and_every_try_is_told_of(
    tmp_path, where, retries, tries
):
    seen = []
    task = (0, (0,), KILL, str(tmp_path))
    told = {"on_attempt": lambda task, answer, number: seen.append((answer.attempts, number))}
    found = answers(deeds.die_at, [task], retries=retries, **told, **where)
    assert len(notes(tmp_path)) == tries == found[task].attempts
    assert seen == [(n, n) for n in range(1, tries + 1)]


def test_failures_of_a_chosen_kind_are_tried_again(where):
    """Those that a caller calls the task's own are not."""
    seen = []
    options = {**where, "on_attempt": lambda task, answer, number: seen.append(task)}
    answers(deeds.blunder, [1], retry_if=lambda failure: True, **options)
    assert seen == [1, 1]
    answers(deeds.leave, [7], retry_if=lambda failure: False, **options)
    assert seen == [1, 1, 7]


def test_what_is_raised_after_a_try_ends_the_run(where):
    def stop(task, answer, number):
        raise errors.CacheError("full")

    began = time.monotonic()
    with pytest.raises(errors.CacheError, match="full"):
        answers(deeds.nap, [0, 60, 60], on_attempt=stop, **where)
    assert time.monotonic() - began < 15


def alive(pid):
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def waiting(folder):
    return [path.stem for path in folder.glob("*.waits")]


def test_leaving_interrupts_what_runs_which_may_tidy_up(tmp_path, where):
    found = run_tasks(deeds.wait_for_the_end, [(n, 1, str(tmp_path)) for n in range(2)], **where)
    assert next(found)[1] == 0
    found.close()
    until = time.monotonic() + 5
    while any(map(alive, waiting(tmp_path))) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(waiting(tmp_path)) == 1
    assert waiting(tmp_path) == [path.stem for path in tmp_path.glob("*.tidy")]
    assert not any(map(alive, waiting(tmp_path)))


_PARENT = """
import deeds, json, os, signal, sys
from vapipe.executor import run_tasks
options = json.loads(sys.argv[2])
found = run_tasks(deeds.wait_for_the_end, [(n, 1, sys.argv[1]) for n in range(2)], **options)
next(found)
print("running", flush=True)
signal.pause()
"""


def descendants(pid):
    return psutil.Process(pid).children(recursive=True)


def test_5_s_after_a_parent_is_killed_no_process_of_it_lives(tmp_path, where, request):
    """Neither those that work or wait, nor those that look after resources."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", _PARENT, str(tmp_path), json.dumps(where)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "running\n"
        ours = descendants(parent.pid)
        if "scheduler" in where:  # the tasks' processes are those of the workers
            workers = request.getfixturevalue("cluster").workers()
            ours += [child for pid in workers for child in descendants(pid)]
            ours = [child for child in ours if "popen_loky" in " ".join(child.cmdline())]
        assert len(ours) >= 2
        parent.kill()
    gone, left = psutil.wait_procs(ours, timeout=5)
    assert left == []
    assert len(gone) == len(ours)


def test_5_s_after_a_dask_worker_is_killed_no_process_of_it_lives(tmp_path, cluster):
    found = run_tasks(
        deeds.wait_for_the_end, [(n, 1, str(tmp_path)) for n in range(2)], scheduler=cluster.address
    )
    next(found)
    ours = [child for pid in cluster.workers() for child in descendants(pid)]
    assert {str(child.pid) for child in ours} >= set(waiting(tmp_path))
    for pid in cluster.workers():
        os.kill(pid, KILL)
    _, left = psutil.wait_procs(ours, timeout=5)
    found.close()
    assert left == []


# -- on this machine -------------------------------------------------------------------------------


def test_one_job_stays_in_this_process():
    assert list(run_tasks(lambda _: os.getpid(), [0])) == [(0, os.getpid())]
    (failure,) = answers(deeds.blunder, [5]).values()
    assert failure.reason == "ValueError: 5"
    with pytest.raises(KeyboardInterrupt):
        answers(deeds.interrupt_yourself, [1])
    assert answers(os.getpid, [], limits=Limits()) == {}
    (other,) = answers(lambda _: os.getpid(), [0], limits=Limits()).values()
    assert other != os.getpid()  # which can be ended


def test_other_ends_have_a_cause_too():
    found = answers(deeds.leave, [7, 0], n_jobs=2)
    assert [found[n].reason for n in (7, 0)] == ["exit code 7", "exit code 0"]
    unnamed = signal.SIGRTMIN + 3
    (failure,) = answers(deeds.end_by, [int(unnamed)], n_jobs=2).values()
    assert failure.reason == f"signal {int(unnamed)}"


def test_processes_leave_a_request_to_end_to_their_parent():
    assert answers(deeds.end_yourself, [1, 2, 3], n_jobs=2) == {1: 1, 2: 2, 3: 3}


def test_a_process_that_hangs_and_does_not_hear_its_clock_is_killed(monkeypatch):
    monkeypatch.setattr("vapipe.isolation._OVERTIME_S", 0.5)
    limits = Limits(lambda task: 1.0)
    (failure,) = answers(deeds.stop_yourself, [1], limits=limits, retries=0).values()
    assert failure == TaskFailed(Cause.TIME, "timed out after 1 s")


def test_a_process_that_died_while_it_waited_costs_nothing():
    process = IsolatedProcess()
    try:
        for _ in range(3):
            pid = process.run(deeds.tell_pid, b"work", 10.0, None, lambda: True)
            os.kill(int(pid), KILL)
    finally:
        process.close()


def test_a_process_ends_when_it_waited_too_long():
    process = IsolatedProcess(idle_s=1)
    try:
        first = process.run(deeds.tell_pid, b"work", 10.0, None, lambda: True)
        until = time.monotonic() + 5
        while alive(first):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert process.run(deeds.tell_pid, b"work", 10.0, None, lambda: True) != first
    finally:
        process.close()


def test_a_process_that_grows_is_kept():
    """With psutil installed loky would replace it, and with it the networks that it has loaded."""
    found = answers(deeds.grow, range(3), limits=Limits())
    assert len(set(found.values())) == 1


def test_one_death_in_a_pool_of_joblib_loses_the_others(tmp_path):
    """Why every process is a pool of its own."""
    tasks = [(number, (2,), KILL, str(tmp_path)) for number in range(6)]
    pool = joblib.Parallel(2, return_as="generator_unordered")
    with pytest.raises(Exception, match=r"worker process .* unexpectedly terminated"):
        list(pool(joblib.delayed(deeds.die_at)(task) for task in tasks))


def test_every_error_of_vapipe_travels_between_processes():
    def kinds(kind):
        return [kind, *(below for each in kind.__subclasses__() for below in kinds(each))]

    for kind in kinds(errors.VapipeError):
        error = kind.__new__(kind, "what is wrong")
        error.path = "here"
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.path) == (kind, "what is wrong", "here")


# -- a cluster -------------------------------------------------------------------------------------


def test_a_scheduler_that_is_killed_ends_the_run_with_a_message(tmp_path):
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path, workers=1) as killed:
        found = run_tasks(deeds.nap, [0, 60], scheduler=killed.address)
        assert next(found) == (0, None)
        killed.scheduler.kill()
        message = "scheduler has gone away; what is finished stays"
        with pytest.raises(errors.SchedulerLostError, match=message):
            next(found)


def test_no_scheduler_is_one_message(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("vapipe.cluster._SCHEDULER_ANSWER_S", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(errors.SchedulerLostError, match="no Dask scheduler answers"):
            answers(deeds.double, [1], scheduler=address)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'vapipe\[cluster\]'"):
        describe_scheduler("tcp://127.0.0.1:9")
