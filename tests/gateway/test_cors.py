"""Web pages of the allowed origins, and only those, may ask and read answers and errors."""

from __future__ import annotations

import pytest
import requests

from tests.serving.server import LaunchedServer

from .conftest import StartGateway
from .gateway import HEALTH, PICK, PREDICT, REVIEW, STATS, Gateway

OURS, THEIRS = "https://draft.example.com", "https://evil.example.com"
METHODS = {PICK: "POST", PREDICT: "POST", REVIEW: "POST", HEALTH: "GET, HEAD", STATS: "GET, HEAD"}


def preflight(gateway: Gateway, path: str, origin: str, method: str = "POST") -> requests.Response:
    return gateway.http.options(
        gateway.url + path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type,x-api-key",
        },
        timeout=30,
    )


@pytest.mark.parametrize("path", METHODS)
def test_a_preflight_tells_what_is_allowed(gateway: Gateway, path: str) -> None:
    reply = preflight(gateway, path, OURS)
    assert reply.status_code == 204
    assert reply.content == b""
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Allow-Methods"] == METHODS[path]
    allowed = reply.headers["Access-Control-Allow-Headers"].split(", ")
    assert allowed == ["Content-Type", "X-Api-Key", "X-Request-Id"]
    assert int(reply.headers["Access-Control-Max-Age"]) > 0


def test_a_preflight_does_not_reach_torchserve(gateway: Gateway) -> None:
    reply = preflight(gateway, PICK, OURS)
    assert gateway.logged(reply.headers["X-Request-Id"])["upstream_status"] == ""


def test_there_is_no_preflight_of_a_closed_route(gateway: Gateway) -> None:
    assert preflight(gateway, "/models", OURS).status_code == 404


def test_named_origins_are_allowed_and_others_are_not(start_gateway: StartGateway) -> None:
    gateway = start_gateway(CORS_ORIGINS=f"{OURS.upper()}, http://localhost:3000")
    for origin in (OURS, "http://localhost:3000"):
        replies = [
            preflight(gateway, PICK, origin),
            gateway.post(Origin=origin),
            gateway.post(body={}, Origin=origin),
            gateway.get("/nope", Origin=origin),
        ]
        assert [reply.status_code for reply in replies] == [204, 200, 422, 404]
        for reply in replies:
            assert reply.headers["Access-Control-Allow-Origin"] == origin
            assert reply.headers["Vary"] == "Origin"
            assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
    for origin in (THEIRS, f"{OURS}.evil.com", "http://draft.example.com", "null"):
        for reply in (preflight(gateway, PICK, origin), gateway.post(Origin=origin)):
            assert not [name for name in reply.headers if name.startswith("Access-Control")]
            assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origins", ["draft.example.com", "https://a.com/x", "*, https://a.com", "https://*"]
)
def test_bad_origins_keep_the_gateway_from_starting(server: LaunchedServer, origins: str) -> None:
    gateway = Gateway({"CORS_ORIGINS": origins}, server)
    try:
        assert gateway.end() == 1
        assert "CORS_ORIGINS must be" in gateway.log
    finally:
        gateway.close()
