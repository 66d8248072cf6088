"""`make up` and `make down`: start, stop, crashes, and what is left behind.

What becomes of requests meanwhile, the fault tests count.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infrastructure.settings import ROOT
from tests.serving.server import LaunchedServer, clean_environment, free_ports
from tests.serving.test_make_serve import MAKE

from .conftest import StartGateway, running_up
from .gateway import HEALTH, UP, Gateway, expect_problem

KEYS = {"alice": "a" * 24, "bob": "b" * 24}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.touch(mode=0o600)
    path.write_text(f"alice {KEYS['alice']}\n")
    return path


@pytest.fixture(scope="module")
def up(
    nginx: None, archive: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """For the tests that leave it running; it is killed in the end, which must leave nothing."""
    env = {"BIND_ADDRESS": "0.0.0.0", "RATE_LIMIT": "1000", "API_KEYS_FILE": str(keys)}
    with running_up(archive, tmp_path_factory.mktemp("up"), **env) as started:
        yield started
        assert started.named("java")
        assert started.stop(signal.SIGKILL) == -signal.SIGKILL
        assert started.left_over() == []


def test_the_server_is_reached_through_the_gateway_alone(up: Gateway) -> None:
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in up.processes()
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }
    assert {port for address, port in listening if address != "127.0.0.1"} == {up.port}
    assert "applies none" not in up.log


def test_sighup_reaches_the_gateway(up: Gateway, keys: Path) -> None:
    assert up.post(X_Api_Key=KEYS["alice"]).status_code == 200
    keys.write_text("".join(f"{name} {key}\n" for name, key in KEYS.items()))
    up.reload()
    up.wait_for(lambda: up.post(X_Api_Key=KEYS["bob"]).status_code == 200, "the new key")


def test_a_killed_nginx_is_replaced(up: Gateway) -> None:
    masters = [each for each in up.named("nginx") if "master" in " ".join(each.cmdline())]
    masters[0].kill()
    up.wait_for(lambda: "infrastructure.gateway ended by itself" in up.log, "the end")
    up.wait_until_healthy()
    assert up.post(X_Api_Key=KEYS["alice"]).status_code == 200


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("MODEL_PATH", "/no/such.mar", "infrastructure.serve could not be started"),
        ("RATE_LIMIT", "fast", "RATE_LIMIT must be"),
        ("GATEWAY_PORT", "x", "GATEWAY_PORT must be"),
        ("API_KEYS_FILE", "/no/keys", "API_KEYS_FILE /no/keys cannot be read"),
        ("LIMITS_FILE", "/no/limits", "the limits in /no/limits cannot be read"),
        ("PATH", "", "nginx is not installed: the package is nginx-light"),
    ],
)
def test_it_does_not_start_with_a_mistake(
    archive: Path, tmp_path: Path, variable: str, value: str, complaint: str
) -> None:
    if variable == "PATH" and Path("/usr/sbin/nginx").exists():
        pytest.skip("nginx is where it is found without a PATH")
    settings = {"MODEL_PATH": str(archive), "RUN_DIR": str(tmp_path / "run")} | {variable: value}
    gateway = Gateway(settings, command=UP)
    try:
        assert gateway.end() == 1
        assert complaint in gateway.log
        assert "Traceback" not in gateway.log
        assert gateway.left_over() == []
    finally:
        gateway.close()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_up_and_make_down(archive: Path, tmp_path: Path) -> None:
    names = ("PORT", "MANAGEMENT_PORT", "METRICS_PORT", "GRPC_INFERENCE_PORT")
    names += ("GRPC_MANAGEMENT_PORT", "STATUS_PORT", "GATEWAY_PORT")
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    folder = tmp_path / "run"
    env = clean_environment() | ports
    env |= {"RUN_DIR": str(folder), "MODEL_PATH": str(archive), "WORKERS": "1"}

    def make(target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MAKE, target], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
        )

    try:
        up = make("up")
        assert up.returncode == 0, up.stdout + up.stderr
        # What it prints works as printed.
        commands = re.findall(r"^  (curl .*)$", up.stdout, re.MULTILINE)
        assert len(commands) == 3
        for command in commands:
            done = subprocess.run(
                f"{command} -f", shell=True, cwd=ROOT, capture_output=True, timeout=30
            )
            assert done.returncode == 0, command
        again = make("up")
        assert again.returncode != 0
        assert "is running already" in again.stderr
    finally:
        down = make("down")
    assert down.returncode == 0, down.stderr
    assert "up: stopped" in down.stdout
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{ports['GATEWAY_PORT']}/health", timeout=5)
    assert "nothing is running" in make("down").stdout
    assert (folder / "up.pid").read_text() == ""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_ctrl_c_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    settings = {"MODEL_PATH": str(archive), "WORKERS": "1", "RUN_DIR": str(tmp_path / "run")}
    gateway = Gateway(settings, command=(*MAKE, "up", "FOREGROUND=1"))
    try:
        gateway.wait_until_healthy().processes()
        os.killpg(gateway.process.pid, signal.SIGINT)
        assert gateway.end() in {0, -signal.SIGINT, 130}
        assert gateway.left_over() == []
    finally:
        gateway.close()


def test_a_server_restarted_behind_the_gateway(
    start_gateway: StartGateway, archive: Path, run_folder: Path
) -> None:
    """Two programs started one by one, as two containers are."""
    ready = run_folder / "ready-of-its-own"
    env = {"MODEL_PATH": str(archive), "WORKERS": "1", "READY_FILE": str(ready)}
    first = LaunchedServer(env).wait_until_ready()
    second = None
    try:
        gateway = start_gateway(
            PORT=str(first.ports.inference),
            STATUS_PORT=str(first.ports.status),
            READY_FILE=str(ready),
        )
        gateway.wait_until_healthy()
        assert gateway.post().status_code == 200
        assert first.stop() == 0
        expect_problem(gateway.post(), 503, "not_ready")
        expect_problem(gateway.get(HEALTH), 503, "not_ready")
        ports = {name: str(port) for name, port in first.ports.by_variable().items()}
        second = LaunchedServer(env | ports).wait_until_ready()
        began = time.monotonic()
        gateway.wait_until_healthy()
        assert gateway.post().status_code == 200
        assert time.monotonic() - began < 2
    finally:
        first.close()
        if second is not None:
            second.close()
