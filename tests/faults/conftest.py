"""Server and gateway, one pair for each test: every test breaks something of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from loadtests.memory import WORKER_PROGRAM
from tests.gateway.conftest import NO_LIMIT, archive, nginx, start_up  # noqa: F401
from tests.gateway.gateway import Gateway


def program(up: Gateway, module: str) -> psutil.Process:
    """One of the supervisor's two programs: `infrastructure.serve` or `infrastructure.gateway`."""
    (found,) = [each for each in up.processes() if each.cmdline()[-1:] == [module]]
    return found


def workers(up: Gateway) -> list[psutil.Process]:
    """TorchServe's worker processes."""
    return [
        each for each in up.processes() if any(WORKER_PROGRAM in word for word in each.cmdline())
    ]


def java(up: Gateway) -> psutil.Process:
    """TorchServe's front end."""
    (found,) = up.named("java")
    return found


@pytest.fixture
def up(start_up: Any) -> Gateway:  # noqa: F811
    """Two workers behind a gateway whose limits are out of the way."""
    started: Gateway = start_up(WORKERS="2")
    started.wait_for_all_workers()
    return started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
