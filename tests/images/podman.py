"""Podman as this machine lets it run: within its limits, and without systemd."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Under load a start takes seconds; nothing but a build or a download takes minutes.
COMMAND_S = 120
TIMED_OUT = 124
# Below what podman gives its own processes (32 768), which they cannot raise.
_LIMIT = 20_000


class Unavailable(Exception):
    """Images cannot be built or run on this machine; the message says why."""


class Podman:
    """Runs podman; raises `Unavailable` where it cannot.

    Args:
        folder: for its configuration; that of the machine stays as it is.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("podman") is None:
            raise Unavailable("podman is not installed; `make image-packages` installs it")
        if os.geteuid() != 0:
            raise Unavailable("only root can limit memory and share a network as Fargate does")
        configuration = folder / "containers.conf"
        configuration.write_text(_configuration(), encoding="utf-8")
        self.env = os.environ | {"CONTAINERS_CONF": str(configuration)}
        # Older Podmans wait for systemd's bus if these name one.
        self.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        done = self.try_("info")
        if done.returncode:
            raise Unavailable(f"podman does not work here: {done.stderr.strip()[-300:]}")

    def try_(self, *arguments: str, timeout: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command of podman, whatever comes of it; one that takes too long ends with 124."""
        return run(["podman", *arguments], self.env, timeout)

    def __call__(self, *arguments: str, timeout: float = COMMAND_S) -> str:
        """Run a command of podman that must succeed; its standard output."""
        done = self.try_(*arguments, timeout=timeout)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout.strip()


def run(
    command: Sequence[str], env: Mapping[str, str], timeout: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with what it starts; 124, as of timeout(1), when it takes too long."""
    process = subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        errors = f"{shlex.join(command[:3])} … took more than {timeout:.0f} s"
        return subprocess.CompletedProcess(command, TIMED_OUT, output, errors)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _configuration() -> str:
    """What lets podman work without systemd, and where root may not raise limits."""
    limits = [
        f'"{name}={limit}:{limit}"'
        for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for hard in [resource.getrlimit(kind)[1]]
        for limit in [_LIMIT if hard == resource.RLIM_INFINITY else min(hard, _LIMIT)]
    ]
    # crun refuses machines with both versions of control groups; runc takes them.
    runtime = ['runtime="runc"'] if shutil.which("runc") else []
    return "\n".join(
        [
            "[containers]",
            f"default_ulimits=[{', '.join(limits)}]",
            "[engine]",
            'cgroup_manager="cgroupfs"',
            'events_logger="file"',
            *runtime,
            "",
        ]
    )
