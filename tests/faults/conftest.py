"""Server and gateway: one pair for faults that it survives, others for those that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from loadtests.memory import WORKER_PROGRAM
from tests.gateway.conftest import archive, nginx, running_up, start_up  # noqa: F401
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


@pytest.fixture(scope="session")
def shared(
    nginx: None,  # noqa: F811
    archive: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """Two workers behind a gateway whose limits are out of the way."""
    with running_up(archive, tmp_path_factory.mktemp("shared"), WORKERS="2") as started:
        yield started


@pytest.fixture
def up(shared: Gateway) -> Gateway:
    """The server of all tests that leave it as they found it, whatever they do to it."""
    shared.wait_until_healthy().wait_for_all_workers()
    return shared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
