"""config/limits.json is where limits are written; what cannot read it is held to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from handler.errors import DraftError, Problem
from infrastructure.gateway.problems import PROBLEMS
from infrastructure.limits import load_limits, schema
from infrastructure.torchserve import read_properties


def leaves(base: type[DraftError] = DraftError) -> list[type[DraftError]]:
    children = base.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [base]


@pytest.fixture(scope="module")
def limits(root: Path) -> dict[str, Any]:
    return json.loads((root / "config" / "limits.json").read_text(encoding="utf-8"))


def test_the_schema_file_is_the_classes_schema(root: Path) -> None:
    written = json.loads((root / "config" / "limits.schema.json").read_text(encoding="utf-8"))
    assert written == schema(), "run: python -m infrastructure.limits --schema"


def test_the_file_obeys_the_schema(root: Path, limits: dict[str, Any]) -> None:
    written = json.loads((root / "config" / limits["$schema"]).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(written)
    jsonschema.validate(limits, written)
    broken = json.loads(json.dumps(limits))
    broken["gateway"]["picks_per_ip_per_min"] = "100"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, written)


def test_the_file_is_flat_and_typed(limits: dict[str, Any]) -> None:
    """Terraform reads it with jsondecode, where `local.limits.waf.picks_per_ip` is a number."""
    for name, section in limits.items():
        if name != "$schema":
            assert {type(value) for value in section.values()} == {int}


def test_the_guides_numbers_are_the_defaults(limits: dict[str, Any]) -> None:
    """PARITY rows 8, 9, 10 and 26."""
    assert limits["waf"] == {
        "requests_per_ip": 2000,
        "requests_window_s": 300,
        "picks_per_ip": 100,
        "picks_window_s": 60,
        "pick_body_bytes": 49152,
    }
    assert limits["api_gateway"] == {
        "requests_per_s": 50,
        "burst": 100,
        "other_requests_per_s": 5,
        "other_burst": 10,
    }
    assert limits["usage_plan"] == {"requests_per_s": 5, "burst": 10, "requests_per_day": 10_000}
    gateway = limits["gateway"]
    assert gateway["picks_per_ip_per_min"] == 100
    assert gateway["reviews_per_ip_per_min"] == 5
    assert gateway["stats_per_ip_per_min"] == 10
    # Behind API Gateway a key never meets the gateway's limit first.
    assert gateway["requests_per_key_per_s"] >= limits["usage_plan"]["requests_per_s"]
    assert gateway["requests_per_key_burst"] >= limits["usage_plan"]["burst"]


def test_torchserves_files_have_the_same_numbers(root: Path) -> None:
    limits = load_limits(env={}).torchserve
    properties = read_properties(root / "config" / "config.properties")
    model = yaml.safe_load((root / "config" / "model-config.yaml").read_text(encoding="utf-8"))
    assert int(properties["max_request_size"]) == limits.request_bytes
    assert int(properties["max_response_size"]) == limits.answer_bytes
    assert model["jobQueueSize"] == limits.waiting_requests
    assert model["responseTimeout"] == limits.answer_timeout_s


def test_the_readmes_table_has_every_limit_with_its_value(
    readme: str, limits: dict[str, Any]
) -> None:
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|[^|]*\| (`\w+\.\w+`[^|]*) \|$", readme, re.M
    )
    shown: dict[str, int] = {}
    for cell, names in rows:
        keys = re.findall(r"`(\w+\.\w+)`", names)
        numbers = [int(number) for number in re.findall(r"\d+", cell)]
        shown |= dict(zip(keys, numbers, strict=True))
    flat = {
        f"{section}.{name}": value
        for section, values in limits.items()
        if section != "$schema"
        for name, value in values.items()
    }
    assert shown == flat


def test_gateway_problems_that_the_handler_has_too_are_the_same() -> None:
    handlers = {leaf.code: leaf for leaf in leaves()}
    common = [each for each in PROBLEMS if each.code in handlers]
    assert {each.code for each in common} == {"unsupported_media_type", "internal_error"}
    for each in common:
        assert (each.status, each.title) == (handlers[each.code].status, handlers[each.code].title)
        body = json.loads(each.body())
        assert list(body) == list(Problem.__struct_fields__)
