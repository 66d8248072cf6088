"""Which routes are open, with which methods, and what the others get."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infrastructure.gateway.problems import PROBLEMS
from tests.serving.server import ROOT, LaunchedServer

from .gateway import BODY, HEALTH, PICK, PREDICT, REVIEW, STATS, Gateway, expect_problem

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("path", [PICK, PREDICT])
def test_a_pick_is_answered_as_torchserve_answers(
    gateway: Gateway, server: LaunchedServer, path: str
) -> None:
    direct = server.http.post(server.url + PREDICT, json=BODY, timeout=30)
    reply = gateway.post(path)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    answers = [reply.json(), direct.json()]
    for answer in answers:
        assert answer.pop("latency_ms") > 0
    assert answers[0] == answers[1]


def test_a_review_is_answered(gateway: Gateway) -> None:
    reply = gateway.post(REVIEW, {"requests": [BODY, {"pack": []}, BODY]})
    assert reply.status_code == 200
    assert reply.json()["errors"] == 1
    assert [("error" in result) for result in reply.json()["results"]] == [False, True, False]


@pytest.mark.parametrize("path", [PICK, REVIEW, HEALTH, STATS])
def test_answers_fit_their_documented_schemas(gateway: Gateway, path: str) -> None:
    content = {"requests": [BODY, {"pack": []}]} if path == REVIEW else BODY
    reply = gateway.post(path, content) if path in (PICK, REVIEW) else gateway.get(path)
    (operation,) = (
        each for name, each in DOCUMENT["paths"][path].items() if name in ("get", "post")
    )
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    checker = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    assert [error.message for error in checker.iter_errors(reply.json())] == []


@pytest.mark.parametrize("path", [HEALTH, STATS])
def test_get_routes_answer_head_as_well(gateway: Gateway, path: str) -> None:
    got, head = gateway.get(path), gateway.http.head(gateway.url + path, timeout=30)
    assert got.status_code == head.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"] == "application/json"


ALLOW = {
    PICK: "POST, OPTIONS",
    PREDICT: "POST, OPTIONS",
    REVIEW: "POST, OPTIONS",
    HEALTH: "GET, HEAD, OPTIONS",
    STATS: "GET, HEAD, OPTIONS",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
WRONG_METHODS = [
    (path, method)
    for path, allow in ALLOW.items()
    for method in METHODS
    if method == "OPTIONS" or method not in allow
]


@pytest.mark.parametrize(("path", "method"), WRONG_METHODS)
def test_other_methods_get_405_and_what_is_allowed(
    gateway: Gateway, path: str, method: str
) -> None:
    # An OPTIONS without an origin is no preflight.
    reply = gateway.http.request(method, gateway.url + path, timeout=30)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == ALLOW[path]
    if method != "HEAD":
        expect_problem(reply, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("OPTIONS", "/"),
        ("GET", "/ping"),
        ("GET", "/models"),
        ("POST", "/models?url=https://example.com/evil.mar"),
        ("GET", "/models/draft"),
        ("PUT", "/models/draft?min_worker=9"),
        ("DELETE", "/models/draft"),
        ("GET", "/metrics"),
        ("GET", "/api-description"),
        ("POST", "/predictions/sealed"),
        ("POST", "/predictions/draft/0.1.0"),
        ("POST", "/predictions/draft/"),
        ("POST", "/explanations/draft"),
        ("POST", "/invocations"),
        ("POST", "/v1/models/draft:predict"),
        ("GET", "/v1/models/draft"),
        ("GET", "/v2/health/ready"),
        ("POST", "/v2/models/draft/infer"),
        ("GET", "/stats"),
        ("GET", "/nginx_status"),
        ("GET", "/-/bad-key"),
        ("POST", "/api/v1/draft/start"),
        ("POST", "/api/v1/draft/pick/"),
        ("GET", "/health/"),
        ("GET", "/api/v1/draft/pick/../../../../ping"),
        ("GET", "/%70ing"),
        ("GET", "/.env"),
    ],
)
def test_everything_else_is_404(gateway: Gateway, method: str, path: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    answer = gateway.raw(f"{head}{{}}".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 "), answer
    assert json.loads(body)["code"] == "unknown_route"


def test_a_query_changes_nothing(gateway: Gateway) -> None:
    assert gateway.post(f"{PICK}?x=1&request_id=evil").status_code == 200


DOCUMENT: dict[str, Any] = yaml.safe_load(
    (ROOT / "config" / "openapi.yaml").read_text(encoding="utf-8")
)
HANDLER_ERRORS = [
    pytest.param(example, id=name)
    for response in ("BadRequest", "UnsupportedMediaType", "Unprocessable")
    for name, example in DOCUMENT["components"]["responses"][response]["content"][
        "application/problem+json"
    ]["examples"].items()
    if "x-request" in example and "form" not in example["x-request"].get("content-type", "")
]


@pytest.mark.parametrize("example", HANDLER_ERRORS)
def test_the_handlers_errors_pass_untouched(
    gateway: Gateway, server: LaunchedServer, example: dict[str, Any]
) -> None:
    request = example["x-request"]
    body = (request.get("body", "{}") * request.get("times", 1)).encode(
        request.get("encoding", "utf-8")
    )
    headers = {"Content-Type": request.get("content-type", "application/json")}
    direct = server.http.post(server.url + PREDICT, data=body, headers=headers, timeout=30)
    reply = gateway.http.post(gateway.url + PICK, data=body, headers=headers, timeout=30)
    assert (reply.status_code, reply.content) == (direct.status_code, direct.content)
    assert reply.headers["Content-Type"] == direct.headers["Content-Type"]


@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "Multipart/Form-Data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
    ],
)
def test_forms_are_refused_before_torchserve_takes_them_apart(
    gateway: Gateway, media_type: str
) -> None:
    reply = gateway.post(body=b"pack=Opt", Content_Type=media_type)
    expect_problem(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", [PICK, REVIEW])
def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(gateway: Gateway, path: str) -> None:
    content = BODY if path == PICK else {"requests": [BODY] * 45}
    body = json.dumps(content).encode()
    assert gateway.post(path, body.ljust(MEBIBYTE)).status_code == 200
    expect_problem(gateway.post(path, body.ljust(MEBIBYTE + 1)), 413, "body_too_large")


def test_a_chunked_body_is_limited_as_well(gateway: Gateway) -> None:
    def chunks(total: int):
        body = json.dumps(BODY).encode().ljust(total)
        for start in range(0, total, 1 << 16):
            yield body[start : start + (1 << 16)]

    headers = {"Content-Type": "application/json"}
    reply = gateway.http.post(gateway.url + PICK, data=chunks(500_000), headers=headers, timeout=30)
    assert reply.status_code == 200
    answer = gateway.raw(
        b"POST /api/v1/draft/pick HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks(MEBIBYTE + 1))
        + b"0\r\n\r\n",
        timeout=3,
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


def test_a_long_address_is_refused(gateway: Gateway) -> None:
    limit = 2048
    path = f"{HEALTH}?"
    assert gateway.get(path + "x" * (limit - len(path))).status_code == 200
    expect_problem(gateway.get(path + "x" * (limit + 1 - len(path))), 414, "uri_too_long")
    # So long that nginx stops reading.
    expect_problem(gateway.get(path + "x" * 20_000), 414, "uri_too_long")


def test_long_headers_are_refused(gateway: Gateway) -> None:
    assert gateway.get(HEALTH, X_Long="x" * 8000).status_code == 200
    expect_problem(gateway.get(HEALTH, X_Long="x" * 8200), 431, "headers_too_large")
    many = {f"X_{number}": "x" * 7000 for number in range(5)}
    expect_problem(gateway.get(HEALTH, **many), 431, "headers_too_large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /api/v1/draft/pick HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST /api/v1/draft/pick HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /api/v1/draft/pick HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_malformed_headers_are_a_problem_of_ours(gateway: Gateway, head: bytes) -> None:
    answer = gateway.raw(head, timeout=2)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b'"code":"malformed_request"' in answer


@pytest.mark.parametrize(
    "junk", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n"]
)
def test_what_is_no_http_is_a_problem_as_well(gateway: Gateway, junk: bytes) -> None:
    answer = gateway.raw(junk, timeout=2)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"application/problem+json" in answer
    assert b'"code":"malformed_request"' in answer
    assert gateway.post().status_code == 200


def test_every_problem_has_a_body_of_its_own(gateway: Gateway) -> None:
    """The bodies are rendered into the configuration; none may be cut or empty."""
    bodies = {each.code: json.loads(each.body()) for each in PROBLEMS}
    assert len(bodies) == len(PROBLEMS)
    shown = expect_problem(gateway.get("/nope"), 404, "unknown_route")
    assert shown == bodies["unknown_route"]
    shown = expect_problem(gateway.post(body=b" " * (MEBIBYTE + 1)), 413, "body_too_large")
    assert shown["detail"] == f"a body may have {MEBIBYTE} bytes"
