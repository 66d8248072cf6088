"""The gateway in the foreground: `python -m infrastructure.gateway`, before a running server.

    --render FOLDER    only write the configuration; `nginx -p FOLDER -c nginx.conf` runs it

SIGHUP reads API_KEYS_FILE and the limits again and loses no request; with a mistake in one of them
the gateway goes on as it was, and says so. SIGINT and SIGTERM drain it: new connections are
refused, requests in flight are answered (for `drain_s` of limits.json at most), then it ends with
0. It ends with 1 when it cannot start.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from infrastructure.console import lose_what_finds_no_room
from infrastructure.errors import NginxError, StartError
from infrastructure.gateway.nginx import Nginx, RunningNginx, find_nginx, worker_user
from infrastructure.gateway.render import render
from infrastructure.gateway.settings import GatewaySettings
from infrastructure.guard import Guard
from infrastructure.ports import check_port
from infrastructure.settings import LOOPBACK, Settings
from infrastructure.stopping import StopRequest

_POLL_S = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infrastructure.gateway", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--render", metavar="FOLDER", type=Path)
    options = parser.parse_args(arguments)
    stop = StopRequest()
    stop.install(reloadable=options.render is None)
    try:
        settings = GatewaySettings.from_environment()
        if options.render:
            options.render.mkdir(parents=True, exist_ok=True)
            print(render(settings, options.render))
        else:
            _run(settings, stop)
    except StartError as error:
        print(f"gateway: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _run(settings: GatewaySettings, stop: StopRequest) -> None:
    nginx = find_nginx()
    check_port(settings.bind_address, settings.port, "GATEWAY_PORT")
    warn_of_rate_limit_without_keys(settings)
    folder = Path(
        tempfile.mkdtemp(prefix="draft-gateway-", dir=Settings.from_environment().temp_root)
    )
    # Workers run as another user than root, and have to find their temporary files in it.
    folder.chmod(0o711)
    guard = Guard(folder)
    try:
        user = worker_user(folder / "tmp", settings.ready_file or folder)
        render(settings, folder, user)
        nginx.check(folder)
        _supervise(nginx, settings, folder, user, guard, stop)
    finally:
        guard.close()
    _say("stopped")


def _supervise(
    nginx: Nginx,
    settings: GatewaySettings,
    folder: Path,
    user: str,
    guard: Guard,
    stop: StopRequest,
) -> None:
    running = RunningNginx(nginx, folder)
    try:
        guard.watch(running.process_group)
        address = LOOPBACK if settings.bind_address == "0.0.0.0" else settings.bind_address
        _say(f"listening at http://{address}:{settings.port}")
        while not stop.requested:
            if running.exit_code is not None:
                raise NginxError(f"nginx ended by itself (exit code {running.exit_code})")
            if stop.take_reload():
                _reload(running, folder, user)
            time.sleep(_POLL_S)
        drain_s = settings.limits.gateway.drain_s
        # nginx gives up by itself at that time (worker_shutdown_timeout); it needs a moment for it.
        if not running.drain(drain_s + 2):
            _say(f"requests were still in flight after {drain_s} s")
    finally:
        running.stop()


def _reload(running: RunningNginx, folder: Path, user: str) -> None:
    """Put new keys and limits in force; a mistake in them changes nothing."""
    config = folder / "nginx.conf"
    before = config.read_bytes()
    try:
        render(GatewaySettings.from_environment(), folder, user)
        running.reload()
    except (StartError, OSError) as error:
        config.write_bytes(before)
        print(f"gateway: nothing was reloaded: {error}", file=sys.stderr, flush=True)
        return
    _say("reloaded")


def warn_of_rate_limit_without_keys(settings: GatewaySettings) -> None:
    """A limit that was asked for must not be dropped in silence."""
    if os.environ.get("RATE_LIMIT_PER_SECOND", "").strip() and settings.keys is None:
        _say("RATE_LIMIT_PER_SECOND limits each API key, and without API_KEYS_FILE there are none")


def _say(text: str) -> None:
    print(f"gateway: {text}", flush=True)


if __name__ == "__main__":
    lose_what_finds_no_room()
    sys.exit(main())
