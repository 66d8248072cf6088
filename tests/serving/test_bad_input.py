"""Everything a client can get wrong, sent to a real server: one clear answer, and no harm done.

After every case the same workers must still give the right answer to a good request.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest

from infrastructure.readiness import model_status

from .server import JSON, LaunchedServer

PREDICT = "/predictions/draft"
GOOD = b'{"pack":["Lightning Bolt","Llanowar Elves","Opt"],"pool":["Shock"]}'
LIMIT = 1_048_576
"""max_request_size in config.properties."""


@dataclass(frozen=True)
class Case:
    """A request and the problem it must be answered with."""

    name: str
    body: bytes
    status: int
    code: str
    path: str = "$"
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def pick(pack: str, rest: str = "") -> bytes:
    return ('{"pack":[' + pack + "]" + rest + "}").encode()


def card(fields: str) -> bytes:
    return pick('{"name":"a",' + fields + "}")


def text(size: int) -> str:
    return '"' + "x" * size + '"'


def many(item: str, count: int) -> str:
    return ",".join([item] * count)


def typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


UNREADABLE = [
    Case("empty body", b"", 400, "empty_body"),
    Case("empty body without a type", b"", 400, "empty_body", headers={}),
    Case("white space", b" \r\n\t ", 400, "empty_body"),
    Case("not JSON", b"Lightning Bolt, please", 400, "invalid_json"),
    Case("cut off", b'{"pack":["Opt"', 400, "invalid_json"),
    Case("two documents", GOOD + GOOD, 400, "invalid_json"),
    Case("trailing comma", b'{"pack":["Opt",]}', 400, "invalid_json"),
    Case("single quotes", b"{'pack':['Opt']}", 400, "invalid_json"),
    Case("comment", b'{"pack":["Opt"]} // mine', 400, "invalid_json"),
    Case("byte order mark", b"\xef\xbb\xbf" + GOOD, 400, "invalid_json"),
    Case("line break in a text", pick('"Op\nt"'), 400, "invalid_json"),
    Case("lone high surrogate", pick('"\\ud800"'), 400, "invalid_json"),
    Case("lone low surrogate", pick('"\\udc00"'), 400, "invalid_json"),
    Case("NaN", card('"power":NaN'), 400, "invalid_json"),
    Case("Infinity", card('"power":Infinity'), 400, "invalid_json"),
    Case("-Infinity", card('"power":-Infinity'), 400, "invalid_json"),
    Case("leading zero", card('"power":01'), 400, "invalid_json"),
    Case("hexadecimal", card('"power":0x1'), 400, "invalid_json"),
    Case("invalid UTF-8 in a text", b'{"pack":["Op\xfft"]}', 400, "invalid_utf8"),
    Case("invalid UTF-8 in a key", b'{"pa\xffck":["Opt"]}', 400, "invalid_utf8"),
    Case("invalid UTF-8 after the document", GOOD + b"\xff", 400, "invalid_utf8"),
    Case("Latin-1", '{"pack":["Lim-Dûl\'s Vault"]}'.encode("latin-1"), 400, "invalid_utf8"),
    Case("UTF-16", GOOD.decode().encode("utf-16"), 400, "invalid_utf8"),
    Case("overlong UTF-8", b'{"pack":["\xc0\x80"]}', 400, "invalid_utf8"),
    Case("surrogate in UTF-8", b'{"pack":["\xed\xa0\x80"]}', 400, "invalid_utf8"),
    Case("deep arrays", b"[" * 100_000 + b"]" * 100_000, 400, "nested_too_deeply"),
    Case("deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, "nested_too_deeply"),
    Case("deep with spaces", b"[ " * 100_000, 400, "nested_too_deeply"),
    Case("duplicate key", b'{"pack":["Opt"],"pack":["Shock"]}', 400, "duplicate_key"),
    Case("duplicate, spaced", b'{"pack" :["Opt"],"pack" : ["Shock"]}', 400, "duplicate_key"),
    Case("duplicate, tabbed", b'{"pack"\t:["Opt"],"pack":["Shock"]}', 400, "duplicate_key"),
    Case("duplicate, broken line", b'{"pack"\n:["Opt"],"pack":["a"]}', 400, "duplicate_key"),
    Case("duplicate, returned", b'{"pack"\r:["Opt"],"pack":["a"]}', 400, "duplicate_key"),
    Case("duplicate, escaped", b'{"pack":["Opt"],"p\\u0061ck":["a"]}', 400, "duplicate_key"),
    Case("duplicate, nested", pick('{"name":"Opt","name":"Shock"}'), 400, "duplicate_key"),
    Case("duplicate, nested, spaced", pick('{"name" : "a","name" :"b"}'), 400, "duplicate_key"),
    Case("duplicate, hidden by a text", b'{"pack":["a\\":"],"pack":["b"]}', 400, "duplicate_key"),
    Case("duplicate, same value", b'{"pack":["a"],"pool":[],"pool":[]}', 400, "duplicate_key"),
    Case(
        "duplicate in a review",
        b'{"requests":[{"pack":["a"],"pack":["b"]}]}',
        400,
        "duplicate_key",
    ),
]

WRONG_TYPE_OF_BODY = [
    Case(f"sent as {kind}", GOOD, 415, "unsupported_media_type", headers=typed(kind))
    for kind in (
        "application/x-www-form-urlencoded",  # what curl -d sends unless told otherwise
        "text/plain",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/problem+json",
        "application/jsonp",
        "application/json2; charset=utf-8",
        "application/\xff",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
    )
] + [
    Case("a form", b"pack=Opt", 415, "unsupported_media_type",
         headers=typed("application/x-www-form-urlencoded")),
    Case("empty form", b"", 415, "unsupported_media_type",
         headers=typed("application/x-www-form-urlencoded")),
    Case("multipart without parts", b"--x--\r\n", 415, "unsupported_media_type",
         headers=typed("multipart/form-data; boundary=x")),
]  # fmt: skip

NO_OBJECT = [
    Case(f"{kind} as body", body, 422, "not_an_object")
    for kind, body in {
        "array": b"[]",
        "array of picks": b"[" + GOOD + b"]",
        "null": b"null",
        "text": b'"pack"',
        "number": b"17",
        "true": b"true",
    }.items()
]

BROKEN_PICKS = [
    Case("missing pack", b'{"pool":["Opt"]}', 422, "missing_field", "$.pack"),
    Case("empty object", b"{}", 422, "missing_field", "$.pack"),
    Case("card without a name", pick('"a",{"power":1}'), 422, "missing_field", "$.pack[1].name"),
    Case("empty pack", pick(""), 422, "wrong_length", "$.pack"),
    Case("16 cards", pick(many('"a"', 16)), 422, "wrong_length", "$.pack"),
    Case("46 pool cards", pick('"a"', f',"pool":[{many(chr(34) + "a" + chr(34), 46)}]'), 422,
         "wrong_length", "$.pool"),
    # Not too deep to be read, also not for the search for duplicate keys.
    Case("800 arrays deep", pick("[" * 800 + "]" * 800), 422, "wrong_type", "$.pack[0]"),
    Case("400 objects deep", pick('{"a":' * 400 + "1" + "}" * 400), 422, "unknown_field",
         "$.pack[0].a"),
    Case("400 objects deep, spaced", pick('{"a" :' * 400 + "1" + "}" * 400), 422,
         "unknown_field", "$.pack[0].a"),
    Case("pack null", b'{"pack":null}', 422, "wrong_type", "$.pack"),
    Case("pack a text", b'{"pack":"Opt"}', 422, "wrong_type", "$.pack"),
    Case("pack an object", b'{"pack":{"0":"Opt"}}', 422, "wrong_type", "$.pack"),
    Case("pool null", pick('"a"', ',"pool":null'), 422, "wrong_type", "$.pool"),
    Case("card a number", pick('"a",17'), 422, "wrong_type", "$.pack[1]"),
    Case("card null", pick("null"), 422, "wrong_type", "$.pack[0]"),
    Case("card true", pick("true"), 422, "wrong_type", "$.pack[0]"),
    Case("card an array", pick('["a"]'), 422, "wrong_type", "$.pack[0]"),
    Case("pool card a number", pick('"a"', ',"pool":["a","b",3]'), 422, "wrong_type", "$.pool[2]"),
    Case("unknown field", pick('"a"', ',"deck":[]'), 422, "unknown_field", "$.deck"),
    Case("unknown field of a card", card('"cmc":3'), 422, "unknown_field", "$.pack[0].cmc"),
    Case("field in capitals", b'{"Pack":["a"]}', 422, "unknown_field", "$.Pack"),
    # msgspec's sentence ends with the path in just this way.
    Case("field named like a path", pick('{"name":"a","x` - at `$.y":1}'), 422, "unknown_field",
         "$.pack[0].x` - at `$.y"),
    Case("empty name", pick('""'), 422, "wrong_length", "$.pack[0]"),
    Case("empty name in an object", pick('{"name":""}'), 422, "wrong_length", "$.pack[0].name"),
    Case("name of 201", pick(text(201)), 422, "wrong_length", "$.pack[0]"),
    Case("name of 10 000", pick(text(10_000)), 422, "wrong_length", "$.pack[0]"),
    Case("name of 10 000 in an object", pick('{"name":' + text(10_000) + "}"), 422,
         "wrong_length", "$.pack[0].name"),
    Case("name a number", pick('{"name":1}'), 422, "wrong_type", "$.pack[0].name"),
    Case("unknown rarity", card('"rarity":"ultra"'), 422, "unknown_value", "$.pack[0].rarity"),
    Case("rarity in capitals", card('"rarity":"Rare"'), 422, "unknown_value", "$.pack[0].rarity"),
    Case("endless rarity", card(f'"rarity":{text(9000)}'), 422, "unknown_value",
         "$.pack[0].rarity"),
    Case("rarity a number", card('"rarity":3'), 422, "wrong_type", "$.pack[0].rarity"),
    *(Case(f"mana cost {cost}", card(f'"mana_cost":"{cost}"'), 422, "malformed_mana_cost",
           "$.pack[0].mana_cost")
      for cost in ("2G", "{2", "2}", "{}", "{Q}", "{2}G", "{W/W}", "{W/U/B}", "{-1}", "{W}|{U}",
                   "free", "{2} // x", "{ W }", "{99999999}")),
    Case("mana cost of 102", card(f'"mana_cost":"{"{G}" * 34}"'), 422, "wrong_length",
         "$.pack[0].mana_cost"),
    Case("mana cost null", card('"mana_cost":null'), 422, "wrong_type", "$.pack[0].mana_cost"),
    Case("power a word", card('"power":"strong"'), 422, "malformed_number", "$.pack[0].power"),
    Case("power true", card('"power":true'), 422, "wrong_type", "$.pack[0].power"),
    Case("power an array", card('"power":[1]'), 422, "wrong_type", "$.pack[0].power"),
    Case("power empty", card('"power":""'), 422, "wrong_length", "$.pack[0].power"),
    Case("power of 9 digits", card('"power":"111111111"'), 422, "wrong_length", "$.pack[0].power"),
    Case("power 1000", card('"power":1000'), 422, "out_of_range", "$.pack[0].power"),
    Case("power -100", card('"power":-100'), 422, "out_of_range", "$.pack[0].power"),
    Case("power 1e300", card('"power":1e300'), 422, "out_of_range", "$.pack[0].power"),
    Case("toughness a word", card('"toughness":"x+y!"'), 422, "malformed_number",
         "$.pack[0].toughness"),
    Case("loyalty a word", card('"loyalty":"high"'), 422, "malformed_number",
         "$.pack[0].loyalty"),
    # Beyond 64 bits, beyond what Python converts (4 300 digits), and beyond a double.
    Case("integer of 40 digits", card(f'"power":{"9" * 40}'), 422, "out_of_range",
         "$.pack[0].power"),
    Case("negative integer of 40 digits", card(f'"power":-{"9" * 40}'), 422, "out_of_range",
         "$.pack[0].power"),
    Case("integer of 5 000 digits", card(f'"power":{"9" * 5000}'), 422, "out_of_range"),
    Case("integer of 100 000 digits", card(f'"power":{"9" * 100_000}'), 422, "out_of_range"),
    Case("1e400", card('"power":1e400'), 422, "out_of_range"),
    Case("huge pick number", pick('"a"', ',"pick_number":99999999999999999999'), 422,
         "out_of_range", "$.pick_number"),
    Case("33 keywords", card(f'"keywords":[{many(chr(34) + "k" + chr(34), 33)}]'), 422,
         "wrong_length", "$.pack[0].keywords"),
    Case("keyword of 101", card(f'"keywords":["Flying",{text(101)}]'), 422, "wrong_length",
         "$.pack[0].keywords[1]"),
    Case("empty keyword", card('"keywords":[""]'), 422, "wrong_length",
         "$.pack[0].keywords[0]"),
    Case("keywords a text", card('"keywords":"Flying"'), 422, "wrong_type", "$.pack[0].keywords"),
    Case("keyword a number", card('"keywords":[1]'), 422, "wrong_type", "$.pack[0].keywords[0]"),
    Case("type line of 201", card(f'"type":{text(201)}'), 422, "wrong_length", "$.pack[0].type"),
    Case("rules text of 4 001", card(f'"oracle_text":{text(4001)}'), 422, "wrong_length",
         "$.pack[0].oracle_text"),
    Case("set of 33", pick('"a"', f',"set":{text(33)}'), 422, "wrong_length", "$.set"),
    Case("set empty", pick('"a"', ',"set":""'), 422, "wrong_length", "$.set"),
    Case("pack 0", pick('"a"', ',"pack_number":0'), 422, "out_of_range", "$.pack_number"),
    Case("pack 5", pick('"a"', ',"pack_number":5'), 422, "out_of_range", "$.pack_number"),
    Case("pick 16", pick('"a"', ',"pick_number":16'), 422, "out_of_range", "$.pick_number"),
    Case("pick 1.5", pick('"a"', ',"pick_number":1.5'), 422, "wrong_type", "$.pick_number"),
    Case("pick a text", pick('"a"', ',"pick_number":"1"'), 422, "wrong_type", "$.pick_number"),
    Case("explain a text", pick('"a"', ',"explain":"yes"'), 422, "wrong_type", "$.explain"),
    Case("explain a number", pick('"a"', ',"explain":1'), 422, "wrong_type", "$.explain"),
]  # fmt: skip

BROKEN_REVIEWS = [
    Case("no requests", b'{"requests":[]}', 422, "wrong_length", "$.requests"),
    Case("46 requests", ('{"requests":[' + many('{"pack":["a"]}', 46) + "]}").encode(), 422,
         "wrong_length", "$.requests"),
    Case("requests an object", b'{"requests":{}}', 422, "wrong_type", "$.requests"),
    Case("requests null", b'{"requests":null}', 422, "wrong_type", "$.requests"),
    Case("requests a text", b'{"requests":"all"}', 422, "wrong_type", "$.requests"),
    Case("requests and pack", b'{"requests":[{"pack":["a"]}],"pack":["a"]}', 422,
         "unknown_field", "$.pack"),
]  # fmt: skip

CASES = UNREADABLE + WRONG_TYPE_OF_BODY + NO_OBJECT + BROKEN_PICKS + BROKEN_REVIEWS


def refuse_constant(literal: str) -> None:
    raise AssertionError(f"the reply holds {literal}, which is no JSON")


def strict(content: bytes) -> Any:
    """The JSON value of a reply that must be strict JSON."""
    return json.loads(content.decode("utf-8"), parse_constant=refuse_constant)


def worker_pids(server: LaunchedServer) -> frozenset[int]:
    status = model_status(server.ports.management)
    assert status is not None
    assert status.ready == len(status.pids) > 0
    return status.pids


def good_answer(server: LaunchedServer) -> dict[str, Any]:
    """An answer, its shares to 5 digits: workers may round the last of their 8 differently."""
    reply = server.http.post(server.url + PREDICT, data=GOOD, headers=JSON, timeout=30)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = strict(reply.content)
    del answer["latency_ms"]
    shares = [float(f"{share:.5f}") for share in answer.pop("pick_probabilities")]
    answer["confidence"] = max(shares)
    for card in answer["ranking"]:
        card["probability"] = shares[card["index"]]
    return answer


@pytest.fixture(scope="module")
def unharmed(server: LaunchedServer) -> tuple[frozenset[int], dict[str, Any]]:
    """The workers and an answer of theirs before anything bad was sent."""
    server.wait_for_all_workers()
    return worker_pids(server), good_answer(server)


@pytest.fixture(autouse=True)
def still_unharmed(
    server: LaunchedServer, unharmed: tuple[frozenset[int], dict[str, Any]]
) -> Iterator[None]:
    yield
    assert good_answer(server) == unharmed[1]
    assert worker_pids(server) == unharmed[0]


def expect_problem(reply: Any, status: int, code: str, path: str) -> None:
    """The reply is one strict problem body with these three, whatever its sentence."""
    assert reply.status_code == status, reply.text
    assert reply.reason == HTTPStatus(status).phrase
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = strict(reply.content)
    assert list(problem) == ["type", "title", "status", "code", "detail", "path"]
    assert problem["type"] == f"urn:draft:problem:{code}"
    assert (problem["status"], problem["code"], problem["path"]) == (status, code, path)
    # A client's text may be quoted, but not at length.
    assert 0 < len(problem["detail"]) < 300
    assert problem["title"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_request_gets_its_problem(server: LaunchedServer, case: Case) -> None:
    reply = server.http.post(server.url + PREDICT, data=case.body, headers=case.headers, timeout=30)
    expect_problem(reply, case.status, case.code, case.path)


@pytest.mark.parametrize("case", NO_OBJECT + BROKEN_PICKS, ids=lambda case: case.name)
def test_bad_pick_of_a_review_gets_the_same_problem(server: LaunchedServer, case: Case) -> None:
    if case.path == "$" and case.code == "out_of_range":
        # A number that cannot be decoded spoils the document, and with it the review.
        return
    body = b'{"requests":[' + GOOD + b"," + case.body + b"]}"
    reply = server.http.post(server.url + PREDICT, data=body, headers=JSON, timeout=30)
    assert reply.status_code == 200, reply.text
    answer = strict(reply.content)
    assert answer["errors"] == 1
    assert len(answer["results"][0]["pick_probabilities"]) == 3
    problem = answer["results"][1]["error"]
    code = "wrong_type" if case.code == "not_an_object" else case.code
    assert (problem["status"], problem["code"]) == (422, code)
    assert problem["path"] == "$.requests[1]" + case.path[1:]


@pytest.mark.parametrize("part", ["file", "pack", "json"])
def test_multipart_form_is_refused(server: LaunchedServer, part: str) -> None:
    files = {part: ("pick.json", GOOD, "application/json")}
    reply = server.http.post(server.url + PREDICT, files=files, timeout=30)
    expect_problem(reply, 415, "unsupported_media_type", "$")


@pytest.mark.parametrize("part", ["body", "data"])
def test_multipart_part_that_is_no_json_is_refused(server: LaunchedServer, part: str) -> None:
    files = {part: ("pick.bin", GOOD, "application/octet-stream")}
    reply = server.http.post(server.url + PREDICT, files=files, timeout=30)
    expect_problem(reply, 415, "unsupported_media_type", "$")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
def test_other_methods_without_a_body(server: LaunchedServer, method: str) -> None:
    """TorchServe hands every method to the handler and does not say which it was."""
    reply = server.http.request(method, server.url + PREDICT, timeout=30)
    expect_problem(reply, 400, "empty_body", "$")


def test_query_is_no_body(server: LaunchedServer) -> None:
    query = {"body": '{"pack":["Opt"]}', "data": '{"pack":["Opt"]}'}
    reply = server.http.get(server.url + PREDICT, params=query, timeout=30)
    expect_problem(reply, 400, "empty_body", "$")


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/predictions/sealed", 404, "ModelNotFoundException"),
        ("/predictions/Draft", 404, "ModelNotFoundException"),
        ("/predictions/draft/9.9", 404, "ModelVersionNotFoundException"),
        ("/predictions/", 404, "ResourceNotFoundException"),
        ("/predictions/%2e%2e", 404, "ModelNotFoundException"),
        ("/nowhere", 404, "ResourceNotFoundException"),
        ("/", 405, "MethodNotAllowedException"),
    ],
)
def test_unknown_addresses_get_torchserves_error(
    server: LaunchedServer, path: str, status: int, kind: str
) -> None:
    reply = server.http.post(server.url + path, data=GOOD, headers=JSON, timeout=30)
    assert reply.status_code == status
    assert reply.headers["Content-Type"] == "application/json"
    error = strict(reply.content)
    assert list(error) == ["code", "type", "message"]
    assert (error["code"], error["type"]) == (status, kind)


@pytest.mark.parametrize("size", [LIMIT + 1, 2_000_000])
def test_too_large_a_body_is_refused_before_the_handler(server: LaunchedServer, size: int) -> None:
    body = b'{"pack":["Opt"]' + b" " * (size - 16) + b"}"
    assert len(body) == size
    reply = server.http.post(server.url + PREDICT, data=body, headers=JSON, timeout=30)
    assert (reply.status_code, reply.content) == (413, b"")


def test_a_body_of_the_limit_is_read(server: LaunchedServer) -> None:
    body = b'{"pack":["Opt"]' + b" " * (LIMIT - 16) + b"}"
    reply = server.http.post(server.url + PREDICT, data=body, headers=JSON, timeout=30)
    assert reply.status_code == 200, reply.text


def exchange(server: LaunchedServer, request: bytes) -> bytes:
    """Send bytes as they are; the first of what comes back."""
    with socket.create_connection(("127.0.0.1", server.ports.inference), timeout=30) as connection:
        # It may be refused before all is sent; the answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        return connection.recv(65536)


def raw(headers: bytes, body: bytes) -> bytes:
    return b"POST /predictions/draft HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


CHUNK = b"10000\r\n" + b" " * 65536 + b"\r\n"
TYPE = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(GOOD)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(raw(TYPE + LENGTH + b"Content-Length: 3\r\n", GOOD), 400, id="two lengths"),
        pytest.param(
            raw(TYPE + b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + GOOD), 400, id="a bad chunk"
        ),
        pytest.param(raw(TYPE + b"X: " + b"a" * 20_000 + b"\r\n", b""), 400, id="a huge header"),
        pytest.param(raw(TYPE + b"X-\xff: 1\r\n" + LENGTH, GOOD), 400, id="a bad header name"),
        pytest.param(
            raw(TYPE + b"Transfer-Encoding: chunked\r\n", CHUNK * 32), 413, id="2 MB in chunks"
        ),
        pytest.param(
            raw(TYPE + b"Expect: 100-continue\r\nContent-Length: 2000000\r\n", b""),
            413,
            id="2 MB announced",
        ),
    ],
)
def test_what_is_no_request_is_refused(
    server: LaunchedServer, request_bytes: bytes, status: int
) -> None:
    head, _, body = exchange(server, request_bytes).partition(b"\r\n\r\n")
    assert head.split(b" ")[:2] == [b"HTTP/1.1", b"%d" % status]
    if status == 413:
        assert body == b""
    else:
        assert strict(body)["type"] == "BadRequestException"


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(raw(TYPE + b"X-Test: \xff\xfe\r\n" + LENGTH, GOOD), id="bytes in a header"),
        pytest.param(
            raw(
                TYPE + b"Transfer-Encoding: chunked\r\n",
                b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD),
            ),
            id="in one chunk",
        ),
        pytest.param(
            raw(
                TYPE + b"Transfer-Encoding: chunked\r\n",
                b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n",
            ),
            id="in chunks of one byte",
        ),
        pytest.param(
            raw(TYPE + LENGTH, GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP 1.0"
        ),
        pytest.param(
            raw(TYPE + b"".join(b"X-%d: a\r\n" % i for i in range(300)) + LENGTH, GOOD),
            id="300 headers",
        ),
    ],
)  # fmt: skip
def test_odd_but_proper_requests_are_answered(server: LaunchedServer, request_bytes: bytes) -> None:
    head, _, body = exchange(server, request_bytes).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"200", head
    assert len(strict(body)["pick_probabilities"]) == 3


def test_garbage_behind_a_request_ends_only_its_own_connection(server: LaunchedServer) -> None:
    first = raw(TYPE + LENGTH, GOOD)
    reply = exchange(server, first + first + b"GARBAGE\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 ")


def test_half_a_request_keeps_nobody_waiting(
    server: LaunchedServer, unharmed: tuple[frozenset[int], dict[str, Any]]
) -> None:
    with socket.create_connection(("127.0.0.1", server.ports.inference)) as connection:
        connection.sendall(raw(TYPE + LENGTH, GOOD[:10]))
        assert good_answer(server) == unharmed[1]
