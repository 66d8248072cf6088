"""Server and gateway together: `make up`, and in the foreground `python -m infrastructure.up`.

Two programs run as they do in the two containers of the Fargate task, under one supervisor:

    infrastructure.serve     TorchServe, on the loopback interface
    infrastructure.gateway   nginx, for clients

A program that ends by itself is started again after a pause, as an orchestrator would; until it is
back the gateway answers 503. Asked to stop, the supervisor lets the gateway finish what is in
flight and then stops the server.

    --background    go on in the background; return once a pick can be answered
    --down          stop what was started in the background, and wait for its end
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from infrastructure import background
from infrastructure.console import lose_what_finds_no_room
from infrastructure.errors import ServerError, StartError
from infrastructure.gateway.nginx import find_nginx
from infrastructure.gateway.settings import GatewaySettings
from infrastructure.guard import Guard
from infrastructure.ports import check_port, check_ports
from infrastructure.settings import Settings
from infrastructure.stopping import StopRequest

_POLL_S = 0.1
# A program that ended is started again after 1, 2, 4 … s, at most this; after a good minute the
# counting starts anew.
_LONGEST_PAUSE_S = 15.0
_GOOD_RUN_S = 60.0
# Beyond the drain itself: Java's own end, and two interpreters.
_STOP_GRACE_S = 25.0


def main(arguments: list[str] | None = None) -> int:
    """Run, start or stop both programs; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infrastructure.up", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--background", action="store_true")
    what.add_argument("--down", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.down:
            return background.down(Settings.from_environment())
        with background.lock(Settings.from_environment().run_dir):
            # Before the ports: a message about them would not say who holds them.
            settings, gateway = _check()
        if options.background:
            return background.up(settings, gateway)
        stop = StopRequest()
        stop.install(reloadable=True)
        with background.lock(settings.run_dir):
            _run(settings, gateway, stop)
    except StartError as error:
        print(f"up: {error}", file=sys.stderr, flush=True)
        return 1
    print("up: stopped", flush=True)
    return 0


def _check() -> tuple[Settings, GatewaySettings]:
    """Find what would keep either program from starting, before anything is started."""
    gateway = GatewaySettings.from_environment()
    settings = Settings.from_environment(_server_environment(Path("/ready")))
    find_nginx()
    check_ports(settings)
    check_port(gateway.bind_address, gateway.port, "GATEWAY_PORT")
    return settings, gateway


def _server_environment(ready_file: Path) -> dict[str, str]:
    """The server's environment: clients reach nothing of it but through the gateway."""
    env = dict(os.environ) | {"READY_FILE": str(ready_file)}
    # The gateway's; the server would warn that it does not apply the limits.
    for name in ("BIND_ADDRESS", "RATE_LIMIT", "RATE_LIMIT_PER_SECOND"):
        env.pop(name, None)
    return env


class _Program:
    """One of the two programs, started again when it ends by itself."""

    def __init__(self, module: str, env: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", module]
        self.module = module
        self._env = env
        self._failures = 0
        self._next_start = 0.0
        self._start()

    def _start(self) -> None:
        self._began = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for the supervisor, which then stops both in order.
            start_new_session=True,
        )

    @property
    def process_group(self) -> int | None:
        return self._process.pid if self._process else None

    def revive(self) -> bool:
        """Start it again when it ended and its pause is over; return whether its pid changed."""
        now = time.monotonic()
        if self._process is None:
            if now < self._next_start:
                return False
            self._start()
            return True
        code = self._process.poll()
        if code is None:
            return False
        self._failures = 1 if now - self._began > _GOOD_RUN_S else self._failures + 1
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE_S)
        print(
            f"up: {self.module} ended by itself (exit code {code}); "
            f"it is started again in {pause:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        self._process, self._next_start = None, now + pause
        return True

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, patience_s: float) -> None:
        """Ask it to end and wait; insist when it takes longer than `patience_s`."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                # Its own guard ends what it had started.
                self._process.kill()
                self._process.wait()


def _run(settings: Settings, gateway_settings: GatewaySettings, stop: StopRequest) -> None:
    folder = Path(tempfile.mkdtemp(prefix="draft-up-", dir=settings.temp_root))
    folder.chmod(0o711)  # nginx's workers, other users than root, look for the file in it
    guard = Guard(folder)
    programs: list[_Program] = []
    patience_s = gateway_settings.limits.gateway.drain_s + _STOP_GRACE_S
    ready_file = folder / "ready"
    try:
        server = _Program("infrastructure.serve", _server_environment(ready_file))
        programs.append(server)
        gateway = _Program(
            "infrastructure.gateway", dict(os.environ) | {"READY_FILE": str(ready_file)}
        )
        programs.insert(0, gateway)
        _watch(guard, programs)
        _supervise(programs, guard, ready_file, stop)
    finally:
        # The gateway first: what it has accepted needs the server.
        for program in programs:
            program.stop(patience_s)
        guard.close()


def _supervise(programs: list[_Program], guard: Guard, ready_file: Path, stop: StopRequest) -> None:
    was_ready = False
    while not stop.requested:
        was_ready = was_ready or ready_file.exists()
        for program in programs:
            # Who has never worked has a mistake in its settings, which a second start has too.
            if not was_ready and program.exit_code() is not None:
                raise ServerError(f"{program.module} could not be started: see above")
            if program.revive():
                _watch(guard, programs)
        if stop.take_reload():
            programs[0].signal(signal.SIGHUP)
        time.sleep(_POLL_S)


def _watch(guard: Guard, programs: list[_Program]) -> None:
    guard.watch(*(each.process_group for each in programs if each.process_group is not None))


if __name__ == "__main__":
    lose_what_finds_no_room()
    sys.exit(main())
