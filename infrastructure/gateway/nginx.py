"""nginx as a process: finding it, checking a configuration, starting, reloading and ending it."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import NginxError
from infrastructure.gateway.render import CONFIG

# $limit_req_status, which tells one 429 from the other, came with this version.
_OLDEST = (1, 17, 6)
# Before this version nginx could not be told where to log until it has read its configuration.
_EARLY_LOG = (1, 19, 5)
_MISSING = (
    "nginx is not installed: the package is nginx-light on Debian and Ubuntu "
    "(`make system-packages` installs it), nginx elsewhere"
)
# Debian puts it where an ordinary user's PATH does not lead.
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
_KILL_GRACE_S = 5.0
_LOG_PATIENCE_S = 1.0
_LOG_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Nginx:
    """A program that can run the gateway."""

    program: str
    version: tuple[int, ...]

    def command(self, folder: Path) -> list[str]:
        """Return the command line that runs the configuration in `folder`."""
        early = ["-e", "stderr"] if self.version >= _EARLY_LOG else []
        return [self.program, "-p", f"{folder}/", "-c", CONFIG, *early]

    def check(self, folder: Path) -> None:
        """Raise `NginxError` when nginx does not take the configuration in `folder`."""
        done = subprocess.run(
            [*self.command(folder), "-t", "-q"],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise NginxError(f"nginx refuses its configuration: {done.stderr.strip()}")


def find_nginx() -> Nginx:
    """Return the nginx of this machine. Raises `NginxError` when there is none that will do."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    program = shutil.which("nginx", path=path)
    if program is None:
        raise NginxError(_MISSING)
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=30).stderr
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", shown)
    if found is None:
        raise NginxError(f"{program} does not tell its version: {shown.strip()!r}")
    version = tuple(map(int, found.groups()))
    if version < _OLDEST:
        raise NginxError(
            f"{program} is version {'.'.join(found.groups())}, and the gateway needs "
            f"{'.'.join(map(str, _OLDEST))} or newer"
        )
    return Nginx(program, version)


def worker_user(*paths: Path) -> str:
    """Return `user group` for nginx's workers if we are root; otherwise they run as we do.

    That is nobody, where nobody may enter the folders of `paths`, the files the workers need.
    """
    if os.geteuid() != 0:
        return ""
    folders = {folder for path in paths for folder in path.resolve().parents}
    closed = sorted(
        str(each) for each in folders if each.exists() and not each.stat().st_mode & stat.S_IXOTH
    )
    if closed:
        print(f"gateway: nginx's workers run as root, since only root may enter {closed[0]}")
        return "root root"
    nobody = pwd.getpwnam("nobody")
    return f"nobody {grp.getgrgid(nobody.pw_gid).gr_name}"


class RunningNginx:
    """nginx with its workers in a process group of their own, and its access log on our stdout.

    The log goes through a pipe that we empty: nginx opens /dev/stdout anew, which fails for some
    kinds of stdout and overwrites others, and a full disk must cost lines of a log, not requests.
    """

    def __init__(self, nginx: Nginx, folder: Path) -> None:
        self._nginx = nginx
        self._folder = folder
        self._process = subprocess.Popen(
            nginx.command(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._copy_log, daemon=True)
        self._pump.start()

    @property
    def process_group(self) -> int:
        """The group of the master and its workers, which is the master's pid."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The master's exit code, None while it runs."""
        return self._process.poll()

    def reload(self) -> None:
        """Take the configuration as it now lies in the folder; no request is lost.

        Raises:
            NginxError: nginx refuses it, and goes on with the one it has.
        """
        self._nginx.check(self._folder)
        self._process.send_signal(signal.SIGHUP)

    def drain(self, seconds: float) -> bool:
        """Accept nothing more and answer the rest; return whether all was answered in time."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End it now, whatever is in flight."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_KILL_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process_group, signal.SIGKILL)
                self._process.wait()
        self._pump.join(_KILL_GRACE_S)

    def _copy_log(self) -> None:
        assert self._process.stdout is not None
        target = sys.stdout.fileno()
        with self._process.stdout as log:
            rest = b""
            while chunk := os.read(log.fileno(), _LOG_CHUNK):
                parts, rest = whole_lines(rest + chunk)
                for part in parts:
                    self._write(target, part)
            self._write(target, rest)

    def _write(self, target: int, text: bytes) -> None:
        # Where nobody reads for a while (a stopped terminal), lines are lost: nginx would wait for
        # us to empty its pipe, and its clients with it.
        _, writable, _ = select.select([], [target], [], _LOG_PATIENCE_S)
        # A full disk, or nobody reads any more.
        with contextlib.suppress(OSError):
            while writable and text:
                text = text[os.write(target, text) :]


def whole_lines(text: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines of `text` in parts that a pipe takes in one piece, and the unfinished rest.

    Others write to the same log: between two parts, but not into a line.
    """
    parts, start, last = [], 0, text.rfind(b"\n") + 1
    while start < last:
        end = text.rfind(b"\n", start, start + select.PIPE_BUF) + 1
        # A line that no pipe takes in one piece goes alone.
        end = end or text.index(b"\n", start) + 1
        parts.append(text[start:end])
        start = end
    return parts, text[last:]
