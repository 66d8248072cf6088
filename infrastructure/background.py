"""`make up` and `make down`: the supervisor as a process of the background.

It holds a lock on a file with its pid, RUN_DIR/up.pid, as long as it lives. So a pid left over by a
crash is never taken for a running server, and no other program can be stopped by mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from infrastructure.errors import ServerError, SettingsError
from infrastructure.gateway.settings import GatewaySettings
from infrastructure.settings import LOOPBACK, Settings

_POLL_S = 0.1
_LOG_LINES = 15
# Java, the workers and the drain have ended long before.
_DOWN_GRACE_S = 60.0


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` with our pid in it. Raises `ServerError` when it is taken."""
    file = _open(folder)
    with file:
        if not _try_lock(file):
            raise ServerError(
                f"it is running already (pid {_pid(file)}): `make down` stops it, "
                "another RUN_DIR and other ports make room for a second one"
            )
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def up(settings: Settings, gateway: GatewaySettings) -> int:
    """Start the supervisor, wait until a pick can be answered, and say how to ask for one."""
    log_path = settings.run_dir / "up.log"
    with log_path.open("ab") as log:
        began_at = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "infrastructure.up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = LOOPBACK if gateway.bind_address == "0.0.0.0" else gateway.bind_address
    deadline = time.monotonic() + settings.start_timeout + _DOWN_GRACE_S
    print(f"up: starting, log in {log_path}", flush=True)
    try:
        while not _healthy(address, gateway.port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                process.wait()
                text = log_path.read_bytes()[began_at:].decode("utf-8", "replace")
                last = "\n".join(text.splitlines()[-_LOG_LINES:])
                print(f"up: it did not start; the end of its log:\n{last}", file=sys.stderr)
                return 1
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        print("up: stopped before it was ready", file=sys.stderr)
        return 1
    print(instructions(f"http://{address}:{gateway.port}", with_key=gateway.keys is not None))
    return 0


def instructions(url: str, *, with_key: bool) -> str:
    """What to do with a gateway at `url`."""
    key = " -H 'X-Api-Key: …'" if with_key else ""
    post = f"curl -sS -H 'Content-Type: application/json'{key}"
    return "\n".join(
        [
            f"up: ready at {url}; try",
            f"  {post} -d @examples/first_pick.json {url}/api/v1/draft/pick",
            f"  curl -sS {url}/health",
            f"  curl -sS{key} {url}/api/v1/stats",
            "up: `make down` stops it",
        ]
    )


def down(settings: Settings) -> int:
    """Stop what `up` started, and wait until all of it has ended."""
    file = _open(settings.run_dir)
    with file:
        if _try_lock(file):
            print("up: nothing is running")
            return 0
        pid = _pid(file)
        if pid is None:
            raise ServerError(f"{file.name} is locked but holds no pid: is it just starting?")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _DOWN_GRACE_S
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise ServerError(f"process {pid} has not ended after {_DOWN_GRACE_S:.0f} s")
            time.sleep(_POLL_S)
    print("up: stopped")
    return 0


def _open(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "up.pid").open("a+", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"RUN_DIR {folder} cannot be written: {error.strerror}") from None


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(file: IO[str]) -> int | None:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else None


def _healthy(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
