"""`/health` follows the workers, and no pick is passed on while none is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.readiness import model_status
from tests.serving.server import LaunchedServer

from .conftest import StartGateway, running_up
from .gateway import HEALTH, PICK, REVIEW, STATS, Gateway, expect_problem

WITHIN_S = 2.0


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition holds; fails when it takes longer than `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def test_health_says_what_is_served(gateway: Gateway) -> None:
    reply = gateway.get(HEALTH)
    assert reply.status_code == 200
    version = gateway.post().json()["model_version"]
    assert reply.json() == {"status": "healthy", "model_loaded": True, "version": version}


def test_without_a_server_everything_is_503(start_gateway: StartGateway) -> None:
    gateway = start_gateway(PORT="1", STATUS_PORT="2", READY_FILE="")
    replies = [gateway.get(HEALTH), gateway.get(STATS), gateway.post(), gateway.post(REVIEW)]
    for reply in replies:
        expect_problem(reply, 503, "not_ready")
        assert reply.headers["Retry-After"] == "2"


def test_without_the_file_of_a_ready_server_no_pick_is_passed_on(
    start_gateway: StartGateway, server: LaunchedServer
) -> None:
    gateway = start_gateway(READY_FILE=f"{server.ready_file}-of-another")
    for path in (PICK, REVIEW):
        began = time.monotonic()
        reply = gateway.post(path)
        assert time.monotonic() - began < WITHIN_S
        expect_problem(reply, 503, "not_ready")
        assert gateway.logged(reply.headers["X-Request-Id"])["upstream_status"] == ""


@pytest.fixture(scope="module")
def up(nginx: None, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One worker; tests leave it ready."""
    with running_up(archive, tmp_path_factory.mktemp("up")) as started:
        yield started


def test_health_follows_a_killed_worker(up: Gateway) -> None:
    status = model_status(up.ports.management)
    assert status is not None
    assert status.ready == 1
    (worker,) = [each for each in up.named("python") if each.pid in status.pids]
    worker.kill()
    replies = []

    def bad() -> bool:
        replies.append(up.get(HEALTH))
        return replies[-1].status_code == 503

    until(bad, WITHIN_S)
    expect_problem(up.post(), 503, "not_ready")
    assert replies[-1].json() == {
        "status": "unavailable",
        "model_loaded": False,
        "version": status.version,
    }
    assert replies[-1].headers["Retry-After"] == "2"

    def ready() -> bool:
        status = model_status(up.ports.management)
        return status is not None and status.ready == 1

    until(ready, 30)
    until(lambda: up.get(HEALTH).status_code == 200, WITHIN_S)
    assert up.post().status_code == 200


def test_a_server_that_hangs_is_not_healthy(up: Gateway) -> None:
    """SIGSTOP: its ports are open, but nobody answers there."""
    (java,) = up.named("java")
    java.suspend()
    try:
        until(lambda: up.get(HEALTH).status_code == 503, WITHIN_S)
        expect_problem(up.post(), 503, "not_ready")
    finally:
        java.resume()
    until(lambda: up.get(HEALTH).status_code == 200, WITHIN_S)
