"""What tests of downloads share: a file, the server that has it, and how it is fetched."""

import hashlib
import random

import pytest
from weight_server import serving

from vapipe.errors import WeightsError
from vapipe.extract.weights.fetch import FetchPolicy, fetch_weights
from vapipe.extract.weights.table import WEIGHT_TABLE

CONTENT = random.Random(1).randbytes(1_500_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = FetchPolicy(attempts=3, timeout_s=0.4, pause_s=0.01)


@pytest.fixture
def direct(monkeypatch):
    """Nothing stands between this machine and itself."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        running.etag = '"one"'
        yield running


@pytest.fixture
def listed(monkeypatch):
    """Put an entry into the table for one test."""

    def put(entry):
        monkeypatch.setitem(WEIGHT_TABLE, entry.name, entry)
        return entry

    return put


def fetch(folder, **options):
    return fetch_weights("sample", folder=folder, **({"policy": QUICK} | options))


def refusal(folder, kind=WeightsError, **options):
    with pytest.raises(kind) as caught:
        fetch(folder, **options)
    return str(caught.value)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))
