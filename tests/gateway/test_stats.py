"""The figures are TorchServe's own, and true against what was asked."""

from __future__ import annotations

import time

from .conftest import StartGateway
from .gateway import REVIEW, STATS, Gateway

FIELDS = {
    "total_requests": int,
    "avg_latency_ms": float,
    "avg_queue_ms": float,
    "model_version": str,
    "workers_ready": int,
    "uptime_s": int,
}


def test_figures_count_what_reached_the_model(gateway: Gateway) -> None:
    before = gateway.get(STATS).json()
    assert {name: type(value) for name, value in before.items()} == FIELDS
    began = time.monotonic()
    for number in range(20):
        assert gateway.post().status_code == 200
        if number % 5 == 0:
            assert gateway.post(REVIEW, {"requests": [{"pack": ["Opt"]}] * 3}).status_code == 200
            assert gateway.post(body={}).status_code == 422
            # These never reach it.
            assert gateway.get("/nope").status_code == 404
            assert gateway.post(body=b" " * 2_000_000).status_code == 413
    seconds = time.monotonic() - began
    after = gateway.get(STATS).json()
    asked = 20 + 4 + 4
    assert after["total_requests"] - before["total_requests"] == asked
    spent_ms = (
        after["avg_latency_ms"] * after["total_requests"]
        - before["avg_latency_ms"] * before["total_requests"]
    )
    # Requests came one after the other, so together they cannot take longer than all of it did.
    assert 0.5 * asked < spent_ms < seconds * 1000
    assert 0 < after["avg_queue_ms"] < after["avg_latency_ms"]
    assert after["workers_ready"] == 2
    assert after["model_version"] == gateway.post().json()["model_version"]


def test_a_new_server_starts_at_nought(start_up: StartGateway) -> None:
    gateway = start_up()
    figures = gateway.get(STATS).json()
    assert (figures["total_requests"], figures["avg_latency_ms"]) == (0, 0)
    assert figures["uptime_s"] < 60
    gateway.post()
    assert gateway.get(STATS).json()["total_requests"] == 1
