"""Server and gateway for the short load tests, and the runs that can share them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from loadtests.run import play
from loadtests.scenarios import SCENARIOS
from loadtests.stack import Stack, nginx_is_missing, stack
from tests.serving.conftest import archive  # noqa: F401
from tests.serving.server import ROOT, clean_environment

from .runs import EDITED, REMOTE, Played, edited_limits, options

Run = Callable[[Path], int]
"""Plays something, with its reports in the folder; returns the exit code."""


@pytest.fixture(scope="session", autouse=True)
def nginx() -> None:
    """Without nginx there is nothing to load, which pytest's summary says."""
    if nginx_is_missing():
        pytest.skip("the limits are NOT TESTED under load: nginx is not installed")


@pytest.fixture(scope="session")
def plain(
    nginx: None,
    archive: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A gateway that asks for no key, before a server with two workers."""
    with stack(tmp_path_factory.mktemp("plain")) as started:
        yield started


@pytest.fixture(scope="session")
def played_by_address(plain: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """Scenarios without keys that send little, all at the same time: most of each is waiting.

    None is in another's way: their callers have other addresses.
    """
    runs = {name: _local(name, plain) for name in ("per_ip", "review", "mixed_bad")}
    return _play_together(runs | {EDITED: partial(_edited, plain)}, tmp_path_factory)


@pytest.fixture(scope="session")
def played_by_key(nginx: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """Likewise with keys; each run has its own."""
    names = ("burst", "per_key")
    each = 2 * max(SCENARIOS[name].caller_count for name in names)
    with stack(tmp_path_factory.mktemp("keyed"), keys=len(names) * each + 1) as keyed:
        assert keyed.keys_file is not None
        *lines, spare = keyed.keys_file.read_text(encoding="utf-8").splitlines()
        runs = {}
        for place, name in enumerate(names):
            keys = tmp_path_factory.mktemp("keys") / "keys.txt"
            keys.write_text("\n".join(lines[place * each :][:each]), encoding="utf-8")
            runs[name] = _local(name, replace(keyed, keys_file=keys))
        # The kernel takes this address for loopback; `make loadtest` does not, which makes it a
        # deployment: it believes no client's address, and its caller has one key.
        url = keyed.url.replace("127.0.0.1", "0.0.0.0")
        runs[REMOTE] = partial(_remote, url, spare.split()[-1])
        return _play_together(runs, tmp_path_factory)


def _play_together(
    runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Played]:
    folders = {name: tmp_path_factory.mktemp(name.split()[0]) for name in runs}
    with ThreadPoolExecutor(len(runs)) as pool:
        codes = {name: pool.submit(run, folders[name]) for name, run in runs.items()}
        return {name: Played(code.result(), folders[name]) for name, code in codes.items()}


def _local(name: str, running: Stack) -> Run:
    return lambda folder: play(options(SCENARIOS[name], folder), running)


def _edited(running: Stack, folder: Path) -> int:
    """As by hand: `make up`, edit the file, `make loadtest SCENARIO=per_ip HOST=http://127…`."""
    limits = edited_limits(folder, picks_per_ip_per_min=60)
    return play(options(SCENARIOS["per_ip"], folder, running.url, limits), None)


def _remote(url: str, key: str, folder: Path) -> int:
    env = {"HOST": url, "API_KEY": key, "SHORT": "1", "OUTPUT": str(folder), "SCENARIO": "per_ip"}
    command = [sys.executable, "-m", "loadtests.run"]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment() | env, timeout=150)
    return done.returncode
