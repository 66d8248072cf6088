"""Every scenario, short, against a real gateway before a real TorchServe."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from loadtests.run import play, servers
from loadtests.samples import read
from loadtests.scenarios import SCENARIOS
from loadtests.stack import Stack
from tests.serving.server import ROOT, clean_environment

from .runs import EDITED, REMOTE, Played, options

BY_ADDRESS = ("per_ip", "review", "mixed_bad")
BY_KEY = ("burst", "per_key")
ALONE = ("steady", "soak")
"""They want the machine for themselves; `overload` wants a server of its own as well."""


def expect_passed(run: Played) -> None:
    assert run.code == 0, run.summary
    _, samples = read(run.output)
    assert samples
    for report in ("report.html", "locust_stats.csv", "summary.md", "picture.svg"):
        assert (run.output / report).stat().st_size > 100, report


def test_every_scenario_is_played() -> None:
    assert {*BY_ADDRESS, *BY_KEY, *ALONE, "overload"} == SCENARIOS.keys()


@pytest.mark.parametrize("name", BY_ADDRESS)
def test_scenarios_without_keys(played_by_address: dict[str, Played], name: str) -> None:
    expect_passed(played_by_address[name])


def test_a_limit_edited_without_a_new_gateway_fails(played_by_address: dict[str, Played]) -> None:
    run = played_by_address[EDITED]
    assert run.code == 1
    assert "checks failed" in run.summary
    assert re.search(r"^\| above \| accepted, each caller \|.*\*\*failed\*\*", run.summary, re.M)


@pytest.mark.parametrize("name", BY_KEY)
def test_scenarios_with_keys(played_by_key: dict[str, Played], name: str) -> None:
    expect_passed(played_by_key[name])


def test_a_deployment_is_judged_by_the_limits_of_every_layer(
    played_by_key: dict[str, Played],
) -> None:
    run = played_by_key[REMOTE]
    expect_passed(run)
    assert "run against http://0.0.0.0:" in run.summary
    assert "± 20%" in run.summary
    assert read(run.output)[0].callers == 1


@pytest.mark.parametrize("name", ALONE)
def test_scenarios_about_the_server(plain: Stack, tmp_path: Path, name: str) -> None:
    expect_passed(Played(play(options(SCENARIOS[name], tmp_path), plain), tmp_path))


def test_overload(tmp_path: Path) -> None:
    wanted = options(SCENARIOS["overload"], tmp_path)
    with servers(wanted) as small:
        expect_passed(Played(play(wanted, small), tmp_path))


def test_a_stopped_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM, as a cancelled CI job sends it, to the whole of `make loadtest`."""
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
