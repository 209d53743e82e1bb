"""A real HTTP server on this machine for downloads: ranges, cut connections, silence, errors."""

import hashlib
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vapipe.extract.weights.table import WeightEntry

PIECE = 1 << 15


class WeightServer(ThreadingHTTPServer):
    """Serves `content` under every path; the attributes say how well.

    `requests` has the Range header of every request. `cuts` and `statuses` are used up one per
    request: bytes after which the connection is closed, and answers instead of the file.
    `gate`, while it is cleared, holds every answer back after `before_gate` bytes.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.etag: str | None = None
        self.modified: str | None = None
        self.ranges = True
        self.heeds_if_range = True
        self.says_length = True
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.before_gate = 0
        self.gate = threading.Event()
        self.gate.set()
        self.requests: list[str | None] = []
        self.scheme = "http"
        self.redirect: tuple[str, dict[str, str]] | None = None  # where to, and more headers

    def encrypt(self, folder: Path) -> Path:
        """Speak https from now on; the authority that clients must trust."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem",
             "-out", "cert.pem", "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"
        return folder / "cert.pem"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/weights.bin"

    def handle_error(self, request, client_address):
        """Clients that were killed are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: WeightServer

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if server.redirect and self.path == "/weights.bin":
            self.send_response(302)
            self.send_header("Location", server.redirect[0])
            for name, value in server.redirect[1].items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.statuses:
            status = server.statuses.pop(0)
            if status != 200:
                self.send_error(status)
                return
        start = self._start(asked)
        if start is not None and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            last, total = len(server.content) - 1, len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{last}/{total}")
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self._send(body[:cut])
        self.close_connection = True

    def _start(self, asked):
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        if not (match and self.server.ranges):
            return None
        condition = self.headers.get("If-Range") if self.server.heeds_if_range else None
        if condition not in (None, self.server.etag, self.server.modified):
            return None
        return int(match[1])

    def _send(self, body):
        gate = self.server.before_gate
        for position in range(0, len(body), PIECE):
            if position >= gate:
                self.server.gate.wait()
            self.wfile.write(body[position : position + PIECE])

    def log_message(self, *_):
        pass


@contextmanager
def serving(content: bytes) -> Iterator[WeightServer]:
    server = WeightServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def entry_of(server: WeightServer, **changes) -> WeightEntry:
    """A table entry for the file of a server, with its digest."""
    facts = {
        "name": "sample",
        "architecture": "vggish-pca",
        "file": "sample.bin",
        "url": server.url,
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "nbytes": len(server.content),
        "licence": "none",
        "source": "a test",
    }
    return WeightEntry(**(facts | changes))
