"""Serve the archive: `python -m infrastructure.serve`, also the entrypoint of the container.

Checks everything that can be checked, starts TorchServe, waits until a worker can answer, prints
the address and a command to try it, and stays until it is stopped or TorchServe ends. All the while
it tells whether a worker is ready (`infrastructure.status`).

Asked to stop, it says that nothing is ready any more, lets what waits be answered, and ends.
Exit code 0 after SIGINT, SIGTERM or SIGHUP; 1 when the server cannot start or ends by itself:
whoever supervises it (Fargate, `make up`) starts it again.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from infrastructure import archive, fetch, torchserve
from infrastructure.console import lose_what_finds_no_room
from infrastructure.errors import DiskFullError, ServerError, StartError, is_disk_full
from infrastructure.guard import Guard
from infrastructure.java import Java, find_java
from infrastructure.limits import load_limits
from infrastructure.ports import check_ports
from infrastructure.readiness import ModelStatus, model_status
from infrastructure.settings import LOOPBACK, MODEL_NAME, ROOT, VARIABLES, Settings
from infrastructure.status import StatusServer
from infrastructure.stopping import Stopped, StopRequest

_POLL_S = 0.2
# How long the queue must be empty before Java may be stopped, which drops what workers still
# compute: the longest batch, 16 reviews of 45 picks, takes a third of it.
_SETTLE_S = 1.0
_LEAST_FREE_BYTES = 200 << 20
# The archive, its copy with overrides, its files unpacked by Java, and room for the logs.
_FREE_PER_ARCHIVE_BYTE = 10
# Java restarts a worker that died; one that dies this often before it was ever ready is broken.
_MOST_WORKER_DEATHS = 2

# Enough of a request to try a server that comes without the examples folder.
_SMALL_BODY = '{"pack": ["Lightning Bolt", "Llanowar Elves", "Counterspell"]}'


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is stopped; return the exit code."""
    _parse(arguments)
    stop = StopRequest()
    stop.install()
    try:
        _run(stop)
    except Stopped:
        pass
    except StartError as error:
        return _fail(str(error))
    except OSError as error:
        if not is_disk_full(error):
            raise
        return _fail(f"the disk is full ({error}): make room, or set TMPDIR to another disk")
    _say("stopped")
    return 0


def _parse(arguments: list[str] | None) -> None:
    width = max(map(len, VARIABLES))
    table = "\n".join(f"  {name:<{width}}  {meaning}" for name, meaning in VARIABLES.items())
    argparse.ArgumentParser(
        prog="python -m infrastructure.serve",
        description="Serve the draft archive with TorchServe.",
        epilog=f"environment (defaults in parentheses):\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)


def _run(stop: StopRequest) -> None:
    began = time.monotonic()
    settings = Settings.from_environment()
    # The limits on requests are the gateway's; of all of them, the time for a drain counts here.
    drain_s = load_limits(settings.limits_file, {}).gateway.drain_s
    _warn_of_rate_limits()
    check_ports(settings)
    java = find_java()
    _check_disk(settings)
    folder = Path(tempfile.mkdtemp(prefix="draft-", dir=settings.temp_root))
    guard = Guard(folder)
    try:
        torchserve.check_socket_folder(folder)
        with stop.interruptible():
            version = _stage(settings, folder)
        with StatusServer(settings.ports, settings.ready_file, version) as status:
            _serve(settings, java, folder, guard, stop, status, began, drain_s)
    finally:
        guard.close()


def _warn_of_rate_limits() -> None:
    """A limit that was asked for must not be dropped in silence."""
    for name in ("RATE_LIMIT", "RATE_LIMIT_PER_SECOND"):
        if os.environ.get(name):
            _say(f"{name} is set, but limits are the gateway's: this server applies none")


def _check_disk(settings: Settings) -> None:
    local = Path(settings.model_path)
    archive_bytes = local.stat().st_size if local.is_file() else 0
    needed = max(_LEAST_FREE_BYTES, _FREE_PER_ARCHIVE_BYTE * archive_bytes)
    free = shutil.disk_usage(settings.temp_root).free
    if free < needed:
        raise DiskFullError(
            f"the disk is full: {settings.temp_root} has {free >> 20} MB free and the server needs "
            f"{needed >> 20} MB. Make room there, or set TMPDIR to a folder on another disk"
        )


def _stage(settings: Settings, folder: Path) -> str:
    """Put a checked copy of the archive, with the overrides in it, into `folder`/store.

    Returns the version of the archive.
    """
    store = folder / "store"
    store.mkdir()
    copy = fetch.fetch(settings.model_path, settings.model_sha256, store)
    archive.verify(copy, settings.model_path)
    archive.override(copy, settings.overrides)
    return archive.version(copy)


def _serve(
    settings: Settings,
    java: Java,
    folder: Path,
    guard: Guard,
    stop: StopRequest,
    status_server: StatusServer,
    began: float,
    drain_s: int,
) -> None:
    if stop.requested:
        return
    _say(f"starting TorchServe with Java {java.version} ({java.source})")
    server = torchserve.TorchServe(
        torchserve.command(java, settings, folder),
        torchserve.environment(settings, folder, os.environ),
        folder,
    )
    try:
        guard.watch(server.process_group)
        status = _wait_until_ready(settings, server, folder / "startup-error", stop)
        if status is not None:
            _announce(settings, status, time.monotonic() - began)
            _supervise(server, stop)
            _drain(settings, status_server, drain_s)
    finally:
        server.stop()


def _wait_until_ready(
    settings: Settings, server: torchserve.TorchServe, error_file: Path, stop: StopRequest
) -> ModelStatus | None:
    """Return the model's status once a worker is ready, or None when asked to stop before that."""
    deadline = time.monotonic() + settings.start_timeout
    pids: set[int] = set()
    status: ModelStatus | None = None
    while not stop.requested:
        reason = _startup_error(error_file)
        if reason:
            raise ServerError(reason)
        if server.exit_code is not None:
            raise ServerError(
                f"TorchServe ended while starting ({_how(server.exit_code)}): see its log above"
            )
        status = model_status(settings.ports.management)
        if status is not None:
            if status.ready:
                return status
            pids |= status.pids
            if len(pids) > _MOST_WORKER_DEATHS * max(1, len(status.pids)):
                raise ServerError(
                    "the workers die while loading the model, before the handler could say why: "
                    "see the log above"
                )
        if time.monotonic() > deadline:
            raise ServerError(
                f"no worker was ready after {settings.start_timeout} s ({_last_seen(status)}): "
                "set START_TIMEOUT to wait longer"
            )
        time.sleep(_POLL_S)
    return None


def _startup_error(path: Path) -> str:
    """Return what the handler's `initialize` wrote before it gave up, or an empty string."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return " ".join(text.split())


def _last_seen(status: ModelStatus | None) -> str:
    if status is None:
        return "the management API did not answer"
    return f"{len(status.pids)} worker processes, none ready"


def _supervise(server: torchserve.TorchServe, stop: StopRequest) -> None:
    while not stop.requested:
        code = server.exit_code
        if code is not None:
            raise ServerError(f"TorchServe ended by itself ({_how(code)}): see its log above")
        time.sleep(_POLL_S)


def _drain(settings: Settings, status_server: StatusServer, drain_s: int) -> None:
    """Turn the gateway away, then wait until what TorchServe has taken is answered."""
    status_server.drain()
    began = quiet_since = time.monotonic()
    while (now := time.monotonic()) - began < drain_s:
        try:
            status = model_status(settings.ports.management)
        except ServerError:
            return
        if status is None:
            return
        if status.waiting:
            quiet_since = now
        elif now - quiet_since >= _SETTLE_S:
            return
        time.sleep(0.05)
    _say(f"stopping although requests are waiting after {drain_s} s")


def _how(exit_code: int) -> str:
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _announce(settings: Settings, status: ModelStatus, seconds: float) -> None:
    address = LOOPBACK if settings.bind_address == "0.0.0.0" else settings.bind_address
    url = f"http://{address}:{settings.ports.inference}"
    _say(f"model {MODEL_NAME} {status.version} is ready at {url} after {seconds:.1f} s")
    _say(f"try: curl -sS -H 'Content-Type: application/json' {_body()} {url}/predictions/draft")
    _say("stop with Ctrl-C")


def _body() -> str:
    """Return curl's option for a body: an example as seen from here, or a small one inline."""
    example = ROOT / "examples" / "first_pick.json"
    if not example.is_file():
        return f"-d {shlex.quote(_SMALL_BODY)}"
    here = Path.cwd()
    path = example.relative_to(here) if example.is_relative_to(here) else example
    return f"-d {shlex.quote(f'@{path}')}"


def _say(text: str) -> None:
    print(f"draft: {text}", flush=True)


def _fail(text: str) -> int:
    print(f"draft: {text}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    lose_what_finds_no_room()
    sys.exit(main())
