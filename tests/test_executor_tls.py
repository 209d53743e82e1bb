"""A Dask cluster behind certificates: those who have them compute, others get a clear error."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")

WORK = """
import sys
from math import sqrt
from vapipe.executor import run_tasks
from vapipe.errors import SchedulerLostError
try:
    print(sorted(root for _, root in run_tasks(sqrt, [1, 4, 9], scheduler=sys.argv[1])))
except SchedulerLostError as error:
    print(error)
"""
PREFIX = "DASK_DISTRIBUTED__COMM__TLS__"


def certificates(folder):
    """An authority and a certificate that it signed; the settings of Dask that name them."""
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    for words in (
        (*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"),
        (*new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=node"),
        ("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-out", "cert.pem"),
    ):  # fmt: skip
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    names = {f"{PREFIX}CA_FILE": "ca.pem"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        names |= {f"{PREFIX}{role}__CERT": "cert.pem", f"{PREFIX}{role}__KEY": "key.pem"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The scheduler's address, and the settings with which it can be used."""
    folder = tmp_path_factory.mktemp("tls")
    settings = certificates(folder)
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    words = ["--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    words += ["--scheduler-file", str(folder / "scheduler.json")]
    environment = {**os.environ, **settings}
    scheduler = subprocess.Popen(
        [*dask, *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    address = ""
    while not address:
        line = scheduler.stderr.readline()
        assert line, "the scheduler has ended"
        address = next((word for word in line.split() if word.startswith("tls://")), "")
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "1",
         "--nthreads", "1", "--no-nanny", "--no-dashboard"],
        env=environment, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    yield address, settings
    for process in (worker, scheduler):
        process.kill()
        process.wait()


def compute(address, settings):
    environment = {name: each for name, each in os.environ.items() if not name.startswith("DASK_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, address],
        env={**environment, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_with_certificates_of_the_same_authority_the_workers_compute(cluster):
    address, settings = cluster
    assert compute(address, settings) == "[1.0, 2.0, 3.0]\n"


def test_without_them_there_is_an_error_that_says_what_is_needed(cluster, tmp_path):
    address, _ = cluster
    other = certificates(tmp_path)
    plain = address.replace("tls://", "tcp://")
    for where, settings in ((address, {}), (address, other), (plain, {})):
        said = compute(where, settings)
        assert said.startswith(f"--scheduler {where}: no Dask scheduler answers there ("), said
        assert "A tls:// address needs the certificates of Dask's configuration" in said
