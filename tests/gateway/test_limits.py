"""Each limit lets through what it says and refuses the rest, for each client by itself."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.serving.server import LaunchedServer

from .conftest import StartGateway
from .gateway import BODY, HEALTH, PICK, PREDICT, REVIEW, STATS, Gateway, expect_problem

REVIEW_BODY = {"requests": [BODY]}
# So slow that no test sees a token come back by itself.
SLOW = 1


def statuses(replies: list[requests.Response]) -> list[int]:
    return [reply.status_code for reply in replies]


def test_a_burst_passes_and_the_next_is_told_when_to_come_back(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway({"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 7})
    replies = [gateway.post() for _ in range(12)]
    assert statuses(replies) == [200] * 7 + [429] * 5
    for reply in replies[7:]:
        expect_problem(reply, 429, "rate_limited")
        assert reply.headers["Retry-After"] == "60"
        assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
    # Both paths are one route; the others have limits of their own.
    assert gateway.post(PREDICT).status_code == 429
    assert gateway.post(REVIEW, REVIEW_BODY).status_code == 200
    assert gateway.get(STATS).status_code == 200
    assert gateway.get(HEALTH).status_code == 200


def test_who_waits_as_long_as_told_is_served(start_gateway: StartGateway) -> None:
    gateway = start_gateway({"picks_per_ip_per_min": 60, "picks_per_ip_burst": 2})
    replies = [gateway.post() for _ in range(3)]
    assert statuses(replies) == [200, 200, 429]
    time.sleep(int(replies[-1].headers["Retry-After"]))
    assert gateway.post().status_code == 200


def test_the_rate_is_the_limit(start_gateway: StartGateway) -> None:
    # Far below what one client asks for on a busy machine.
    rate, burst = 600, 10
    gateway = start_gateway({"picks_per_ip_per_min": rate, "picks_per_ip_burst": burst})
    began, passed, refused_s = time.monotonic(), 0, []
    while (now := time.monotonic()) - began < 3:
        reply = gateway.post()
        if reply.status_code == 200:
            passed += 1
        else:
            assert reply.status_code == 429
            refused_s.append(time.monotonic() - now)
    expected = burst + (now - began) * rate / 60
    assert passed == pytest.approx(expected, rel=0.1)
    assert statistics.median(refused_s) < 0.05


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [("reviews", REVIEW, REVIEW_BODY), ("stats", STATS, None)],
)
def test_reviews_and_figures_have_limits_of_their_own(
    start_gateway: StartGateway, name: str, path: str, body: object
) -> None:
    gateway = start_gateway({f"{name}_per_ip_per_min": 5, f"{name}_per_ip_burst": 3})
    replies = [gateway.post(path, body) if body else gateway.get(path) for _ in range(5)]
    assert statuses(replies) == [200, 200, 200, 429, 429]
    expect_problem(replies[-1], 429, "rate_limited")
    assert replies[-1].headers["Retry-After"] == "12"
    assert gateway.post().status_code == 200


def test_the_files_own_limits_hold(server: LaunchedServer) -> None:
    """Without any change: the numbers of config/limits.json."""
    gateway = Gateway({}, server)
    try:
        gateway.wait_until_ready()
        began = time.monotonic()
        passed = [
            statuses([gateway.get(STATS) for _ in range(12)]).count(200),
            statuses([gateway.post(REVIEW, REVIEW_BODY) for _ in range(7)]).count(200),
            statuses([gateway.post() for _ in range(60)]).count(200),
        ]
        minutes = (time.monotonic() - began) / 60
        # Meanwhile tokens come back: the slower the machine, the more of them.
        for each, burst, rate in zip(passed, (10, 5, 20), (10, 5, 100), strict=True):
            assert burst <= each <= burst + rate * minutes
    finally:
        gateway.close()


def test_rate_limit_overrides_the_file(start_gateway: StartGateway) -> None:
    gateway = start_gateway(RATE_LIMIT="2/minute")
    replies = [gateway.post() for _ in range(3)]
    assert statuses(replies) == [200, 200, 429]
    assert replies[-1].headers["Retry-After"] == "30"


@pytest.mark.parametrize("name", ["RATE_LIMIT", "RATE_LIMIT_PER_SECOND"])
def test_a_bad_rate_keeps_the_gateway_from_starting(server: LaunchedServer, name: str) -> None:
    gateway = Gateway({name: "fast"}, server)
    try:
        assert gateway.end() == 1
        assert f"gateway: {name} must be a whole number of requests" in gateway.log
    finally:
        gateway.close()


def test_a_limit_for_keys_without_keys_is_not_dropped_in_silence(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(RATE_LIMIT_PER_SECOND="3")
    assert "without API_KEYS_FILE there are none" in gateway.log


def test_clients_behind_a_proxy_are_told_apart(start_gateway: StartGateway) -> None:
    gateway = start_gateway(
        {"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 2}, TRUSTED_PROXIES="127.0.0.1"
    )
    for client in ("203.0.113.7", "2001:db8::7"):
        replies = [gateway.post(X_Forwarded_For=client) for _ in range(3)]
        assert statuses(replies) == [200, 200, 429]
    assert gateway.post(X_Forwarded_For="203.0.113.8").status_code == 200


def test_what_a_client_writes_left_of_its_address_does_not_count(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(
        {"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 2},
        TRUSTED_PROXIES="127.0.0.1 10.0.0.0/8",
    )
    lies = ["198.51.100.1", "10.1.1.1", "127.0.0.1", "junk", "203.0.113.7"]
    # client -> load balancer 10.9.9.9 -> gateway
    replies = [gateway.post(X_Forwarded_For=f"{lie}, 203.0.113.7, 10.9.9.9") for lie in lies]
    assert statuses(replies) == [200, 200, 429, 429, 429]
    assert gateway.logged(replies[0].headers["X-Request-Id"])["client"] == "203.0.113.7"


def test_nobody_is_trusted_unless_named(start_gateway: StartGateway) -> None:
    gateway = start_gateway({"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 2})
    replies = [gateway.post(X_Forwarded_For=f"203.0.113.{number}") for number in range(3)]
    assert statuses(replies) == [200, 200, 429]
    assert gateway.logged(replies[0].headers["X-Request-Id"])["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("networks", "complaint"),
    [("10.0.0.1/8", "has host bits set"), ("proxy", "not 'proxy'"), ("0.0.0.0/0", "everybody")],
)
def test_bad_networks_keep_the_gateway_from_starting(
    server: LaunchedServer, networks: str, complaint: str
) -> None:
    gateway = Gateway({"TRUSTED_PROXIES": networks}, server)
    try:
        assert gateway.end() == 1
        assert complaint in gateway.log
    finally:
        gateway.close()


def test_requests_in_flight_are_limited(start_gateway: StartGateway) -> None:
    gateway = start_gateway({"requests_in_flight_per_ip": 3, "body_timeout_s": 5})
    head = b"POST /api/v1/draft/pick HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    # Bodies that do not come, one more than may wait: our own attempts may take a place at first.
    waiting = [
        threading.Thread(target=gateway.raw, args=(head, 4.0), daemon=True) for _ in range(4)
    ]
    for each in waiting:
        each.start()
    deadline = time.monotonic() + 3
    while (reply := gateway.post()).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    expect_problem(reply, 429, "too_many_in_flight")
    assert reply.headers["Retry-After"] == "1"
    for each in waiting:
        each.join()
    assert gateway.post().status_code == 200


def test_preflights_and_wrong_requests_use_up_nothing(start_gateway: StartGateway) -> None:
    gateway = start_gateway({"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 1})
    for _ in range(5):
        preflight = gateway.http.options(
            gateway.url + PICK,
            headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"},
            timeout=30,
        )
        assert preflight.status_code == 204
        assert gateway.get(PICK).status_code == 405
    assert statuses([gateway.post(), gateway.post()]) == [200, 429]


def test_new_limits_are_taken_on_reload(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway({"picks_per_ip_per_min": SLOW, "picks_per_ip_burst": 1})
    assert statuses([gateway.post(), gateway.post()]) == [200, 429]
    path = tmp_path / "limits.json"
    path.write_text(path.read_text().replace('"picks_per_ip_burst": 1', '"picks_per_ip_burst": 4'))
    gateway.reload()
    gateway.wait_for(lambda: gateway.post().status_code == 200, "the new limit")
