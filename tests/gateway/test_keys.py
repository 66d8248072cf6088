"""With a file of keys: who may ask, how often, and what becomes of the file's changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .conftest import StartGateway
from .gateway import HEALTH, PICK, PREDICT, REVIEW, STATS, Gateway, expect_problem

ALICE, BOB = "AliceAliceAliceAlice1", "b0b" * 10


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.touch(mode=0o600)
    path.write_text(f"# who may ask\nalice {ALICE}\nbob\t{BOB}  # since May\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("path", [PICK, PREDICT, REVIEW, STATS])
def test_every_route_but_health_asks_for_a_key(
    start_gateway: StartGateway, keys: Path, path: str
) -> None:
    gateway = start_gateway(API_KEYS_FILE=str(keys))
    ask = gateway.get if path == STATS else gateway.post
    missing, unknown = ask(path), ask(path, X_Api_Key="x" * 30)
    expect_problem(missing, 401, "missing_api_key")
    expect_problem(unknown, 401, "unknown_api_key")
    for reply in (missing, unknown):
        assert reply.headers["WWW-Authenticate"] == 'ApiKey realm="draft"'
    assert ask(path, X_Api_Key=BOB).status_code in (200, 422)
    assert gateway.get(HEALTH).status_code == 200


def test_a_key_is_compared_exactly_and_logged_by_name(
    start_gateway: StartGateway, keys: Path
) -> None:
    gateway = start_gateway(API_KEYS_FILE=str(keys))
    reply = gateway.post(X_Api_Key=ALICE)
    assert reply.status_code == 200
    assert gateway.logged(reply.headers["X-Request-Id"])["key"] == "alice"
    for wrong in (ALICE.lower(), ALICE.upper(), ALICE[:-1], ALICE + "1", f"{ALICE} alice",
                  f"{ALICE}, {BOB}", "alice", "#", "~^.*$"):  # fmt: skip
        expect_problem(gateway.post(X_Api_Key=wrong), 401, "unknown_api_key")
    assert ALICE not in gateway.log


def test_each_key_has_a_limit_of_its_own(start_gateway: StartGateway, keys: Path) -> None:
    gateway = start_gateway(
        {"requests_per_key_per_s": 1, "requests_per_key_burst": 4}, API_KEYS_FILE=str(keys)
    )
    began = time.monotonic()
    for key in (ALICE, BOB):
        replies = [gateway.post(X_Api_Key=key) for _ in range(12)]
        passed = [reply.status_code for reply in replies].count(200)
        assert 4 <= passed <= 4 + time.monotonic() - began
        refused = next(reply for reply in replies if reply.status_code != 200)
        expect_problem(refused, 429, "rate_limited")
        assert refused.headers["Retry-After"] == "1"


def test_a_flood_of_bad_keys_is_limited_and_costs_the_good_ones_nothing(
    start_gateway: StartGateway, keys: Path
) -> None:
    gateway = start_gateway(
        {
            "bad_keys_per_ip_per_min": 1,
            "bad_keys_per_ip_burst": 6,
            "picks_per_ip_per_min": 1,
            "picks_per_ip_burst": 2,
        },
        API_KEYS_FILE=str(keys),
    )
    replies = [gateway.post(X_Api_Key=f"guess{number:020}") for number in range(20)]
    assert [reply.status_code for reply in replies] == [401] * 6 + [429] * 14
    assert replies[-1].headers["Retry-After"] == "60"
    # The good ones of the same address have their own budget.
    good = [gateway.post(X_Api_Key=ALICE).status_code for _ in range(3)]
    assert good == [200, 200, 429]


def test_rate_limit_per_second_overrides_the_limit_of_a_key(
    start_gateway: StartGateway, keys: Path
) -> None:
    gateway = start_gateway(
        {"requests_per_key_burst": 10}, API_KEYS_FILE=str(keys), RATE_LIMIT_PER_SECOND="2"
    )
    assert "there are none" not in gateway.log
    began = time.monotonic()
    statuses = [gateway.post(X_Api_Key=ALICE).status_code for _ in range(8)]
    assert 2 <= statuses.count(200) <= 2 + 2 * (time.monotonic() - began)


def reach_with(gateway: Gateway, key: str) -> int:
    return gateway.post(X_Api_Key=key).status_code


def test_keys_are_exchanged_without_a_restart(start_gateway: StartGateway, keys: Path) -> None:
    gateway = start_gateway(API_KEYS_FILE=str(keys))
    assert reach_with(gateway, ALICE) == 200
    new = "n3w" * 8
    keys.write_text(f"bob {BOB}\ncarol {new}\n", encoding="utf-8")
    gateway.reload()
    gateway.wait_for(lambda: reach_with(gateway, new) == 200, "the new key")
    gateway.wait_for(lambda: reach_with(gateway, ALICE) == 401, "the end of the old key")
    assert reach_with(gateway, BOB) == 200


@pytest.mark.parametrize("content", ["", "alice\n", "alice short\n"])
def test_a_bad_file_on_reload_changes_nothing(
    start_gateway: StartGateway, keys: Path, content: str
) -> None:
    gateway = start_gateway(API_KEYS_FILE=str(keys))
    keys.write_text(content, encoding="utf-8")
    gateway.reload()
    assert "nothing was reloaded: API_KEYS_FILE" in gateway.log
    assert reach_with(gateway, ALICE) == 200
    # Nor does it once nginx reads its configuration again for another reason.
    keys.write_text(f"alice {ALICE}\n", encoding="utf-8")
    gateway.reload()
    gateway.wait_for(lambda: reach_with(gateway, BOB) == 401, "the end of the old key")
    assert reach_with(gateway, ALICE) == 200
