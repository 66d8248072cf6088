"""A web server for tests of downloads: honest about ranges and ETags, until told to fail."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler", bytes], bool]
"""Answers a request in its own way; False leaves it to the server."""


@dataclass
class Request:
    path: str
    headers: dict[str, str]


@dataclass
class Web:
    """What is served, what will go wrong (one fault a request, in order), and what was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0

    def asked(self, header: str) -> list[str | None]:
        return [request.headers.get(header.lower()) for request in self.requests]


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.web.requests.append(Request(self.path, headers))
        self.web.open_now += 1
        self.web.open_most = max(self.web.open_most, self.web.open_now)
        content = self.web.files.get(self.path, b"")
        try:
            if not (self.web.faults and self.web.faults.pop(0)(self, content)):
                self.answer(content)
        except OSError:
            self.close_connection = True  # the client left
        finally:
            self.web.open_now -= 1

    def answer(self, content: bytes, mark: str | None = None) -> None:
        """What a good server says."""
        mark = mark or etag(content)
        if self.path not in self.web.files:
            self.send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers.get("If-None-Match") == mark:
            self.send(304, None, ETag=mark)
        elif (span := self.headers.get("Range")) and self.headers.get("If-Range") == mark:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            part = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], ETag=mark, Content_Range=part)
        elif "gzip" in self.headers.get("Accept-Encoding", "") and self.path.endswith(".json"):
            self.send(200, gzip.compress(content), ETag=mark, Content_Encoding="gzip")
        else:
            self.send(200, content, ETag=mark)

    def send(self, status: int, body: bytes | None, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments: Any) -> None:
        """Keep the tests' output clean."""


def refuses(status: int, **headers: Any) -> Fault:
    def fault(handler: Handler, content: bytes) -> bool:
        handler.send(status, b"no", **headers)
        return True

    return fault


def breaks_off(
    after: int,
    mark: str | None = None,
    stall: float = 0.0,
    until: threading.Event | None = None,
) -> Fault:
    """Promises all of what is asked for and sends `after` bytes of it.

    It falls silent for `stall` seconds, or until something happens, before it hangs up.
    """

    def fault(handler: Handler, content: bytes) -> bool:
        real, handler.wfile = handler.wfile, _Limited(handler.wfile, after)  # type: ignore[assignment]
        handler.answer(content, mark)
        handler.wfile = real
        if until is not None:
            until.wait(60)
        elif stall:
            threading.Event().wait(stall)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return fault


class _Limited:
    """Lets the headers through and `left` bytes of the body."""

    def __init__(self, real: Any, left: int) -> None:
        self._real, self._left, self._body = real, left, False

    def write(self, data: bytes) -> None:
        if self._body:
            data, self._left = data[: self._left], max(0, self._left - len(data))
        self._body = self._body or data.endswith(b"\r\n\r\n")
        self._real.write(data)

    def flush(self) -> None:
        self._real.flush()


@contextmanager
def web_server() -> Iterator[Web]:
    handler = type("OwnHandler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        handler.web = web  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
