"""One TorchServe for the session; gateways before it are started as tests need them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infrastructure.errors import NginxError
from infrastructure.gateway.nginx import find_nginx
from tests.serving.conftest import archive  # noqa: F401
from tests.serving.server import LaunchedServer

from .gateway import UP, Gateway, limits_file

# High enough that no test meets it but those that set it lower.
NO_LIMIT = {
    "picks_per_ip_per_min": 100_000,
    "picks_per_ip_burst": 10_000,
    "reviews_per_ip_per_min": 100_000,
    "reviews_per_ip_burst": 10_000,
    "stats_per_ip_per_min": 100_000,
    "stats_per_ip_burst": 10_000,
    "bad_keys_per_ip_per_min": 100_000,
    "bad_keys_per_ip_burst": 10_000,
    "requests_per_key_per_s": 100_000,
    "requests_per_key_burst": 10_000,
}

StartGateway = Callable[..., Gateway]


@pytest.fixture(scope="session", autouse=True)
def nginx() -> None:
    """Without nginx there is nothing to test here, which pytest's summary says."""
    try:
        find_nginx()
    except NginxError as error:
        pytest.skip(f"the gateway is NOT TESTED: {error}")


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """A folder that nginx's workers can look into, also when they are another user than we."""
    with tempfile.TemporaryDirectory(prefix="draft-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="session")
def server(nginx: None, archive: Path, run_folder: Path) -> Iterator[LaunchedServer]:  # noqa: F811
    """The server all tests share. Stop, break or overload one of your own instead."""
    ready = run_folder / "ready"
    launched = LaunchedServer({"MODEL_PATH": str(archive), "READY_FILE": str(ready)})
    try:
        launched.wait_until_ready().wait_for_all_workers()
        launched.wait_for(ready.exists, "the file of a ready server")
        yield launched
        assert launched.stop() == 0, launched.log
        assert launched.left_over() == []
        assert not ready.exists()
    finally:
        launched.close()


@pytest.fixture
def start_gateway(server: LaunchedServer, tmp_path: Path) -> Iterator[StartGateway]:
    """Start a gateway before the shared server, with limits and environment of the test's choice.

    Limits that are not named are out of the way. No process and no file may be left at the end.
    """
    launched: list[Gateway] = []

    def start(limits: dict[str, int] | None = None, **env: str) -> Gateway:
        path = limits_file(tmp_path, **(NO_LIMIT | (limits or {})))
        launched.append(Gateway({"LIMITS_FILE": path} | env, server))
        return launched[-1].wait_until_ready()

    try:
        yield start
        for each in launched:
            assert each.stop() == 0, each.log
            assert each.left_over() == [], each.log
    finally:
        for each in launched:
            each.close()


@pytest.fixture(scope="session")
def gateway(server: LaunchedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with limits that no test meets, shared by all that need nothing else."""
    path = limits_file(tmp_path_factory.mktemp("limits"), **NO_LIMIT)
    launched = Gateway({"LIMITS_FILE": path}, server)
    try:
        yield launched.wait_until_ready()
        assert launched.stop() == 0, launched.log
        assert launched.left_over() == []
    finally:
        launched.close()


@contextlib.contextmanager
def running_up(
    archive: Path,  # noqa: F811
    folder: Path,
    limits: dict[str, int] | None = None,
    command: Sequence[str] = UP,
    **env: str,
) -> Iterator[Gateway]:
    """Server and gateway under their supervisor, with one worker unless WORKERS is given.

    Limits that are not named are out of the way. No process and no file may be left at the end.
    """
    settings = {
        "MODEL_PATH": str(archive),
        "WORKERS": "1",
        "LIMITS_FILE": limits_file(folder, **(NO_LIMIT | (limits or {}))),
        "RUN_DIR": str(folder / "run"),
    }
    launched = Gateway(settings | env, command=command)
    try:
        yield launched.wait_until_healthy()
        launched.stop()
        assert launched.left_over() == [], launched.log
    finally:
        launched.close()


@pytest.fixture
def start_up(nginx: None, archive: Path, tmp_path: Path) -> Iterator[StartGateway]:  # noqa: F811
    """Start what `running_up` says; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(limits: dict[str, int] | None = None, **options: Any) -> Gateway:
            return stack.enter_context(running_up(archive, tmp_path, limits, **options))

        yield start
