"""The handler's stages without a server; tests/serving sends the same through TorchServe."""

import json

import msgspec
import pytest

from handler import errors
from handler.stages import Body, Ticket, answer, decode, encode, validate
from model.cards import PickRequest
from model.recommender import Recommender

JSON = "application/json"
GOOD = b'{"pack": ["Shock", "Fire"], "pool": []}'


@pytest.fixture
def recommender(weights) -> Recommender:
    return Recommender.load(weights)


def only(values):
    (value,) = values
    return value


def failure(content, content_type=JSON):
    """What is wrong with a body: (code, path)."""
    outcome = only(validate(decode([Body(content, content_type)])))
    if isinstance(outcome, Ticket):
        outcome = only(outcome.picks)
    assert isinstance(outcome, errors.DraftError), outcome
    return outcome.code, outcome.path


def serve(recommender, *bodies):
    tickets = validate(decode([Body(body, JSON) for body in bodies]))
    return encode(tickets, answer(recommender, tickets, 0.0))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_body"),
        (bytearray(b" \n\t"), "empty_body"),
        (b"{", "invalid_json"),
        (b"not json", "invalid_json"),
        (b'{"pack": ["a"]} x', "invalid_json"),
        (b'{"pack": [{"name": "a", "power": NaN}]}', "invalid_json"),
        (b'{"pack": [{"name": "a", "power": Infinity}]}', "invalid_json"),
        (b'{"pack": ["\\ud800"]}', "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"\xff\xfe{\x00}\x00", "invalid_utf8"),
        (b'{"pack": ["\xe9"]}', "invalid_utf8"),
        (b"[" * 100_000, "nested_too_deeply"),
        (b'{"pack":' * 100_000, "nested_too_deeply"),
        (b'{"pack": ["a"], "pack": ["b"]}', "duplicate_key"),
        (b'{"pack":["a"],"pack":["b"]}', "duplicate_key"),
        (b'{"pack" : ["a"], "pack": ["b"]}', "duplicate_key"),
        (b'{"pack"  :["a"],"pack":["b"]}', "duplicate_key"),
        (b'{"pack"\n: ["a"], "pack"\t:["b"]}', "duplicate_key"),
        (b'{"pack":[{"name":"a","name":"b"}]}', "duplicate_key"),
        (b'{"pack":[{"name":"\\":","name":"b"}]}', "duplicate_key"),
        (b'{"requests":[{"pack":["a"],"pack":["b"]}]}', "duplicate_key"),
        (b'{"pack":["a"],"pick_number":1' + b"0" * 5000 + b"}", "out_of_range"),
        (b'{"pack":["a"],"pick_number":1e999}', "out_of_range"),
        (b"[1, 2]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"3", "not_an_object"),
        (b"true", "not_an_object"),
    ],
)
def test_bodies_that_are_no_request(content, code):
    assert failure(content) == (code, "$")


@pytest.mark.parametrize(
    "content",
    [
        b'{"pack":["a \\":b"]}',
        b'{"pack":[{"name":"a","oracle_text":"say \\"x\\":y"}]}',
        b'{ "pack" : [ "a" ] }',
        b'{\n  "pack": [{"name": "a"}, {"name": "a"}]\n}',
        b'{"pack":["\\u00e9"]}',
    ],
)
def test_bodies_that_only_look_odd(content):
    assert isinstance(only(validate(decode([Body(content, JSON)]))).picks[0], PickRequest)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=1"]
)
def test_other_content_types(content_type):
    assert failure(GOOD, content_type) == ("unsupported_media_type", "$")


def test_a_form_without_a_body_part():
    assert failure(None, "") == ("unsupported_media_type", "$")


@pytest.mark.parametrize("content_type", [JSON, "application/JSON; charset=utf-8", ""])
def test_accepted_content_types(content_type):
    assert isinstance(only(decode([Body(GOOD, content_type)])), dict)


def test_a_body_that_the_server_has_decoded_already():
    decoded = json.loads(GOOD)
    assert only(decode([Body(decoded, JSON)])) is decoded
    assert failure({"pack": [{"name": "a", "power": float("nan")}]}) == (
        "out_of_range",
        "$.pack[0].power",
    )


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ({}, "missing_field", "$.pack"),
        ({"pack": [{"mana_cost": ""}]}, "missing_field", "$.pack[0].name"),
        ({"pack": []}, "wrong_length", "$.pack"),
        ({"pack": ["a"] * 16}, "wrong_length", "$.pack"),
        ({"pack": ["a"], "pool": ["a"] * 46}, "wrong_length", "$.pool"),
        ({"pack": ["a" * 10_000]}, "wrong_length", "$.pack[0]"),
        ({"pack": [{"name": "a" * 10_000}]}, "wrong_length", "$.pack[0].name"),
        ({"pack": [7]}, "wrong_type", "$.pack[0]"),
        ({"pack": [None]}, "wrong_type", "$.pack[0]"),
        ({"pack": "a"}, "wrong_type", "$.pack"),
        ({"pack": ["a"], "seen": 1}, "unknown_field", "$.seen"),
        ({"pack": ["a"], "pool": ["b", {"name": "c", "cmc": 2}]}, "unknown_field", "$.pool[1].cmc"),
        ({"pack": [{"name": "a", "rarity": "legendary"}]}, "unknown_value", "$.pack[0].rarity"),
        (
            {"pack": [{"name": "a", "mana_cost": "2R"}]},
            "malformed_mana_cost",
            "$.pack[0].mana_cost",
        ),
        ({"pack": [{"name": "a", "power": "big"}]}, "malformed_number", "$.pack[0].power"),
        ({"pack": [{"name": "a", "toughness": 10**12}]}, "out_of_range", "$.pack[0].toughness"),
        ({"requests": []}, "wrong_length", "$.requests"),
        ({"requests": [{}] * 46}, "wrong_length", "$.requests"),
        ({"requests": {}}, "wrong_type", "$.requests"),
        ({"requests": [{}], "pack": []}, "unknown_field", "$.pack"),
        ({"requests": [3]}, "wrong_type", "$.requests[0]"),
        ({"requests": [{"pack": [{"name": ""}]}]}, "wrong_length", "$.requests[0].pack[0].name"),
    ],
)
def test_documents_that_are_no_request(document, code, path):
    assert failure(document) == (code, path)


def test_every_message_is_for_people():
    """No regular expression, no library wording in backticks, nothing endless."""
    for document in (
        {"pack": [{"name": "a", "mana_cost": "x" * 90}]},
        {"pack": [{"name": "a", "power": "big"}]},
        {"pack": [{"name": "a", "rarity": "x" * 10_000}]},
        {"pack": ["a"], "x" * 10_000: 1},
        {"pack": [7]},
    ):
        ticket = only(validate([document]))
        detail = ticket.detail if isinstance(ticket, errors.DraftError) else ticket.picks[0].detail
        assert len(detail) < 250
        assert "regex" not in detail
        assert "`" not in detail


def test_a_bad_request_is_alone_with_its_error(recommender):
    good, bad, broken, other = serve(
        recommender, GOOD, b'{"pack": []}', b"{", b'{"pack": ["Llanowar Elves"]}'
    )
    assert (good.status, bad.status, broken.status, other.status) == (200, 422, 400, 200)
    assert len(json.loads(good.body)["pick_probabilities"]) == 2
    assert json.loads(other.body)["pick_probabilities"] == [1.0]
    assert bad.content_type == broken.content_type == "application/problem+json"
    assert json.loads(bad.body) == {
        "type": "urn:draft:problem:wrong_length",
        "title": "A list or text is too short or too long",
        "status": 422,
        "code": "wrong_length",
        "detail": "Expected array of length >= 1",
        "path": "$.pack",
    }


def test_a_review_has_its_errors_per_pick(recommender):
    review = {"requests": [{"pack": ["Shock"]}, {"pack": []}, 5, {"pack": ["Fire", "Shock"]}]}
    reply = only(serve(recommender, msgspec.json.encode(review)))
    assert reply.status == 200
    body = json.loads(reply.body)
    assert body["errors"] == 2
    assert body["results"][0]["recommended_pick"] == 0
    assert body["results"][1]["error"]["path"] == "$.requests[1].pack"
    assert body["results"][2]["error"]["code"] == "wrong_type"
    assert len(body["results"][3]["ranking"]) == 2


def test_a_failure_in_scoring_hits_its_own_pick_only(recommender, monkeypatch, caplog):
    """A pick that breaks the model breaks neither its neighbours nor the reply."""
    real = recommender.features

    def brittle(picks):
        if any(card.name == "Fire" for pick in picks for card in pick.pack):
            raise RuntimeError("boom")
        return real(picks)

    monkeypatch.setattr(recommender, "features", brittle)
    good, bad, other = serve(
        recommender, b'{"pack": ["Shock"]}', b'{"pack": ["Fire"]}', b'{"pack": ["Shock", "A"]}'
    )
    assert (good.status, bad.status, other.status) == (200, 500, 200)
    problem = json.loads(bad.body)
    assert problem["code"] == "internal_error"
    assert "boom" not in bad.body.decode()
    assert "boom" in caplog.text


def test_scores_that_are_not_finite_become_an_error(recommender):
    recommender.model.context[0].bias.data.fill_(float("nan"))
    reply = only(serve(recommender, GOOD))
    assert reply.status == 500
    assert b"NaN" not in reply.body


def test_an_empty_batch_is_no_failure(recommender):
    assert serve(recommender) == []
