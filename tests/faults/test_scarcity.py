"""Too many connections, slow ones, and no room on the disk: good clients notice nothing."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.answers import Outcome
from loadtests.questions import reviews
from loadtests.verdict import quantile
from tests.gateway.conftest import StartGateway
from tests.gateway.gateway import HEALTH, PICK, REVIEW, Gateway

from .client import Clients
from .conftest import java
from .test_crashes import BACK_S, HEALTH_WINDOW_S, wait_for_health

IDLE = 1000
SLOW = 64
TIMEOUT_S = 2
"""Of headers and bodies, for slow clients; shorter than the file's, so that they end sooner."""

PATIENCE_S = 30.0

MOST_MS = 1000.0
"""A good client's p95 meanwhile: far above what it needs, far below what a stuck one gets."""


@contextlib.contextmanager
def connections(port: int, count: int, request: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that have sent `request` and nothing since."""
    with contextlib.ExitStack() as opened:
        sockets = []
        for _ in range(count):
            sockets.append(opened.enter_context(socket.create_connection(("127.0.0.1", port), 10)))
            sockets[-1].sendall(request)
        yield sockets


def expect_all_answered(clients: Clients) -> None:
    account = clients.account()
    assert len(clients.of(Outcome.ANSWERED)) == len(clients.results) > 0, account
    p95 = quantile([1000 * (each.ended - each.at) for each in clients.results], 0.95)
    assert p95 < MOST_MS, f"p95 {p95:.0f} ms"


def test_a_thousand_idle_connections(up: Gateway) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip(f"NOT TESTED: this machine allows {hard} open files, fewer than {IDLE}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 200), hard))
    try:
        with connections(up.port, IDLE) as idle, Clients(up.port, 8) as clients:
            clients.wait_for_answers(300)
            # They are really open: nginx still answers on the first and the last.
            for each in (idle[0], idle[-1]):
                each.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert each.recv(12) == b"HTTP/1.1 200"
        expect_all_answered(clients)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SLOW_HEADERS = f"POST {PICK} HTTP/1.1\r\nHost: x\r\nX-A: ".encode()
SLOW_BODY = (
    f"POST {PICK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    "Content-Length: 1000\r\n\r\n{"
).encode()


def test_slow_clients_hold_nobody_up(start_up: StartGateway) -> None:
    """More of them than the server has workers and threads for, in headers and in bodies."""
    up = start_up(
        {
            "header_timeout_s": TIMEOUT_S,
            "body_timeout_s": TIMEOUT_S,
            "requests_in_flight_per_ip": 4 * SLOW,
        },
        WORKERS="2",
    )
    with (
        connections(up.port, SLOW, SLOW_HEADERS) as slow_headers,
        connections(up.port, SLOW, SLOW_BODY) as slow_bodies,
        Clients(up.port, 8) as clients,
    ):
        began = time.monotonic()
        clients.wait_for_answers(300)
        clients.stop()
        ends = [closed(each, began + PATIENCE_S) for each in (*slow_headers, *slow_bodies)]
    expect_all_answered(clients)
    assert all(end is not None for end in ends), "every slow client is cut off"


def closed(connection: socket.socket, deadline: float) -> float | None:
    """When the server closed the connection (monotonic); None if it had not by the deadline."""
    connection.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        while connection.recv(1 << 12):
            pass
    except TimeoutError:
        return None
    except OSError:
        pass
    return time.monotonic()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 320 MB of its own: enough for a server to start."""
    if os.geteuid() != 0:
        pytest.skip("a full disk is NOT TESTED: only root may mount a small one")
    # Short, for the sockets of TorchServe's workers.
    folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"draft-full-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o711)
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=320m,mode=711", "tmpfs", folder],
            capture_output=True,
            text=True,
        )
        if mounted.returncode:
            pytest.skip(f"a full disk is NOT TESTED: {mounted.stderr.strip()}")
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Write until the disk is full."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as sink:
        while True:
            sink.write(bytes(1 << 20))
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as sink:
        while True:
            sink.write(bytes(512))
    return filler


# The supervisor with its log on the small disk, as `make up` has it; $0 is Python.
LOGGING_UP = ("sh", "-c", 'exec "$0" -m infrastructure.up > "$TMPDIR/up.log" 2>&1', sys.executable)


def test_a_full_disk_costs_no_pick(start_up: StartGateway, small_disk: Path) -> None:
    """Temporary files, logs and the run folder lie on it. Only what must be written can fail."""
    env = {"TMPDIR": str(small_disk), "RUN_DIR": str(small_disk / "run"), "WORKERS": "2"}
    up = start_up(command=LOGGING_UP, **env)
    up.wait_for_all_workers()
    review = reviews()[0]
    with Clients(up.port, 8) as clients:
        clients.wait_for_answers(100)
        filler = fill(small_disk)
        assert os.statvfs(small_disk).f_bavail == 0
        clients.wait_for_answers(300)
        # A review is too large for memory's buffer and waits in a file: a clean error, at worst.
        reply = up.post(REVIEW, review.body)
        assert reply.status_code in (200, 500, 503), reply.text
        if reply.status_code != 200:
            assert reply.json()["status"] == reply.status_code
        assert up.get(HEALTH).status_code == 200
    expect_all_answered(clients)
    # Nobody can write down that Java ended, and a new one needs room. It comes when there is some.
    java(up).kill()
    wait_for_health(up, 503, HEALTH_WINDOW_S)
    time.sleep(2)
    filler.unlink()
    wait_for_health(up, 200, BACK_S)
    assert len(up.post(REVIEW, review.body).json()["results"]) == len(
        json.loads(review.body)["requests"]
    )
    (small_disk / "up.log").unlink()
