"""A file is there complete or not at all."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import CacheError
from vapipe.cache.durable import (
    atomic_file,
    canonical_json,
    dead_partials,
    digest_file,
    safe_name,
    write_bytes,
    write_json,
)


def test_content_appears_under_the_final_name_only(tmp_path):
    target = tmp_path / "deep" / "file"
    write_bytes(target, b"abc")
    assert target.read_bytes() == b"abc"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_error_leaves_the_old_content_and_no_partial(tmp_path):
    target = tmp_path / "file"
    write_bytes(target, b"old")

    def overwrite():
        with atomic_file(target) as partial:
            partial.write_bytes(b"new")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        overwrite()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_a_refusing_file_system_is_reported_with_the_path(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CacheError, match=r"cannot write .*file/below.*what was there before is"):
        write_bytes(tmp_path / "file" / "below", b"x")


WRITER = """
import os, pathlib, sys, time
from vapipe.cache.durable import atomic_file
with atomic_file(pathlib.Path(sys.argv[1])) as partial:
    partial.write_bytes(b"x")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def writer(target, *before):
    """Another process that is at a file, optionally started by another command."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", WRITER, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if process.stdout.readline() != "writing\n":
                pytest.skip("a PID namespace needs privileges")
            yield process
        finally:
            process.kill()


def test_partials_of_dead_writers_are_told_from_those_of_living_ones(tmp_path):
    with writer(tmp_path / "theirs") as other, atomic_file(tmp_path / "mine") as mine:
        (theirs,) = set(tmp_path.iterdir()) - {mine}
        assert list(dead_partials(tmp_path)) == []
        other.kill()
        other.wait()
        assert list(dead_partials(tmp_path)) == [theirs]


def test_a_living_writer_in_another_container_of_the_same_host_name_keeps_its_file(tmp_path):
    """Its process number means nothing here."""
    with writer(tmp_path / "theirs", "unshare", "--pid", "--fork", "--kill-child") as other:
        assert list(dead_partials(tmp_path)) == []
        other.communicate("go on\n")
    assert (tmp_path / "theirs").read_bytes() == b"x"


def test_writers_and_those_who_tidy_up_never_disturb_each_other(tmp_path):
    """Also in the moment between making a file and locking it."""

    def tidy():
        while not done.is_set():
            for path in dead_partials(tmp_path):
                path.unlink()

    done = threading.Event()
    tidier = threading.Thread(target=tidy)
    tidier.start()
    try:
        for number in range(200):
            write_bytes(tmp_path / str(number), b"x")
    finally:
        done.set()
        tidier.join()
    assert len(list(tmp_path.iterdir())) == 200


def test_json_is_readable_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": 1\n}\n'


def test_digest_of_a_tail_is_that_of_the_tail_alone(tmp_path):
    (tmp_path / "whole").write_bytes(b"headtail")
    (tmp_path / "tail").write_bytes(b"tail")
    assert digest_file(tmp_path / "whole", start=4) == digest_file(tmp_path / "tail")


def test_equal_values_have_equal_canonical_json():
    assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json({"a": [1, 2], "b": 1})


@given(st.text(min_size=1, max_size=300))
def test_no_identifier_names_a_path_outside_its_folder(identifier):
    name = safe_name(identifier)
    assert len(name.encode()) <= 113
    assert "/" not in name
    assert not name.startswith(".")


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_identifiers_have_names_that_differ_even_without_case(one, other):
    assert (safe_name(one).lower() == safe_name(other).lower()) == (one == other)
