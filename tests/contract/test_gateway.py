"""The gateway's routes and errors in config/openapi.yaml are those it is rendered with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from infrastructure.gateway.problems import PROBLEM_JSON, PROBLEMS
from infrastructure.gateway.render import ROUTES, problem_bodies
from infrastructure.limits import load_limits

# No documented path gets it.
UNDOCUMENTED = {"unknown_route"}


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def gateway_operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of the paths that the gateway alone has."""
    for path, item in document["paths"].items():
        if any(":8000" in server["url"] for server in item.get("servers", ())):
            for method in item.keys() - {"servers"}:
                yield path, method, item[method]


def test_the_routes_are_documented_with_their_methods(openapi: dict[str, Any]) -> None:
    documented = {(path, method.upper()) for path, method, _ in gateway_operations(openapi)}
    # A HEAD is told in words, and TorchServe has the path of the last one itself.
    open_routes = {(each.path, each.methods[0]) for each in ROUTES}
    assert open_routes - documented == {("/predictions/draft", "POST")}
    assert documented <= open_routes


def test_every_problem_is_shown_as_it_is_sent(openapi: dict[str, Any]) -> None:
    bodies = problem_bodies(load_limits(env={}).gateway)
    expected = {code: json.loads(body.replace("${dollar}", "$")) for code, body in bodies.items()}
    shown = {}
    for _, _, operation in gateway_operations(openapi):
        for status, response in operation["responses"].items():
            content = resolve(openapi, response).get("content", {})
            for code, example in content.get(PROBLEM_JSON, {}).get("examples", {}).items():
                if code in expected:
                    assert example["value"] == expected[code]
                    shown[code] = int(status)
    statuses = {each.code: each.status for each in PROBLEMS if each.code not in UNDOCUMENTED}
    assert shown == statuses


def test_what_can_be_retried_says_when(openapi: dict[str, Any]) -> None:
    for path, _, operation in gateway_operations(openapi):
        for status in operation["responses"].keys() & {"429", "503", "504"}:
            response = resolve(openapi, operation["responses"][status])
            assert "Retry-After" in response["headers"], (path, status)
