"""What crashes takes with it what it had in hand, each with a clean 5xx, and nothing else."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from loadtests.answers import Outcome
from tests.gateway.conftest import StartGateway
from tests.gateway.gateway import HEALTH, Gateway

from .client import Clients
from .conftest import java, program, workers

CLIENTS = 16
HEALTH_WINDOW_S = 2.0
"""In which /health must tell the truth."""

BACK_S = 150.0
"""Patience with a start on a busy machine; on a quiet one it takes some 4 s after the pause."""

# What the gateway says for a request that a worker had, and for one that found no worker.
IN_HAND = {500, 502, 503, 504}


def expect_only_clean_errors(clients: Clients, at: float, most_in_hand: int) -> None:
    """No wrong answer, no lost connection; errors only from `at` on, and few but `not_ready`."""
    account = clients.account()
    assert clients.of(Outcome.WRONG, Outcome.FAILED) == [], account
    errors = clients.of(Outcome.REFUSED)
    assert {each.status for each in errors} <= IN_HAND, account
    assert all(each.code and each.ended >= at for each in errors), account
    in_hand = [each for each in errors if each.code != "not_ready"]
    assert len(in_hand) <= most_in_hand, account


def wait_for_health(up: Gateway, status: int, seconds: float) -> float:
    """Wait until /health answers so; return how long it took."""
    began = time.monotonic()
    while up.get(HEALTH).status_code != status:
        took = time.monotonic() - began
        assert took < seconds, f"/health was not {status} after {took:.1f} s:\n{up.log[-3000:]}"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_killed_worker_takes_only_what_it_had(up: Gateway) -> None:
    (victim, _) = workers(up)
    with Clients(up.port, CLIENTS) as clients:
        clients.wait_for_answers(100)
        at = time.monotonic()
        victim.kill()
        # The other worker goes on meanwhile, and so health does not change; then both do.
        health = set()
        while time.monotonic() - at < HEALTH_WINDOW_S:
            health.add(up.get(HEALTH).status_code)
            time.sleep(0.1)
        assert health == {200}
        clients.wait_for_answers(200)
        up.wait_for(lambda: len(workers(up)) == 2, "a new worker")
        up.wait_for_all_workers()
        clients.wait_for_answers(100)
    expect_only_clean_errors(clients, at, most_in_hand=CLIENTS)
    assert up.get(HEALTH).status_code == 200


def test_a_killed_java_comes_back(up: Gateway) -> None:
    with Clients(up.port, CLIENTS) as clients:
        clients.wait_for_answers(100)
        at = time.monotonic()
        java(up).kill()
        wait_for_health(up, 503, HEALTH_WINDOW_S)
        wait_for_health(up, 200, BACK_S)
        clients.wait_for_answers(100)
    expect_only_clean_errors(clients, at, most_in_hand=CLIENTS)
    assert "infrastructure.serve ended by itself (exit code 1); it is started again" in up.log
    refused = [each for each in clients.of(Outcome.REFUSED) if each.code == "not_ready"]
    assert refused, "while it was away, the gateway said so"
    assert all(each.reason == "" for each in refused), "with Retry-After"


def starts_that_failed(up: Gateway) -> int:
    """How often the server ended by itself since Java was killed."""
    return up.log.count("serve ended by itself") - 1


def test_a_corrupt_archive_on_restart_turns_health_red(
    start_up: StartGateway, folder: Path, archive: Path
) -> None:
    """Health is 503 within its window and stays so; a repaired archive needs nobody's help."""
    own = folder / "own.mar"
    shutil.copy(archive, own)
    checksum = archive.with_name(archive.name + ".sha256")
    if checksum.is_file():
        shutil.copy(checksum, own.with_name(own.name + ".sha256"))
    up = start_up(MODEL_PATH=str(own))
    good = own.read_bytes()
    with Clients(up.port, 4) as clients:
        clients.wait_for_answers(20)
        own.write_bytes(good[: len(good) // 2])
        at = time.monotonic()
        java(up).kill()
        wait_for_health(up, 503, HEALTH_WINDOW_S)
        # Once for Java's end, once for each start that failed.
        up.wait_for(lambda: starts_that_failed(up) == 1, "a failed restart")
        own.write_bytes(bytes(reversed(good)))
        up.wait_for(lambda: starts_that_failed(up) == 2, "another failed restart")
        assert up.get(HEALTH).status_code == 503
        own.write_bytes(good)
        wait_for_health(up, 200, BACK_S)
        clients.wait_for_answers(20)
    expect_only_clean_errors(clients, at, most_in_hand=4)


def test_a_killed_launcher_comes_back(up: Gateway) -> None:
    """SIGKILL, as the kernel's when memory runs out: nothing of it may stay in the way."""
    with Clients(up.port, CLIENTS) as clients:
        clients.wait_for_answers(50)
        at = time.monotonic()
        program(up, "infrastructure.serve").kill()
        # Its file says "ready" until the new one has started, which costs refusals, not answers.
        clients.wait_for(
            lambda: any(each.code == "not_ready" for each in clients.results), "refusals"
        )
        wait_for_health(up, 200, BACK_S)
        clients.wait_for_answers(50)
    expect_only_clean_errors(clients, at, most_in_hand=CLIENTS)
