"""Every scenario, short, against a real gateway before a real TorchServe."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from loadtests.run import play
from loadtests.samples import read
from loadtests.scenarios import SCENARIOS
from tests.serving.server import ROOT, clean_environment

from .conftest import StackFor
from .runs import edited_limits, options


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(
    stack_for: StackFor, tmp_path: Path, scenario: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = stack_for(SCENARIOS[scenario])
    code = play(options(SCENARIOS[scenario], tmp_path), stack)
    assert code == 0, capfd.readouterr().out
    _, samples = read(tmp_path)
    assert samples
    for report in ("report.html", "locust_stats.csv", "summary.md", "picture.svg"):
        assert (tmp_path / report).stat().st_size > 100, report


def test_a_limit_edited_without_a_new_gateway_fails(
    stack_for: StackFor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As by hand: `make up`, edit the file, `make loadtest SCENARIO=per_ip HOST=http://127…`."""
    scenario = SCENARIOS["per_ip"]
    running = stack_for(scenario)
    limits = edited_limits(tmp_path, picks_per_ip_per_min=60)
    assert play(options(scenario, tmp_path, running.url, limits), None) == 1
    said = capfd.readouterr().out
    assert "`per_ip`: " in said
    assert "checks failed" in said
    assert "| above | accepted, each caller |" in said


def test_a_stopped_run_leaves_nothing_behind(stack_for: StackFor, tmp_path: Path) -> None:
    """SIGTERM, as a cancelled CI job sends it, to the whole of `make loadtest`."""
    stack_for(SCENARIOS["per_ip"])  # one server at a time: this one is idle meanwhile
    command = [sys.executable, "-m", "loadtests.run", "soak"]
    env = clean_environment() | {"OUTPUT": str(tmp_path), "SHORT": "0"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while not any("locust" in " ".join(each.cmdline()) for each in family):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
            family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 143
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
    finally:
        for each in family:
            if each.is_running():
                each.kill()
        if process.poll() is None:
            process.kill()
            process.wait()
