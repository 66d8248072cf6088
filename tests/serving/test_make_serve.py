"""`make serve` and `make predict` as typed at a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from .conftest import StartServer
from .server import ROOT, LaunchedServer, clean_environment

# The environment these tests run in is already set up: -o keeps make from setting up another.
MAKE = ("make", "-o", ".venv/.installed", f"PY={sys.executable}")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def test_ctrl_c_stops_the_server_without_an_error(start_server: StartServer) -> None:
    server = start_server(command=(*MAKE, "serve")).wait_until_ready()
    server.processes()
    # A terminal sends the signal to make and the launcher alike.
    os.killpg(server.process.pid, signal.SIGINT)
    # make ends by the signal it got, as a shell expects of it.
    assert server.end() in {0, -signal.SIGINT, 130}
    assert server.said[-1] == "stopped"
    assert "***" not in server.log
    assert not re.search("^Traceback", server.log, re.MULTILINE)
    assert server.left_over() == []


def test_sigterm_to_make_reaches_the_server(start_server: StartServer) -> None:
    server = start_server(command=(*MAKE, "serve")).wait_until_ready()
    server.stop(signal.SIGTERM)
    assert server.left_over() == []
    assert server.said[-1] == "stopped"


def test_a_failed_start_fails_the_target(start_server: StartServer) -> None:
    server = start_server(command=(*MAKE, "serve"), PORT="http")
    assert server.end() == 2
    assert server.said == ["PORT must be a whole number from 1 to 65535, not 'http'"]


def test_predict_asks_the_server(server: LaunchedServer) -> None:
    result = subprocess.run(
        [*MAKE, "predict", "PACK=examples/mid_pack_two.json"],
        cwd=ROOT,
        env=clean_environment() | {"PORT": str(server.ports.inference)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert " 1  " in result.stdout.splitlines()[0]
    assert result.stderr == ""
