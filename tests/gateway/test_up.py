"""`make up` and `make down`: start, stop, crashes, and what is left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from infrastructure.settings import ROOT
from tests.serving.server import LaunchedServer, clean_environment, free_ports
from tests.serving.test_make_serve import MAKE

from .conftest import StartGateway
from .gateway import BODY, HEALTH, PICK, UP, Gateway, expect_problem

CLIENTS = 32


class Load(threading.Thread):
    """A client on one connection that counts what becomes of its requests until it is refused.

    A request that was sent and got no answer is lost, unless the connection had been closed before
    a byte of it was taken: the server may close an idle connection at any time.
    """

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(daemon=True)
        self._url = gateway.url + PICK
        self.answered = 0
        self.wrong: list[str] = []
        self.refused = 0

    def run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                try:
                    reply = session.post(self._url, json=BODY, timeout=30)
                except requests.ConnectionError as error:
                    text = repr(error)
                    # Both mean that nothing of the request was answered *or taken*.
                    if (
                        "refused" not in text
                        and "Remote end closed" not in text
                        and "reset" not in text
                    ):
                        self.wrong.append(text)
                    return
                if reply.status_code == 503 and reply.json()["code"] == "not_ready":
                    self.refused += 1
                elif reply.status_code != 200 or len(reply.json()["ranking"]) != len(BODY["pack"]):
                    self.wrong.append(f"{reply.status_code} {reply.text[:200]}")
                else:
                    self.answered += 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_nothing(start_up: StartGateway, number: signal.Signals) -> None:
    gateway = start_up(WORKERS="2")
    clients = [Load(gateway) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    gateway.wait_for(lambda: all(client.answered > 5 for client in clients), "load")
    assert gateway.stop(number) == 0
    for client in clients:
        client.join(30)
    assert [client.wrong for client in clients if client.wrong] == []
    # What nginx took, it answered: no line of its log has another status.
    statuses = {line["status"] for line in gateway.access_log() if line["route"] == "pick"}
    assert statuses <= {200, 503}
    answered = [
        line for line in gateway.access_log() if line["status"] == 200 and line["route"] == "pick"
    ]
    assert len(answered) == sum(client.answered for client in clients)
    assert gateway.log.rstrip().endswith("up: stopped")
    assert gateway.left_over() == []


def test_a_killed_java_is_replaced_and_503_until_then(start_up: StartGateway) -> None:
    gateway = start_up()
    (java,) = gateway.named("java")
    java.kill()
    gateway.wait_for(lambda: gateway.get(HEALTH).status_code == 503, "bad health")
    expect_problem(gateway.post(), 503, "not_ready")
    gateway.wait_for(lambda: gateway.get(HEALTH).status_code == 200, "another server")
    assert gateway.post().status_code == 200
    (other,) = gateway.named("java")
    assert other.pid != java.pid
    assert "infrastructure.serve ended by itself (exit code 1); it is started again" in gateway.log


def test_a_killed_nginx_is_replaced(start_up: StartGateway) -> None:
    gateway = start_up()
    masters = [each for each in gateway.named("nginx") if "master" in " ".join(each.cmdline())]
    masters[0].kill()
    gateway.wait_for(lambda: "infrastructure.gateway ended by itself" in gateway.log, "the end")
    gateway.wait_until_healthy()
    assert gateway.post().status_code == 200


def test_a_killed_supervisor_leaves_nothing(start_up: StartGateway) -> None:
    gateway = start_up()
    assert gateway.named("java")
    assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    assert gateway.left_over() == []


def test_the_server_is_reached_through_the_gateway_alone(start_up: StartGateway) -> None:
    gateway = start_up(BIND_ADDRESS="0.0.0.0", RATE_LIMIT="1000")
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in gateway.processes()
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }
    assert {port for address, port in listening if address != "127.0.0.1"} == {gateway.port}
    assert "applies none" not in gateway.log


def test_sighup_reaches_the_gateway(start_up: StartGateway, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.touch(mode=0o600)
    keys.write_text(f"alice {'a' * 24}\n")
    gateway = start_up(API_KEYS_FILE=str(keys))
    assert gateway.post(X_Api_Key="a" * 24).status_code == 200
    keys.write_text(f"bob {'b' * 24}\n")
    gateway.reload()
    gateway.wait_for(lambda: gateway.post(X_Api_Key="b" * 24).status_code == 200, "the new key")


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
