"""Starting the launcher as a user does, and watching what becomes of its processes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import requests

from infrastructure.readiness import model_status
from infrastructure.settings import VARIABLES, Ports

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = (sys.executable, "-m", "infrastructure.serve")
START_S = 60.0
END_S = 30.0
JSON = {"Content-Type": "application/json"}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, from below the range the kernel gives to clients."""
    found: list[int] = []
    for port in random.Random(os.getpid()).sample(range(15_000, 32_000), 1000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("there are no free ports")


_given: set[int] = set()


def clean_environment() -> dict[str, str]:
    """This process's environment without the settings of a server and without any cloud's.

    Nor with make's: a make started by a test is not a part of `make test`.
    """
    dropped = VARIABLES.keys() - {"JAVA_HOME"} | {"MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith("AWS_")
    }


class LaunchedServer:
    """A launcher with ports and a temporary folder of its own.

    Attributes:
        url, management_url, metrics_url: without a slash at the end.
        temporary: the launcher's TMPDIR; empty before and after.
        ready_file: the one it was told to keep.
        http: a requests session that asks no proxy.
    """

    def __init__(
        self, env: Mapping[str, str], command: Sequence[str] = LAUNCHER, cwd: Path = ROOT
    ) -> None:
        self.ports = Ports(*free_ports(6))
        self.url = f"http://127.0.0.1:{self.ports.inference}"
        self.management_url = f"http://127.0.0.1:{self.ports.management}"
        self.metrics_url = f"http://127.0.0.1:{self.ports.metrics}"
        # Not pytest's tmp_path: its name is too long for the sockets of the workers.
        self.temporary = Path(tempfile.mkdtemp(prefix="draft-test-"))
        self.temporary.chmod(0o711)  # nginx's workers are another user than root
        self._log = tempfile.NamedTemporaryFile(prefix="draft-test-", suffix=".log")  # noqa: SIM115
        self.ready_file = Path(env["READY_FILE"]) if env.get("READY_FILE") else None
        self.http = requests.Session()
        self.http.trust_env = False
        ports = {name: str(port) for name, port in self.ports.by_variable().items()}
        environment = clean_environment() | ports | {"TMPDIR": str(self.temporary)} | dict(env)
        self._seen: dict[int, psutil.Process] = {}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def log(self) -> str:
        """All that the launcher and TorchServe have printed so far."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    @property
    def said(self) -> list[str]:
        """The launcher's own lines, without `draft: `."""
        return re.findall(r"^draft: (.*)$", self.log, re.MULTILINE)

    def wait_until_ready(self) -> LaunchedServer:
        """Wait until the launcher says so; fail with its log when it does not."""
        self.wait_for(lambda: " is ready at " in self.log, "the server to be ready")
        return self

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            assert self.process.poll() is None, f"ended while waiting for {what}:\n{self.log}"
            assert time.monotonic() < deadline, f"no luck in waiting for {what}:\n{self.log}"
            time.sleep(0.05)

    def wait_for_all_workers(self) -> None:
        """The launcher is content with one ready worker; some tests need them all."""

        def all_ready() -> bool:
            status = model_status(self.ports.management)
            return status is not None and status.ready == len(status.pids)

        self.wait_for(all_ready, "all workers")

    def processes(self) -> list[psutil.Process]:
        """The launcher's children and their children that now run; each is remembered."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self._seen |= {child.pid: child for child in children}
        return children

    def named(self, name: str) -> list[psutil.Process]:
        """Those of `processes` whose program is called `name`: java, python, sh."""
        return [child for child in self.processes() if child.name().startswith(name)]

    def end(self) -> int:
        """Wait until the launcher ends by itself; return its exit code."""
        return self.process.wait(START_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the launcher alone and wait for its end; return the exit code."""
        if self.process.poll() is None:
            self.processes()
            self.process.send_signal(number)
        return self.process.wait(END_S)

    def left_over(self) -> list[str]:
        """What is left of the server, after some patience: processes and files."""
        deadline = time.monotonic() + END_S
        while (left := self._left_over()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _left_over(self) -> list[str]:
        # Java, the workers and the guard all name a file of the folder on their command lines, so
        # that those are found which started after the last look at `processes`.
        seen = [child for child in self._seen.values() if child.is_running()]
        named = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.temporary) in word for word in process.info["cmdline"] or ())
        ]
        return [str(each) for each in (*seen, *named, *self.temporary.iterdir())]

    def close(self) -> None:
        """End everything, however the test went."""
        if self.process.poll() is None:
            self.processes()
            self.process.terminate()
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for child in self._seen.values():
            if child.is_running():
                child.kill()
        self.http.close()
        self._log.close()
        shutil.rmtree(self.temporary, ignore_errors=True)
