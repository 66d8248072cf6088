"""Starting the gateway as a user does, before a server of the serving tier."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from infrastructure.limits import LIMITS_FILE
from tests.serving.server import LaunchedServer, free_ports

GATEWAY = (sys.executable, "-m", "infrastructure.gateway")
UP = (sys.executable, "-m", "infrastructure.up")
PICK = "/api/v1/draft/pick"
REVIEW = "/api/v1/draft/review"
PREDICT = "/predictions/draft"
HEALTH = "/health"
STATS = "/api/v1/stats"
BODY = {"pack": ["Llanowar Elves", "Shock"]}
PROBLEM_JSON = "application/problem+json"


class Gateway(LaunchedServer):
    """A gateway, or with the command `UP` a gateway and its server, on a port of its own.

    Its environment is that of `server` as far as it has to be. `url` is where clients connect.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        server: LaunchedServer | None = None,
        command: Sequence[str] = GATEWAY,
    ) -> None:
        (port,) = free_ports(1)
        behind = {} if server is None else reach(server)
        super().__init__({"GATEWAY_PORT": str(port)} | behind | dict(env), command)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def wait_until_ready(self) -> Gateway:
        self.wait_for(lambda: "gateway: listening at " in self.log, "the gateway to listen")
        self.wait_for(self._accepts, "the gateway to accept")
        return self

    def wait_until_healthy(self) -> Gateway:
        """Wait until a pick can be answered."""
        self.wait_for(lambda: self._accepts() and self._is_healthy(), "a healthy gateway")
        return self

    def _is_healthy(self) -> bool:
        try:
            return self.get(HEALTH).ok
        except requests.ConnectionError:  # `nginx -t` listens too, for a moment
            return False

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def post(self, path: str = PICK, body: Any = BODY, **headers: str) -> requests.Response:
        """POST `body` as JSON; `headers` with _ for -, Content-Type among them if it matters."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(
            self.url + path,
            data=data,
            headers={"Content-Type": "application/json"} | named,
            timeout=30,
        )

    def get(self, path: str, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(self.url + path, headers=named, timeout=30)

    def raw(self, request: bytes, timeout: float = 10) -> bytes:
        """What comes back for these bytes, until the connection closes or is quiet."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.sendall(request)
            received = b""
            try:
                while chunk := connection.recv(1 << 16):
                    received += chunk
            except TimeoutError:
                pass
        return received

    def access_log(self) -> list[dict[str, Any]]:
        """The lines of the access log so far; nginx writes them with up to a second's delay."""
        lines = [line for line in self.log.splitlines() if line.startswith('{"time":')]
        return [json.loads(line) for line in lines]

    def logged(self, request_id: str) -> dict[str, Any]:
        """The one line of the access log about this request."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.access_log() if line["request_id"] == request_id]

        self.wait_for(found, f"the log of {request_id}")
        (line,) = found()
        return line

    def reload(self) -> None:
        """Send SIGHUP and wait until it has worked, or until the gateway said why it did not."""
        before = len(self._reloads())
        os.kill(self.process.pid, 1)
        self.wait_for(lambda: len(self._reloads()) > before, "the reload")

    def _reloads(self) -> list[str]:
        return [line for line in self.log.splitlines() if "reloaded" in line]


def reach(server: LaunchedServer) -> dict[str, str]:
    """The environment of a gateway that is to stand before `server`."""
    return {
        "PORT": str(server.ports.inference),
        "STATUS_PORT": str(server.ports.status),
        "READY_FILE": str(server.ready_file),
    }


def limits_file(folder: Path, **gateway: int) -> str:
    """A file of limits in which some of the gateway's are others; its path."""
    limits = json.loads(LIMITS_FILE.read_text(encoding="utf-8"))
    limits["gateway"] |= gateway
    path = folder / "limits.json"
    path.write_text(json.dumps(limits), encoding="utf-8")
    return str(path)


def expect_problem(reply: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Check that the reply is this problem, in the form every error has; return its body."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == PROBLEM_JSON
    body: dict[str, Any] = reply.json()
    assert list(body) == ["type", "title", "status", "code", "detail", "path"]
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:draft:problem:{code}"
    assert reply.headers["X-Request-Id"]
    # A page may read the error as it may read an answer.
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    return body
