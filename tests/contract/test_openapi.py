"""config/openapi.yaml says what the code does: schemas, limits, codes, statuses and examples.

That the examples are what a running server answers is tested in tests/serving/test_openapi.py.
"""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from handler.errors import DraftError, Problem
from handler.stages import Body, FailedPick, ReviewResponse, Ticket, decode, validate
from infrastructure.gateway.problems import PROBLEMS
from model.cards import Card, PickRequest, PickResponse, ReviewRequest

REFERENCE = "#/components/schemas/"
PROBLEM_JSON = "application/problem+json"
PREDICT = "/predictions/draft"
STRUCTS = (PickRequest, PickResponse, ReviewRequest, Problem, Card, FailedPick)

# What the document says more narrowly than the Struct's field, and why it may.
NARROWED = {
    # The codes are strings in Python; test_problem_codes and test_warning_codes hold the lists.
    ("Problem", "code"): {"type": "string"},
    ("PickWarning", "code"): {"type": "string"},
    # Each pick of a review is checked on its own, so that a bad one fails alone.
    ("ReviewRequest", "requests"): {"type": "array", "minItems": 1, "maxItems": 45},
}


def leaves(base: type[DraftError] = DraftError) -> list[type[DraftError]]:
    children = base.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [base]


def normalise(schema: Any, helpers: Mapping[str, Any]) -> Any:
    """A schema's meaning, without what differs between two ways to write it.

    * prose goes: title, description, examples;
    * a reference to a helper schema (one that is no Struct) is replaced by that schema;
    * an `anyOf` in an `anyOf` is flattened, and where a default stands beside the inner one it
      moves out;
    * an alternative `integer` goes where `number` with the same bounds is one, as it includes it;
    * alternatives, enumerations and lists of required fields are sorted.
    """
    if isinstance(schema, list):
        return [normalise(item, helpers) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        helper = helpers.get(schema["$ref"].removeprefix(REFERENCE))
        return dict(schema) if helper is None else normalise(helper, helpers)
    result = {}
    for key, value in schema.items():
        if key in ("title", "description", "examples", "example"):
            continue
        # The keys of `properties` are field names, `title` or `description` among them perhaps.
        result[key] = (
            {name: normalise(field, helpers) for name, field in value.items()}
            if key == "properties"
            else normalise(value, helpers)
        )
    if "anyOf" in result:
        flat: list[Any] = []
        for option in result["anyOf"]:
            flat += option["anyOf"] if option.keys() == {"anyOf"} else [option]
        numbers = [option for option in flat if option.get("type") == "number"]
        flat = [
            option
            for option in flat
            if option.get("type") != "integer" or {**option, "type": "number"} not in numbers
        ]
        result["anyOf"] = sorted(flat, key=lambda option: json.dumps(option, sort_keys=True))
    for key in ("enum", "required"):
        if key in result:
            result[key] = sorted(result[key])
    return result


def derived_schemas() -> dict[str, Any]:
    """The JSON Schema msgspec derives from the Structs, under the names of the document."""
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template=REFERENCE + "{name}")
    # msgspec cannot decode a union of two Structs, and so derives no schema for one; answers are
    # only encoded. The fields are checked here instead, the alternatives are written out.
    fields = {field.name: field for field in msgspec.structs.fields(ReviewResponse)}
    assert list(fields) == ["results", "errors"]
    assert fields["results"].type == list[PickResponse | FailedPick]
    assert fields["errors"].type is int
    assert all(field.required for field in fields.values())
    alternatives = [{"$ref": REFERENCE + name} for name in ("PickResponse", "FailedPick")]
    schemas["ReviewResponse"] = {
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": {"anyOf": alternatives}},
            "errors": {"type": "integer"},
        },
        "required": ["results", "errors"],
    }
    # As a client would read it: a default of () is a list in JSON.
    return dict(json.loads(json.dumps(schemas)))


DERIVED = derived_schemas()


def schemas_of(document: Mapping[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"]


def validator(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Draft202012Validator:
    """Checks instances against a schema of the document, references included."""
    return Draft202012Validator({**schema, "components": document["components"]})


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def request_examples(document: Mapping[str, Any]) -> dict[str, Any]:
    body = document["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in body["examples"].items()}


def answers(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any, Any]]:
    """(path, status, example's name, schema, example's value) of every response example."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in getattr(operation, "get", {}.get)("responses", {}).items():
                for media in resolve(document, response).get("content", {}).values():
                    for name, example in media["examples"].items():
                        yield path, status, name, media["schema"], example["value"]


def test_document_is_valid_openapi(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(openapi).validate()


def test_every_struct_is_in_the_document(openapi: dict[str, Any]) -> None:
    assert sorted(DERIVED.keys() - schemas_of(openapi).keys()) == []


@pytest.mark.parametrize("name", sorted(DERIVED))
def test_schema_equals_the_struct(openapi: dict[str, Any], name: str) -> None:
    schemas = schemas_of(openapi)
    helpers = {key: schema for key, schema in schemas.items() if key not in DERIVED}
    documented = copy.deepcopy(schemas[name])
    for (struct, field), wide in NARROWED.items():
        if struct == name:
            assert documented["properties"][field] != wide, "no longer narrowed: remove the entry"
            documented["properties"][field] = wide
    assert normalise(documented, helpers) == normalise(DERIVED[name], {})


def test_no_schema_is_unused(openapi: dict[str, Any]) -> None:
    text = json.dumps(openapi)
    unused = [name for name in schemas_of(openapi) if f'"{REFERENCE}{name}"' not in text]
    assert unused == []


def test_every_field_of_the_document_is_described_where_its_name_is_not_enough(
    openapi: dict[str, Any],
) -> None:
    bare = [name for name, schema in schemas_of(openapi).items() if "description" not in schema]
    assert bare == ["CardName", "SetCode", "RankedCard"]


def test_problem_codes_are_the_handlers_and_the_gateways(openapi: dict[str, Any]) -> None:
    codes = schemas_of(openapi)["Problem"]["properties"]["code"]["enum"]
    handlers = [leaf.code for leaf in leaves()]
    assert codes == handlers + [each.code for each in PROBLEMS if each.code not in handlers]


def test_warning_codes_are_those_the_library_gives(openapi: dict[str, Any], root: Path) -> None:
    given = {
        call.args[0].value
        for source in (root / "model").glob("*.py")
        for call in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "PickWarning"
        and isinstance(call.args[0], ast.Constant)
    }
    warning = schemas_of(openapi)["PickWarning"]
    assert set(warning["properties"]["code"]["enum"]) == given
    assert all(f"`{code}`" in warning["description"] for code in given)


def test_every_code_has_an_example_under_its_status(openapi: dict[str, Any]) -> None:
    documented = {
        (example["code"], int(status))
        for path, status, _, schema, example in answers(openapi)
        if path == PREDICT and schema == {"$ref": REFERENCE + "Problem"}
    }
    # The last resort: no request is known that gets it, and so none can be shown.
    expected = {(leaf.code, leaf.status) for leaf in leaves() if leaf.code != "invalid_request"}
    assert documented == expected


def test_problem_examples_are_what_the_code_writes(openapi: dict[str, Any]) -> None:
    by_code = {leaf.code: leaf for leaf in leaves()}
    seen = 0
    for path, status, name, schema, example in answers(openapi):
        # test_gateway.py holds the gateway's.
        if path == PREDICT and schema == {"$ref": REFERENCE + "Problem"}:
            assert name == example["code"]
            assert status == str(example["status"])
            problem = by_code[name](example["detail"], example["path"]).problem()
            assert msgspec.to_builtins(problem) == example
            seen += 1
    assert seen == len(leaves()) - 1


def test_response_examples_fit_their_schemas(openapi: dict[str, Any]) -> None:
    checked = 0
    for path, status, name, schema, example in answers(openapi):
        problems = [error.message for error in validator(openapi, schema).iter_errors(example)]
        assert not problems, f"{path} {status} {name}: {problems}"
        checked += 1
    assert checked > 20


def test_request_examples_fit_the_schema_and_are_accepted(openapi: dict[str, Any]) -> None:
    post = openapi["paths"][PREDICT]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    broken = []
    for name, example in request_examples(openapi).items():
        ticket = validate(decode([Body(json.dumps(example).encode(), "application/json")]))[0]
        assert isinstance(ticket, Ticket), f"{name}: {ticket}"
        if not all(isinstance(pick, PickRequest) for pick in ticket.picks):
            broken.append(name)
            continue
        problems = [error.message for error in validator(openapi, schema).iter_errors(example)]
        assert not problems, f"{name}: {problems}"
    # It shows what happens to a broken pick of a review, so it must not fit.
    assert broken == ["review"]


def test_each_request_example_has_its_answer(openapi: dict[str, Any]) -> None:
    shown = {
        name: value
        for path, status, name, _, value in answers(openapi)
        if path == PREDICT and status == "200"
    }
    requests = request_examples(openapi)
    assert list(shown) == list(requests)
    for name, request in requests.items():
        if "requests" in request:
            assert len(shown[name]["results"]) == len(request["requests"])
        else:
            assert len(shown[name]["pick_probabilities"]) == len(request["pack"])
            assert ("explanation" in shown[name]) == request.get("explain", False)


@pytest.mark.parametrize("name", ["first_pick", "mid_pack_two", "late_pack_three"])
def test_example_files_fit_the_schema(openapi: dict[str, Any], root: Path, name: str) -> None:
    document = json.loads((root / "examples" / f"{name}.json").read_bytes())
    schema = schemas_of(openapi)["PickRequest"]
    assert [error.message for error in validator(openapi, schema).iter_errors(document)] == []
    assert isinstance(msgspec.convert(document, PickRequest), PickRequest)


def test_schema_and_code_refuse_alike(openapi: dict[str, Any]) -> None:
    """The schema as clients apply it, in ECMA-262's dialect as far as Python's can stand for it."""
    check = validator(openapi, schemas_of(openapi)["PickRequest"])
    cards: list[Any] = [
        "Opt", "", "x" * 200, "x" * 201, 3, None, True, [], {}, {"name": ""}, {"name": "Opt"},
        {"name": "a", "cmc": 1},
        *({"name": "a", "mana_cost": cost} for cost in
          ["", "{2}{W}", "{W/U}", "{2/w}", "{G/P}", "{1}{R} // {2}{U}", "{½}", "2W", "{Q}", "{W",
           "{W}{W} / {U}", "{X}" * 33, "{X}" * 34, None, 2]),
        *({"name": "a", "power": power} for power in
          [0, -99, -100, 999, 1000, 1.5, 999.5, "*", "1+*", "X", "²", "", "strong", "1" * 9, True,
           None, []]),
        *({"name": "a", "keywords": words} for words in
          [[], ["Flying"], [""], ["k" * 100], ["k" * 101], ["k"] * 32, ["k"] * 33, "Flying", [1]]),
        *({"name": "a", "rarity": rarity} for rarity in ["mythic", "Mythic", "ultra", None, 1]),
        *({"name": "a", "oracle_text": "x" * size} for size in [4000, 4001]),
        *({"name": "a", "type": "x" * size} for size in [200, 201]),
        *({"name": "a", "set": code} for code in ["FDN", "", None, "x" * 32, "x" * 33]),
    ]  # fmt: skip
    requests: list[Any] = [
        *({"pack": [card]} for card in cards),
        *({"pack": ["Opt"], "pool": [card]} for card in cards),
        *({"pack": ["Opt"] * size} for size in [0, 1, 15, 16]),
        *({"pack": ["Opt"], "pool": ["Opt"] * size} for size in [0, 45, 46]),
        *({"pack": ["Opt"], "set": code} for code in ["FDN", "", None, "x" * 33, 1]),
        *({"pack": ["Opt"], "pack_number": n} for n in [0, 1, 4, 5, 1.5, "1", None, True]),
        *({"pack": ["Opt"], "pick_number": n} for n in [0, 1, 15, 16, 1.5, "1", None, True]),
        *({"pack": ["Opt"], "explain": flag} for flag in [True, False, None, 1, "yes"]),
        {}, {"pool": []}, {"pack": None}, {"pack": "Opt"}, {"pack": {}}, {"pack": ["Opt"], "x": 1},
    ]  # fmt: skip
    verdicts = set()
    for request in requests:
        ticket = validate(decode([Body(json.dumps(request).encode(), "")]))[0]
        accepted = isinstance(ticket, Ticket) and isinstance(ticket.picks[0], PickRequest)
        assert check.is_valid(request) == accepted, f"{json.dumps(request)[:200]}: {ticket}"
        verdicts.add(accepted)
    assert verdicts == {True, False}
