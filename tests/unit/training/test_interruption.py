"""Signals and the spot notice set one flag."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.small_runs import command_line, write_project
from training.interruption import Interrupted, StopRequest
from training.train import main


@pytest.fixture(autouse=True)
def not_on_ec2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_ends_nothing(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with StopRequest(1, 0) as stop:
        assert not stop.is_set
        stop.raise_if_set()
        os.kill(os.getpid(), number)
        assert stop.is_set
        assert stop.reason == number.name
        with pytest.raises(Interrupted, match=number.name):
            stop.raise_if_set()
    assert signal.getsignal(number) is before
    assert f"{number.name}: stopping after this step" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_the_program_at_once() -> None:
    with StopRequest(1, 0):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_of_several_processes_each_may_get_it_twice() -> None:
    with StopRequest(2, 1) as stop:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert stop.reason == "SIGINT"


class Notice(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._answer(b"token")

    def do_GET(self) -> None:
        self._answer(b'{"action": "terminate"}')

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def on_a_machine_taken_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A metadata service that has the notice."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with HTTPServer(("127.0.0.1", 0), Notice) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("on_a_machine_taken_back")
@pytest.mark.parametrize(("local_rank", "told"), [(0, True), (1, False)])
def test_the_first_process_of_a_machine_looks_for_the_notice(local_rank: int, told: bool) -> None:
    with StopRequest(2, local_rank) as stop:
        limit = time.monotonic() + (10 if told else 0.2)
        while not stop.is_set and time.monotonic() < limit:
            time.sleep(0.005)
    assert stop.is_set == told
    if told:
        assert stop.reason == 'spot notice {"action": "terminate"}'


@pytest.mark.usefixtures("on_a_machine_taken_back")
def test_a_notice_ends_a_run_with_75_and_it_goes_on_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = command_line(write_project(tmp_path), "--steps", "3000")
    assert main(options) == 75
    assert 'interrupted (spot notice {"action": "terminate"})' in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    stored = list((tmp_path / "run" / "checkpoints").glob("step-*"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # It may have come before the first step, when there was nothing to store.
    assert main([*options, "--steps", "3000" if stored else "5"]) == 0
    assert ("going on from checkpoint" in capsys.readouterr().out) == bool(stored)
