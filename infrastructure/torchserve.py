"""TorchServe as a process: its command line, its environment, its start and its end.

Java is started directly. The `torchserve` program is a wrapper that forwards no signals, so that
stopping it leaves Java serving as an orphan, and that hides Java's exit code (ts/model_server.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from infrastructure.errors import ServerError, SettingsError
from infrastructure.java import Java
from infrastructure.settings import LOOPBACK, Settings

STARTUP_ERROR_VARIABLE = "DRAFT_STARTUP_ERROR_FILE"
# Java's own shutdown hook stops the workers; it needs about a second.
_TERM_GRACE_S = 10.0
_KILL_GRACE_S = 10.0

# The workers talk through sockets in the temporary folder; a longer address than this cannot be
# bound (sockaddr_un has 108 bytes on Linux, 104 on macOS). TorchServe adds "/.ts.sock.9000".
_LONGEST_SOCKET_FOLDER = 85


def read_properties(path: Path) -> dict[str, str]:
    """Read a .properties file the way TorchServe's wrapper does: `key=value` lines, # comments."""
    properties: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            properties[key.strip()] = value.strip()
    return properties


def package_folder() -> Path:
    """Return the folder that holds the `ts` package, without importing it (or torch)."""
    spec = importlib.util.find_spec("ts")
    locations = list(spec.submodule_search_locations or []) if spec else []
    if not locations or not (Path(locations[0]) / "frontend").is_dir():
        raise ServerError(f"TorchServe is not installed for {sys.executable}: run `make setup`")
    return Path(locations[0]).parent


def command(java: Java, settings: Settings, folder: Path) -> list[str]:
    """Return the command line that serves the archive in `folder`/store."""
    config = settings.config_dir / "config.properties"
    ts_home = package_folder()
    return [
        str(java.program),
        f"-Dmodel_server_home={ts_home}",
        f"-Dlog4j.configurationFile={(settings.config_dir / 'log4j2.xml').as_uri()}",
        f"-Djava.io.tmpdir={folder}",
        *read_properties(config).get("vmargs", "").split(),
        "-cp",
        f"{ts_home}/ts/frontend/*",
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(config),
        "-s",
        str(folder / "store"),
        "-m",
        "draft.mar",
        "-ncs",
    ]


def environment(settings: Settings, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Java and its workers.

    config.properties has `enable_envvars_config=true`, so TS_<JAVA FIELD> beats both the file and
    the command line. All but the inference address is pinned to loopback here, whatever the file
    says.
    """
    ports = settings.ports
    child = dict(env)
    # The archive must run on its own files, and TS_CONFIG_FILE would beat our -f.
    for name in ("PYTHONPATH", "PYTHONHOME", "TS_CONFIG_FILE"):
        child.pop(name, None)
    child |= {
        "TS_INFERENCE_ADDRESS": f"http://{settings.bind_address}:{ports.inference}",
        "TS_MANAGEMENT_ADDRESS": f"http://{LOOPBACK}:{ports.management}",
        "TS_METRICS_ADDRESS": f"http://{LOOPBACK}:{ports.metrics}",
        "TS_GRPC_INFERENCE_ADDRESS": LOOPBACK,
        "TS_GRPC_MANAGEMENT_ADDRESS": LOOPBACK,
        "TS_GRPC_INFERENCE_PORT": str(ports.grpc_inference),
        "TS_GRPC_MANAGEMENT_PORT": str(ports.grpc_management),
        "TS_LOAD_MODELS": "draft.mar",
        "TS_MODEL_STORE": str(folder / "store"),
        "TS_METRICS_CONFIG": str(settings.config_dir / "metrics.yaml"),
        # The handler decodes the raw bytes itself (ts/protocol/otf_message_handler.py).
        "TS_DECODE_INPUT_REQUEST": "false",
        STARTUP_ERROR_VARIABLE: str(folder / "startup-error"),
        "TEMP": str(folder),
        "TMPDIR": str(folder),
        "LOG_LOCATION": str(folder / "logs"),
        "METRICS_LOCATION": str(folder / "logs"),
        # One thread per worker: with more, workers fight for the same cores.
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # glibc gives each thread an arena of its own, which costs memory and brings nothing here.
        "MALLOC_ARENA_MAX": "2",
    }
    return child


def check_socket_folder(folder: Path) -> None:
    """Raise `SettingsError` when the workers' sockets in `folder` would have too long a name."""
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
        raise SettingsError(
            f"the temporary folder {folder} has too long a name for the workers' sockets "
            f"(more than {_LONGEST_SOCKET_FOLDER} bytes): set TMPDIR to a shorter one"
        )


class TorchServe:
    """A running Java with its workers, together in one process group of their own."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            arguments,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            # A new session, so that Ctrl-C reaches the launcher alone, which then stops Java.
            start_new_session=True,
        )

    @property
    def process_group(self) -> int:
        """The group of Java and its workers, which is Java's pid."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Java's exit code (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Stop Java, then whatever is left of its process group; return when all are gone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_TERM_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        deadline = time.monotonic() + _KILL_GRACE_S
        while self._kill_group() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _kill_group(self) -> bool:
        """Kill the group and tell whether anything is still in it."""
        try:
            os.killpg(self.process_group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of dead processes
            return False
        # As the first process of a container we inherit the orphaned workers.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-self.process_group, os.WNOHANG)
        return True
