"""Whatever happens to the launcher, its folder and its process group end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infrastructure.guard import Guard
from infrastructure.settings import ROOT

PATIENCE_S = 10.0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_close_kills_the_group_and_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "some folder"
    (folder / "inner").mkdir(parents=True)
    guard = Guard(folder)
    # A shell that ignores the polite signals, with a child of its own.
    stubborn = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' TERM INT HUP; sleep 100 & wait"], start_new_session=True
    )
    guard.watch(stubborn.pid)
    guard.close()
    assert stubborn.wait(PATIENCE_S) == -signal.SIGKILL
    assert not folder.exists()


def test_close_without_a_group_kills_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    Guard(folder).close()
    assert not folder.exists()


def test_a_killed_launcher_is_cleaned_up_after(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time; from pathlib import Path\n"
            "from infrastructure.guard import Guard\n"
            "guard = Guard(Path(sys.argv[1]))\n"
            "server = subprocess.Popen(['sleep', '100'], start_new_session=True)\n"
            "guard.watch(server.pid)\n"
            "print(server.pid, flush=True)\n"
            "time.sleep(100)\n",
            folder,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert launcher.stdout is not None
    with launcher.stdout:
        server = psutil.Process(int(launcher.stdout.readline()))
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait(PATIENCE_S)
    assert eventually(lambda: not folder.exists())
    assert eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
