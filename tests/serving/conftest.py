"""A real TorchServe with the real archive, started as a user starts it, on ports of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "build" / "draft.mar"
START_TIMEOUT_S = 90
PORT_VARIABLES = (
    "PORT",
    "MANAGEMENT_PORT",
    "METRICS_PORT",
    "GRPC_INFERENCE_PORT",
    "GRPC_MANAGEMENT_PORT",
)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Server:
    """A launcher process with what it started."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    log: Path
    pids: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}/predictions/draft"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    @property
    def management(self) -> str:
        return f"http://127.0.0.1:{self.ports['MANAGEMENT_PORT']}"

    @property
    def metrics(self) -> str:
        return f"http://127.0.0.1:{self.ports['METRICS_PORT']}/metrics"

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self) -> Server:
        """Wait for the launcher's own announcement; fail with its output when it ends first."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while "stop with Ctrl-C" not in self.output():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start:\n{self.output()}")
            time.sleep(0.1)
        self.remember_children()
        return self

    def remember_children(self) -> set[int]:
        """Note (and return) every process below the launcher, to ask later whether it lives."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self.pids.add(child.pid)
        return self.pids

    def worker_pids(self) -> set[int]:
        model = requests.get(f"{self.management}/models/draft", timeout=10).json()[0]
        return {int(worker["pid"]) for worker in model["workers"]}

    def survivors(self, within_s: float = 10.0) -> set[int]:
        """Remembered processes that are still alive after waiting for them to go."""
        deadline = time.monotonic() + within_s
        while alive := {pid for pid in self.pids if _lives(pid)}:
            if time.monotonic() > deadline:
                return alive
            time.sleep(0.1)
        return set()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


Launch = Callable[..., Server]


def launch(folder: Path, command: list[str] | None = None, **env: str) -> Server:
    """Start a server; ports are free ones unless given in `env`. It may not be ready yet."""
    ports = dict(zip(PORT_VARIABLES, free_ports(len(PORT_VARIABLES)), strict=True))
    ports |= {name: int(env[name]) for name in PORT_VARIABLES if env.get(name, "").isdecimal()}
    log = folder / f"server-{ports['PORT']}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "infrastructure.serve"],
            cwd=ROOT,
            env=os.environ | {name: str(port) for name, port in ports.items()} | env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    return Server(process, ports, log)


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive that `make mar` built."""
    if not ARCHIVE.is_file():
        pytest.fail("build/draft.mar is missing: run `make mar` (make test does)")
    return ARCHIVE


@pytest.fixture
def start(archive, tmp_path) -> Iterator[Launch]:
    """A function that starts servers, which are stopped after the test."""
    servers: list[Server] = []

    def start_one(command: list[str] | None = None, **env: str) -> Server:
        servers.append(launch(tmp_path, command, **env))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(archive, tmp_path_factory) -> Iterator[Server]:
    """One server for all tests that leave it as it is."""
    running = launch(tmp_path_factory.mktemp("server"))
    try:
        yield running.wait_ready()
    finally:
        running.stop()
