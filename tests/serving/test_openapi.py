"""The examples of config/openapi.yaml are what the running server answers.

The 503 of a full queue needs a server of its own: test_batches.py holds that example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from .server import JSON, ROOT, LaunchedServer

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (ROOT / "config" / "openapi.yaml").read_text(encoding="utf-8")
)
PREDICT = "/predictions/draft"
POST = DOCUMENT["paths"][PREDICT]["post"]
REQUESTS = POST["requestBody"]["content"]["application/json"]["examples"]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def errors() -> Iterator[Any]:
    """(status, media type, example) of every error that an `x-request` is said to get."""
    for status, response in POST["responses"].items():
        for media_type, media in resolve(response).get("content", {}).items():
            for name, example in media["examples"].items():
                if "x-request" in example:
                    yield pytest.param(int(status), media_type, example, id=f"{status} {name}")


def same_shape(documented: Any, real: Any) -> bool:
    """Equal, but for the value of a number that is no integer: those depend on the weights."""
    if isinstance(documented, dict) and isinstance(real, dict):
        return list(documented) == list(real) and all(
            same_shape(documented[key], real[key]) for key in documented
        )
    if isinstance(documented, list) and isinstance(real, list):
        return len(documented) == len(real) and all(map(same_shape, documented, real))
    if isinstance(documented, float | int) and isinstance(real, float):
        return True
    return type(documented) is type(real) and documented == real


def unranked(answer: Any) -> Any:
    """An answer without what follows from its probabilities: order, and who is first."""
    if isinstance(answer, dict):
        kept = {key: unranked(value) for key, value in answer.items() if key != "recommended_pick"}
        if "ranking" in kept:
            by_place = sorted(kept["ranking"], key=lambda entry: entry["index"])
            kept["ranking"] = [{**entry, "rank": 0} for entry in by_place]
        return kept
    return [unranked(item) for item in answer] if isinstance(answer, list) else answer


def expect_schema(schema: dict[str, Any], instance: Any) -> None:
    checker = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    assert [error.message for error in checker.iter_errors(instance)] == []


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_get_the_answers_shown(server: LaunchedServer, name: str) -> None:
    reply = server.http.post(server.url + PREDICT, json=REQUESTS[name]["value"], timeout=30)
    assert reply.status_code == 200, reply.text
    media = POST["responses"]["200"]["content"]["application/json"]
    expect_schema(media["schema"], reply.json())
    shown = media["examples"][name]["value"]
    assert same_shape(unranked(shown), unranked(reply.json())), reply.text


@pytest.mark.parametrize(("status", "media_type", "example"), list(errors()))
def test_errors_are_the_errors_shown(
    server: LaunchedServer, status: int, media_type: str, example: dict[str, Any]
) -> None:
    request = example["x-request"]
    body = request.get("body", "{}") * request.get("times", 1)
    reply = server.http.post(
        server.url + request.get("path", PREDICT),
        data=body.encode(request.get("encoding", "utf-8")),
        headers={"Content-Type": request.get("content-type", "application/json")},
        timeout=30,
    )
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == media_type
    assert reply.json() == example["value"]


def test_too_large_a_body_is_answered_as_described(server: LaunchedServer) -> None:
    response = resolve(POST["responses"]["413"])
    assert "content" not in response
    reply = server.http.post(server.url + PREDICT, data=b" " * 2_000_000, headers=JSON, timeout=30)
    assert (reply.status_code, reply.content) == (413, b"")
    length = response["headers"]["Content-Length"]["schema"]["const"]
    assert reply.headers["Content-Length"] == str(length)


def test_get_is_answered_as_described(server: LaunchedServer) -> None:
    shown = resolve(POST["responses"]["400"])["content"]["application/problem+json"]["examples"]
    reply = server.http.get(server.url + PREDICT, timeout=30)
    assert (reply.status_code, reply.json()) == (400, shown["empty_body"]["value"])


def test_description_is_of_the_shape_shown(server: LaunchedServer) -> None:
    server.wait_for_all_workers()
    reply = server.http.get(
        f"{server.management_url}/models/draft", params={"customized": "true"}, timeout=30
    )
    media = DOCUMENT["paths"]["/models/draft"]["get"]["responses"]["200"]["content"]
    media = media["application/json"]
    expect_schema(media["schema"], reply.json())
    (shown,) = media["examples"]["draft"]["value"]
    (real,) = reply.json()
    assert shown.keys() <= real.keys()
    for key in ("modelName", "modelVersion", "minWorkers", "maxWorkers", "batchSize"):
        assert shown[key] == real[key]
    described = shown["customizedMetadata"], real["customizedMetadata"]
    assert list(described[0]) == list(described[1])
    assert described[0]["metrics"].keys() <= described[1]["metrics"].keys()


def test_unknown_model_of_the_management_api(server: LaunchedServer) -> None:
    responses = DOCUMENT["paths"]["/models/draft"]["get"]["responses"]
    example = responses["404"]["content"]["application/json"]["examples"]["unknown_model"]
    reply = server.http.get(server.management_url + example["x-request"]["path"], timeout=30)
    assert (reply.status_code, reply.json()) == (404, example["value"])
