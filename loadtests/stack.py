"""The server and the gateway of a load test: `make up`'s own supervisor, on ports nobody uses.

The gateway trusts this machine to name its clients (TRUSTED_PROXIES), which is what lets virtual
users have addresses of their own. No limit is raised for a load test.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from loadtests.servers import ROOT, free_ports, running, wait_for

PORTS = (
    "GATEWAY_PORT",
    "PORT",
    "STATUS_PORT",
    "MANAGEMENT_PORT",
    "METRICS_PORT",
    "GRPC_INFERENCE_PORT",
    "GRPC_MANAGEMENT_PORT",
)
_NGINX_FOLDERS = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Stack:
    """A running server behind its gateway.

    Attributes:
        url: of the gateway, without a slash at the end.
        pid: of the supervisor; all processes are below it.
        keys_file: the API keys it knows; None: it asks for none.
        log: what all of them print.
    """

    url: str
    pid: int
    keys_file: Path | None
    log: Path


def nginx_is_missing() -> bool:
    """Whether there is no nginx, without which no stack can run."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_NGINX_FOLDERS])
    return shutil.which("nginx", path=path) is None


@contextlib.contextmanager
def stack(
    folder: Path, keys: int = 0, settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start a stack and wait until it can answer; it is gone when the block ends.

    Args:
        folder: for the log and the keys.
        keys: how many API keys there shall be; 0: none are asked for.
        settings: of the server and the gateway, as in the README.

    Raises:
        BenchError: it does not start; the message ends with its log.
    """
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    url = f"http://127.0.0.1:{ports['GATEWAY_PORT']}"
    folder.mkdir(parents=True, exist_ok=True)
    keys_file = _write_keys(folder / "keys.txt", keys) if keys else None
    with tempfile.TemporaryDirectory(prefix="draft-load-") as run_dir:
        env = _environment() | ports | {"TRUSTED_PROXIES": "127.0.0.1", "RUN_DIR": run_dir}
        if keys_file:
            env["API_KEYS_FILE"] = str(keys_file)
        env |= settings or {}
        log = folder / "servers.log"
        command = [sys.executable, "-m", "infrastructure.up"]
        with running(command, log, env=env, cwd=ROOT) as process:
            wait_for(lambda: requests.get(f"{url}/health", timeout=5).ok, process, log)
            _wait_for_all_workers(int(ports["MANAGEMENT_PORT"]), process, log)
            yield Stack(url, process.pid, keys_file, log)


def _wait_for_all_workers(port: int, process: object, log: Path) -> None:
    """/health is content with one worker; a load test wants what it will measure."""

    def ready() -> bool:
        workers = requests.get(f"http://127.0.0.1:{port}/models/draft", timeout=5).json()[0]
        return all(worker["status"] == "READY" for worker in workers["workers"])

    wait_for(ready, process, log)  # type: ignore[arg-type]


def _environment() -> dict[str, str]:
    """Ours, without a proxy: the load goes to loopback."""
    return {
        name: value for name, value in os.environ.items() if name.lower() not in _PROXY_VARIABLES
    }


_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def _write_keys(path: Path, count: int) -> Path:
    lines = [f"user{number} {secrets.token_urlsafe(24)}" for number in range(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path
