"""What the launcher tells of the server it runs: health, figures, and a file for the gateway.

A thread asks TorchServe's management API four times a second whether a worker is ready, so that,
also on a busy machine, the answer is never older than the two seconds that the gateway promises.
It is told in three ways:

    GET /health     200 while a worker is ready, else 503
    GET /stats      TorchServe's own counters, read from its metrics endpoint when asked
    READY_FILE      exists while a worker is ready; nginx looks at it on every pick

All on the loopback interface; clients reach the first two through the gateway.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infrastructure.errors import ServerError
from infrastructure.readiness import ModelStatus, model_status
from infrastructure.settings import LOOPBACK, Ports

_POLL_S = 0.25
# A management API that does not answer in this time has no ready worker, as far as we can tell.
_ASK_TIMEOUT_S = 1.0
_SAMPLE = re.compile(r"^(?P<name>[A-Za-z_]\w*)(?:\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)
_REQUESTS = "ts_inference_requests_total"
_LATENCY_US = "ts_inference_latency_microseconds"
_QUEUE_US = "ts_queue_latency_microseconds"


class StatusServer:
    """Knows whether a worker is ready, until `close`; also a context manager.

    Args:
        ports: where TorchServe can be asked, and where to answer.
        ready_file: a file to keep while a worker is ready; None for none.
        version: of the model, as far as it is known before TorchServe tells it.
    """

    def __init__(self, ports: Ports, ready_file: Path | None, version: str = "") -> None:
        self._ports = ports
        self._ready_file = ready_file
        self._status: ModelStatus | None = None
        self._version = version
        self._draining = False
        self._closing = threading.Event()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._mark()
        self._http = _Server((LOOPBACK, ports.status), _Handler)
        self._http.owner = self
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True),
            threading.Thread(target=self._watch, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> StatusServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def ready(self) -> bool:
        """Whether a pick would be answered."""
        return not self._draining and self._status is not None and self._status.ready > 0

    def drain(self) -> None:
        """Say from now on that nothing is ready, whatever the workers say."""
        self._draining = True
        self._mark()

    def close(self) -> None:
        """Stop answering; the file is gone."""
        self._closing.set()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()
        self.drain()

    def health(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """The status and the body of `GET /health`."""
        ready = self.ready
        body = {
            "status": "healthy" if ready else "draining" if self._draining else "unavailable",
            "model_loaded": ready,
            "version": self._version,
        }
        return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, body

    def stats(self) -> dict[str, Any]:
        """The body of `GET /stats`: since TorchServe started. Raises OSError without TorchServe."""
        sums = read_metrics(self._ports.metrics)
        status = self._status
        requests = sums.get(_REQUESTS, 0.0)

        def mean_ms(name: str) -> float:
            return round(sums.get(name, 0.0) / requests / 1000, 3) if requests else 0.0

        return {
            "total_requests": int(requests),
            "avg_latency_ms": mean_ms(_LATENCY_US),
            "avg_queue_ms": mean_ms(_QUEUE_US),
            "model_version": self._version,
            "workers_ready": status.ready if status else 0,
            "uptime_s": int(time.monotonic() - self._started),
        }

    def _watch(self) -> None:
        while not self._closing.is_set():
            try:
                status = model_status(self._ports.management, _ASK_TIMEOUT_S)
            except (ServerError, ValueError, LookupError):
                status = None
            self._status = status
            if status is not None:
                self._version = status.version
            self._mark()
            self._closing.wait(_POLL_S)

    def _mark(self) -> None:
        """Keep or remove the file. An empty file needs no room, so a full disk is no obstacle."""
        if self._ready_file is None:
            return
        # Two threads come here; the one that knows of a drain must not be overtaken.
        with self._lock:
            if self.ready:
                self._ready_file.touch()
            else:
                self._ready_file.unlink(missing_ok=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: StatusServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # Headers and body in one packet: with two, the second waits for the peer's delayed ACK, 40 ms.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(*self.server.owner.health())
        elif path == "/stats":
            try:
                self._answer(HTTPStatus.OK, self.server.owner.stats())
            except OSError:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {})

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No line for each probe."""


def read_metrics(port: int) -> dict[str, float]:
    """Return each of TorchServe's metrics, summed over its labels.

    Raises:
        OSError: the metrics endpoint cannot be read.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP on port {port}: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise OSError(f"the metrics endpoint answered {answer.status}")
    sums: dict[str, float] = {}
    for sample in _SAMPLE.finditer(text):
        with contextlib.suppress(ValueError):
            sums[sample["name"]] = sums.get(sample["name"], 0.0) + float(sample["value"])
    return sums
