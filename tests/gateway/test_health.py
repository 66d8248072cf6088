"""`/health` follows the workers, and no pick is passed on while none is ready."""

from __future__ import annotations

import time
from collections.abc import Callable

from infrastructure.readiness import model_status
from tests.serving.server import LaunchedServer

from .conftest import StartGateway
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
        assert time.monotonic() - began < 0.5
        expect_problem(reply, 503, "not_ready")
        assert gateway.logged(reply.headers["X-Request-Id"])["upstream_status"] == ""


def test_health_follows_a_killed_worker(start_up: StartGateway) -> None:
    gateway = start_up()
    status = model_status(gateway.ports.management)
    assert status is not None
    assert status.ready == 1
    (worker,) = [each for each in gateway.named("python") if each.pid in status.pids]
    worker.kill()
    until(lambda: gateway.get(HEALTH).status_code == 503, WITHIN_S)
    reply = gateway.get(HEALTH)
    if reply.status_code == 503:
        assert reply.json() == {
            "status": "unavailable",
            "model_loaded": False,
            "version": status.version,
        }
        assert reply.headers["Retry-After"] == "2"
        expect_problem(gateway.post(), 503, "not_ready")

    def ready() -> bool:
        status = model_status(gateway.ports.management)
        return status is not None and status.ready == 1

    until(ready, 30)
    until(lambda: gateway.get(HEALTH).status_code == 200, WITHIN_S)
    assert gateway.post().status_code == 200


def test_one_ready_worker_of_two_is_healthy(start_up: StartGateway) -> None:
    gateway = start_up(WORKERS="2")
    gateway.wait_for_all_workers()
    status = model_status(gateway.ports.management)
    assert status is not None
    next(each for each in gateway.named("python") if each.pid in status.pids).kill()
    began, replies = time.monotonic(), []
    while time.monotonic() - began < WITHIN_S:
        replies.append(gateway.get(HEALTH).status_code)
        time.sleep(0.1)
    assert set(replies) == {200}


def test_a_server_that_hangs_is_not_healthy(start_up: StartGateway) -> None:
    """SIGSTOP: its ports are open, but nobody answers there."""
    gateway = start_up()
    (java,) = gateway.named("java")
    java.suspend()
    try:
        until(lambda: gateway.get(HEALTH).status_code == 503, WITHIN_S)
        expect_problem(gateway.post(), 503, "not_ready")
    finally:
        java.resume()
    until(lambda: gateway.get(HEALTH).status_code == 200, WITHIN_S)
