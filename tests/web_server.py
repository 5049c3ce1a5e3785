"""A web server on the loopback that shows a folder, answers ranges of bytes, and misbehaves when it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WebServer(ThreadingHTTPServer):
    """`faults`: part of a path -> a status, or "cut", "short" (a whole answer, too short) or "no ranges"."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: dict[str, int | str] = {}
        self.requests: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: WebServer

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_PUT(self) -> None:
        """Refuse, whatever is to be put."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Range", "")))
        fault = next((fault for part, fault in self.server.faults.items() if part in self.path), None)
        file = self.server.folder / self.path.lstrip("/")
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if span and file.is_file() and int(span[1] or 0) >= file.stat().st_size:
            fault = 416
        if isinstance(fault, int) or not file.is_file():
            self.send_response(fault if isinstance(fault, int) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        n, status = file.stat().st_size, 200
        first, last = 0, n - 1
        if span and fault != "no ranges":
            first, last = (int(span[1]), min(int(span[2] or n - 1), n - 1)) if span[1] else (n - int(span[2]), n - 1)
            status = 206
        with file.open("rb") as stream:
            stream.seek(first)
            data = stream.read(last + 1 - first)
        if fault == "short" and has_body:
            data = data[:-1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{n}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", formatdate(file.stat().st_mtime, usegmt=True))
        self.send_header("ETag", f'"{file.stat().st_mtime_ns:x}"')
        self.end_headers()
        if has_body:
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault == "cut":
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    server = WebServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
