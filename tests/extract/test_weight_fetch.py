"""A download ends with the right file or a message; nothing that interrupts it costs the rest.

The server is real and on this machine; so are the processes that are killed.
"""

import hashlib
import io
import os
import random
import socket
import time

import pytest
import torch
from fetching import CONTENT, DIGEST, fetch, names, refusal
from weight_server import entry_of, serving

from vapipe.extract.weights.fetch import FetchPolicy
from vapipe.extract.weights.files import find_weights, read_pin

pytestmark = pytest.mark.usefixtures("direct")


def pca_file(scale=1.0):
    """The bytes of a real, small checkpoint."""
    data = io.BytesIO()
    state = {"pca_eigen_vectors": scale * torch.eye(128), "pca_means": torch.zeros(128)}
    torch.save(state, data)
    return data.getvalue()


def test_a_file_is_downloaded_checked_and_recorded(tmp_path, server, listed):
    listed(entry_of(server))
    steps = []
    found = fetch(tmp_path / "new", progress=lambda *step: steps.append(step))
    assert found.path.read_bytes() == CONTENT
    assert (found.sha256, found.nbytes) == (DIGEST, len(CONTENT))
    assert names(tmp_path / "new") == ["sample.bin", "sample.pin.json"]
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert find_weights("sample", folder=tmp_path / "new") == found


def test_the_prefix_of_a_digest_is_enough_and_is_checked(tmp_path, server, listed):
    listed(entry_of(server, sha256=DIGEST[:8]))
    assert fetch(tmp_path).sha256 == DIGEST
    listed(entry_of(server, sha256="00000000"))
    assert f"its SHA-256 is {DIGEST}, expected 00000000" in refusal(tmp_path)


def test_only_a_file_that_is_not_right_is_downloaded_again(tmp_path, server, listed):
    listed(entry_of(server))
    path = fetch(tmp_path).path
    fetch(tmp_path)
    assert server.requests == [None]
    path.write_bytes(CONTENT[:1000])
    assert fetch(tmp_path).path.read_bytes() == CONTENT


def test_cut_connections_are_continued_where_they_stopped(tmp_path, server, listed):
    listed(entry_of(server))
    server.cuts = [400_000, 500_000]
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=400000-", "bytes=900000-"]


@pytest.mark.parametrize("published", [True, False])
def test_a_date_or_a_digest_is_enough_to_continue(tmp_path, server, listed, published):
    server.content = content = pca_file()
    digest = hashlib.sha256(content).hexdigest() if published else None
    listed(entry_of(server, sha256=digest))
    server.etag = None
    server.modified = "Mon, 01 Jan 2024 00:00:00 GMT" if digest is None else None
    server.cuts = [30_000]
    assert fetch(tmp_path).path.read_bytes() == content
    assert server.requests == [None, "bytes=30000-"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_anything_that_shows_a_change_it_starts_over(tmp_path, server, listed, etag):
    server.content = content = pca_file()
    listed(entry_of(server, sha256=None))
    server.etag = etag
    server.cuts = [30_000]
    assert fetch(tmp_path).path.read_bytes() == content
    assert server.requests == [None, None]


def test_a_server_without_ranges_sends_everything_again(tmp_path, server, listed):
    listed(entry_of(server))
    server.ranges = False
    server.cuts = [400_000]
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=400000-"]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("length", [300_000, 1_500_000, 1_800_000])
def test_parts_of_different_files_are_never_joined(tmp_path, server, listed, heeds, length):
    listed(entry_of(server))
    server.cuts = [400_000]
    refusal(tmp_path, policy=FetchPolicy(attempts=1))
    server.content = random.Random(2).randbytes(length)
    server.etag, server.heeds_if_range = '"two"', heeds
    listed(entry_of(server))
    assert fetch(tmp_path).path.read_bytes() == server.content
    assert len(server.requests) == (2 if heeds else 3)


def test_a_complete_download_that_was_not_yet_renamed_is_used(tmp_path, server, listed):
    listed(entry_of(server))
    server.cuts = [400_000]
    refusal(tmp_path, policy=FetchPolicy(attempts=1))
    (tmp_path / "sample.bin.partial").write_bytes(CONTENT)
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None]


def test_a_partial_file_of_another_place_is_not_continued(tmp_path, server, listed):
    listed(entry_of(server))
    server.cuts = [400_000]
    refusal(tmp_path, policy=FetchPolicy(attempts=1))
    listed(entry_of(server, url=server.url + "?moved"))
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, None]


def test_an_end_without_length_is_found_by_the_digest(tmp_path, server, listed):
    listed(entry_of(server))
    server.says_length = False
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    (tmp_path / "sample.bin").unlink()
    server.cuts = [400_000]
    assert "(400000 bytes)" in refusal(tmp_path)


def test_a_wrong_file_is_removed_and_both_digests_are_named(tmp_path, server, listed):
    listed(entry_of(server, sha256="ab" * 32))
    message = refusal(tmp_path)
    assert message == (
        f"{server.url} did not give the weights sample ({len(CONTENT)} bytes): its SHA-256 is "
        f"{DIGEST}, expected {'ab' * 32}. The download was removed; try again. If it stays so, "
        "the public file has changed or something on the way alters it: download "
        f"{server.url} elsewhere, then `vapipe weights add sample FILE`"
    )
    assert names(tmp_path) == []


def test_without_a_public_digest_the_first_file_is_pinned(tmp_path, server, listed):
    server.content = pca_file()
    listed(entry_of(server, sha256=None))
    digest = hashlib.sha256(server.content).hexdigest()
    assert fetch(tmp_path).sha256 == digest
    assert read_pin("sample", tmp_path).sha256 == digest
    (tmp_path / "sample.bin").unlink()
    server.content = pca_file(2.0)
    assert f"expected {digest}" in refusal(tmp_path)


def test_without_a_public_digest_a_page_is_not_taken_for_weights(tmp_path, server, listed):
    server.content = b"<html>please log in</html>"
    listed(entry_of(server, sha256=None))
    assert "not a readable PyTorch checkpoint (26 bytes" in refusal(tmp_path)
    assert names(tmp_path) == []


@pytest.fixture
def secure(server, tmp_path, monkeypatch):
    """A server that speaks https, trusted by clients of this test."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(server.encrypt(folder)))
    return server


def test_a_redirect_from_https_to_http_is_refused(tmp_path, secure, listed):
    listed(entry_of(secure))
    with serving(CONTENT) as other:
        secure.redirect = other.url, {}
        said = refusal(tmp_path / "weights")
        assert f"{secure.url} leads to {other.url}, where anybody on the way can change" in said
        assert other.requests == []
    secure.redirect = secure.url.replace("weights.bin", "storage"), {}
    assert fetch(tmp_path / "weights").path.read_bytes() == CONTENT


def test_a_digest_that_comes_with_the_redirect_is_compared(tmp_path, secure, listed):
    secure.content = content = pca_file()
    listed(entry_of(secure, sha256=None))
    storage = secure.url.replace("weights.bin", "storage")
    secure.redirect = storage, {"X-Linked-ETag": f'"{"0" * 64}"'}
    assert f"expected {'0' * 64}" in refusal(tmp_path / "weights")
    digest = hashlib.sha256(content).hexdigest()
    secure.redirect = storage, {"X-Linked-ETag": f'"{digest}"'}
    assert fetch(tmp_path / "weights").sha256 == digest


def test_without_a_public_digest_nothing_is_fetched_in_the_open(tmp_path, server, listed):
    listed(entry_of(server, sha256=None, url="http://weights.example/x.bin"))
    said = refusal(tmp_path)
    assert "no public digest, and http://weights.example/x.bin is not https" in said


@pytest.mark.parametrize("record", ["", "{", "[]", "null", '{"url": 1}', '{"x": 1}', "\ud800"])
def test_a_broken_record_of_a_partial_file_starts_anew(tmp_path, server, listed, record):
    listed(entry_of(server))
    server.cuts = [400_000]
    server.statuses = [200, 404]
    refusal(tmp_path)
    (path,) = tmp_path.glob("*.partial.json")
    path.write_bytes(record.encode("utf-8", "surrogatepass"))
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests[-1] is None


def test_what_the_server_does_not_have_is_an_error_at_once(tmp_path, server, listed):
    listed(entry_of(server))
    server.statuses = [404]
    assert refusal(tmp_path) == (
        f"{server.url}: the server answered 404 Not Found. To go on without it: download "
        f"{server.url} elsewhere, then `vapipe weights add sample FILE`"
    )
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(tmp_path, server, listed):
    listed(entry_of(server))
    server.statuses = [503, 429]
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    server.statuses = [500] * 3
    (tmp_path / "sample.bin").unlink()
    message = refusal(tmp_path)
    assert "the server answered 500 Internal Server Error, after 3 attempts" in message


def test_a_silent_server_is_given_up_and_what_came_is_kept(tmp_path, server, listed):
    listed(entry_of(server))
    server.before_gate = 200_000
    server.gate.clear()
    began = time.monotonic()
    message = refusal(tmp_path, policy=FetchPolicy(attempts=2, timeout_s=0.3, pause_s=0.01))
    assert time.monotonic() - began < 5
    host = server.url.split("/")[2]
    assert f"nothing came from {host} for 0.3 s, after 2 attempts" in message
    kept = (tmp_path / "sample.bin.partial").stat().st_size
    assert f"; {kept} bytes are kept, `vapipe weights fetch sample` continues" in message
    assert kept >= 200_000
    server.gate.set()
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests[-1] == f"bytes={kept}-"


def test_a_port_where_nobody_listens_is_named(tmp_path, server, listed):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}/file"
        listed(entry_of(server, url=url))
        message = refusal(tmp_path)
    assert message.startswith(f"{url}: 127.0.0.1:{port} refuses the connection. To go on")


def test_a_name_that_is_not_found_suggests_being_offline(tmp_path, server, listed):
    listed(entry_of(server, url="http://nowhere.invalid/file"))
    message = refusal(tmp_path)
    assert "the name nowhere.invalid is not found; this machine may be offline. To go on" in message
    assert "`vapipe weights add sample FILE`" in message


def test_something_that_does_not_speak_http_is_named(tmp_path, server, listed):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        listed(entry_of(server, url=f"http://127.0.0.1:{port}/file"))
        pid = os.fork()
        if pid == 0:
            connection, _ = mute.accept()
            connection.recv(1000)
            connection.sendall(b"hello, this is not HTTP\r\n\r\n")
            connection.close()
            os._exit(0)
        message = refusal(tmp_path, policy=FetchPolicy(attempts=1, timeout_s=2))
        os.waitpid(pid, 0)
    assert f"the connection to 127.0.0.1:{port} failed (BadStatusLine(" in message


def test_weights_without_public_location_are_to_be_added(tmp_path, server, listed):
    listed(entry_of(server, url=None))
    assert refusal(tmp_path) == (
        "the weights sample cannot be fetched (a test); add your file: "
        "`vapipe weights add sample FILE`"
    )
