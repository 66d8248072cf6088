"""A real TorchServe with the real archive, once for the session, and more on demand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from .server import LAUNCHER, ROOT, LaunchedServer

StartServer = Callable[..., LaunchedServer]


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive under test: MODEL_PATH's, or build/draft.mar, which is built when missing."""
    given = os.environ.get("MODEL_PATH")
    if given:
        return Path(given).absolute()
    path = ROOT / "build" / "draft.mar"
    sources = [
        *(ROOT / "model").rglob("*"),
        *(ROOT / "handler").glob("*.py"),
        ROOT / "config" / "model-config.yaml",
    ]
    newest = max(each.stat().st_mtime for each in sources if "__pycache__" not in each.parts)
    if not path.is_file() or path.stat().st_mtime < newest:
        subprocess.run([sys.executable, "-m", "training.package_mar"], cwd=ROOT, check=True)
    return path


@pytest.fixture(scope="session")
def server(archive: Path) -> Iterator[LaunchedServer]:
    """The server all tests share. Stop, break or overload a server of your own instead."""
    launched = LaunchedServer({"MODEL_PATH": str(archive)})
    try:
        yield launched.wait_until_ready()
        assert launched.stop() == 0, launched.log
        assert launched.left_over() == []
    finally:
        launched.close()


@pytest.fixture
def start_server(archive: Path) -> Iterator[StartServer]:
    """Start a server with some of the environment changed; it ends with the test.

    One worker unless WORKERS is given. Whatever else the test does, no process and no file of the
    server may be left over at its end.
    """
    launched: list[LaunchedServer] = []

    def start(*, command: Sequence[str] = LAUNCHER, cwd: Path = ROOT, **env: str) -> LaunchedServer:
        settings = {"MODEL_PATH": str(archive), "WORKERS": "1"} | env
        launched.append(LaunchedServer(settings, command, cwd))
        return launched[-1]

    try:
        yield start
        for each in launched:
            each.stop()
            assert each.left_over() == [], each.log
    finally:
        for each in launched:
            each.close()
