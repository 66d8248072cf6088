"""What happens to a batch of requests, stage by stage, each a function over lists.

    read (decode, validate) -> answer (features, collate, predict, rank) -> encode

A stage never raises for bad input: a request that fails becomes a `DraftError` in its place in
the list, travels on untouched, and is encoded as a problem at the end. So a bad request
cannot harm the others in its batch, and order is kept throughout.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import msgspec

from handler import errors
from handler.errors import DraftError, Problem
from handler.seen_cards import SeenCards, ShortWay
from model.card_table import IndexedCard
from model.cards import Card, CardName, PickRequest, PickResponse, Rarity, ReviewRequest
from model.recommender import CHUNK, Pick, Recommender

JSON = "application/json"

logger = logging.getLogger(__name__)

# msgspec's messages speak of Python's types, clients of JSON's.
_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PYTHON_TYPE = re.compile(rf"\b({'|'.join(_JSON_TYPES)})\b")


class Body(NamedTuple):
    """A request as TorchServe hands it over.

    `content` is the raw body, or an object where the server decoded it already; None for a
    request without a body part. `content_type` is the header's value, empty without one.
    """

    content: Any
    content_type: str


@dataclass(slots=True)
class Ticket:
    """A readable request: its picks, or what is wrong with each of them."""

    picks: list[Pick | PickRequest | DraftError]
    is_review: bool


class Reply(NamedTuple):
    """One HTTP answer."""

    status: int
    phrase: str
    content_type: str
    body: bytes


class FailedPick(msgspec.Struct, frozen=True):
    """A pick of a review that could not be answered."""

    error: Problem


class ReviewResponse(msgspec.Struct, frozen=True):
    """Results in the order of the requests; `errors` counts those that failed."""

    results: list[PickResponse | FailedPick]
    errors: int


def card_reader(recommender: Recommender) -> Callable[[bytes], IndexedCard]:
    """Decodes, validates and looks up a card's JSON text as the stages do; raises if it is none."""

    def read_card(text: bytes) -> IndexedCard:
        document = msgspec.json.decode(text)
        _refuse_duplicate_keys(text, document)
        return recommender.index.look_up(msgspec.convert(document, Card | CardName))

    return read_card


def short_way(recommender: Recommender) -> ShortWay:
    """Reads requests of cards seen before, for `read`."""
    return ShortWay(SeenCards(card_reader(recommender)))


def read(bodies: Sequence[Body], way: ShortWay) -> list[Ticket | DraftError]:
    """Bytes to picks: what `validate(decode(bodies))` says, told sooner of cards seen before."""
    tickets: list[Ticket | DraftError | None] = [_read_shortly(body, way) for body in bodies]
    left = [body for body, ticket in zip(bodies, tickets, strict=True) if ticket is None]
    if not left:
        return [ticket for ticket in tickets if ticket is not None]
    rest = iter(validate(decode(left)))
    return [ticket or next(rest) for ticket in tickets]


def decode(bodies: Sequence[Body]) -> list[Any | DraftError]:
    """Bytes to JSON values."""
    return [_catch(_decode_body, body) for body in bodies]


def validate(documents: Sequence[Any | DraftError]) -> list[Ticket | DraftError]:
    """JSON values to typed picks; a review's picks are checked one by one."""
    return [
        document if isinstance(document, DraftError) else _catch(_validate_document, document)
        for document in documents
    ]


def answer(
    recommender: Recommender, tickets: Sequence[Ticket | DraftError], started: float
) -> list[list[PickResponse | DraftError] | DraftError]:
    """Rank every valid pick of the batch; the picks of all requests are scored together."""
    valid = [
        pick
        for ticket in tickets
        if isinstance(ticket, Ticket)
        for pick in ticket.picks
        if not isinstance(pick, DraftError)
    ]
    responses: list[PickResponse | DraftError] = []
    for start in range(0, len(valid), CHUNK):
        responses += _answer_chunk(recommender, valid[start : start + CHUNK], started)
    remaining = iter(responses)
    return [
        ticket
        if isinstance(ticket, DraftError)
        else [pick if isinstance(pick, DraftError) else next(remaining) for pick in ticket.picks]
        for ticket in tickets
    ]


def encode(
    tickets: Sequence[Ticket | DraftError],
    answers: Sequence[list[PickResponse | DraftError] | DraftError],
) -> list[Reply]:
    """Answers and failures to HTTP replies. msgspec writes strict JSON: no NaN can pass."""
    replies = []
    for ticket, answered in zip(tickets, answers, strict=True):
        if isinstance(ticket, DraftError) or isinstance(answered, DraftError):
            failure = ticket if isinstance(ticket, DraftError) else answered
            assert isinstance(failure, DraftError)
            replies.append(problem_reply(failure))
        elif ticket.is_review:
            results = [
                FailedPick(pick.problem()) if isinstance(pick, DraftError) else pick
                for pick in answered
            ]
            failed = sum(isinstance(pick, DraftError) for pick in answered)
            replies.append(_json_reply(ReviewResponse(results, failed)))
        elif isinstance(answered[0], DraftError):
            replies.append(problem_reply(answered[0]))
        else:
            replies.append(_json_reply(answered[0]))
    return replies


def problem_reply(error: DraftError) -> Reply:
    """A failure as its HTTP answer."""
    body = msgspec.json.encode(error.problem())
    return Reply(error.status, error.phrase, errors.PROBLEM_JSON, body)


def _json_reply(content: PickResponse | ReviewResponse) -> Reply:
    return Reply(200, "OK", JSON, msgspec.json.encode(content))


def _read_shortly(body: Body, way: ShortWay) -> Ticket | None:
    content, content_type = body
    if content_type not in (JSON, "") or not isinstance(content, (bytes, bytearray)):
        return None
    pick = way.pick(content)
    if pick is not None:
        return Ticket([pick], is_review=False)
    picks = way.review(content)
    return None if picks is None else Ticket([*picks], is_review=True)


def _catch(stage: Any, value: Any) -> Any:
    try:
        return stage(value)
    except DraftError as error:
        return error
    except Exception:
        logger.exception("a request failed in %s", stage.__name__)
        return errors.InternalError("the request could not be processed")


def _decode_body(body: Body) -> Any:
    media_type = body.content_type.partition(";")[0].strip().lower()
    if body.content is None or media_type not in ("", JSON):
        raise errors.UnsupportedMediaType(
            f"send the pick as {JSON}, not as {media_type or 'form fields'}"
        )
    if not isinstance(body.content, (bytes, bytearray)):
        return body.content
    if not body.content.strip():
        raise errors.EmptyBody('send POST with a JSON object such as {"pack": [...], "pool": []}')
    try:
        document = msgspec.json.decode(body.content)
        _refuse_duplicate_keys(body.content, document)
    except RecursionError:
        raise errors.NestedTooDeeply("no part of a pick request nests that deeply") from None
    except msgspec.ValidationError as error:  # a number that no machine type holds
        raise errors.OutOfRange(_split(error)[0]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            body.content.decode()
        except UnicodeDecodeError as undecodable:
            raise errors.InvalidUtf8(f"byte {undecodable.start} is not UTF-8") from None
        raise errors.InvalidJson(f"{error}") from None
    return document


def _refuse_duplicate_keys(content: bytes | bytearray, document: Any) -> None:
    """Raise DuplicateKey if an object of the body has a key twice.

    JSON parsers keep one of the two silently, and which one differs: the client would get an
    answer to a question it may not have asked. Parsing with a hook on every object costs twice
    the decoding, so compact bodies, what programs send, get away with counting: without white
    space before any colon, every key is followed by `":`, and so may be an escaped quote in a
    text; as many of those as keys were decoded means that none was lost.
    """
    spaced = any(space in content for space in (b"\n", b"\t", b"\r")) or (
        b'" ' in content and (b'" :' in content or b'"  ' in content)
    )
    if not spaced and content.count(b'":') == _count_keys(document):
        return

    def refuse(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise errors.DuplicateKey(f"the key {twice[:50]!r} appears more than once")
        return seen

    json.loads(content, object_pairs_hook=refuse)


def _count_keys(document: Any) -> int:
    """Keys of the objects where a request has objects; too few where it has others as well."""
    if not isinstance(document, dict):
        return 0
    keys = len(document)
    for field in ("pack", "pool"):
        cards = document.get(field)
        if isinstance(cards, list):
            keys += sum(len(card) for card in cards if card.__class__ is dict)
    requests = document.get("requests")
    if isinstance(requests, list):
        keys += sum(map(_count_keys, requests))
    return keys


def _validate_document(document: Any) -> Ticket:
    if not isinstance(document, dict):
        raise errors.NotAnObject(f"the body is {_json_type(document)}, not an object")
    if "requests" not in document:
        return Ticket([_convert(document, "$")], is_review=False)
    try:
        review = msgspec.convert(document, ReviewRequest)
    except msgspec.ValidationError as error:
        raise _validation_error(error, "$") from None
    picks: list[Pick | PickRequest | DraftError] = []
    for place, request in enumerate(review.requests):
        path = f"$.requests[{place}]"
        try:
            picks.append(_convert(request, path))
        except DraftError as failure:
            picks.append(failure)
    return Ticket(picks, is_review=True)


def _convert(document: Any, path: str) -> PickRequest:
    try:
        return msgspec.convert(document, PickRequest)
    except msgspec.ValidationError as error:
        raise _validation_error(error, path) from None


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """msgspec's message and the JSON path it ends with."""
    detail, found, path = str(error).rpartition(" - at `")
    return (detail, path.rstrip("`")) if found else (str(error), "$")


def _validation_error(error: msgspec.ValidationError, base: str) -> DraftError:
    """msgspec's one message as the leaf of the tree it belongs to."""
    detail, path = _split(error)
    path = base + path[1:]
    field = path.rpartition(".")[2]
    if found := re.match(r"Object (missing required|contains unknown) field `(.*)`$", detail, re.S):
        name = found[2][:100]
        if found[1] == "missing required":
            return errors.MissingField(f"{name} is required", f"{path}.{name}")
        return errors.UnknownField(f"the schema has no field {name!r} here", f"{path}.{name}")
    if "matching regex" in detail:
        if field == "mana_cost":
            return errors.MalformedManaCost(
                "write a mana cost as symbols in braces, such as {2}{W/U}{G}, "
                "and two faces as {1}{R} // {2}{U}",
                path,
            )
        return errors.MalformedNumber(
            f"{field} must be a number or a text such as *, 1+* or X", path
        )
    if detail.startswith("Invalid enum value"):
        allowed = ", ".join(get_args(Rarity))
        return errors.UnknownValue(f"{detail[:80]}; allowed are {allowed}", path)
    detail = _PYTHON_TYPE.sub(lambda name: _JSON_TYPES[name[0]], detail.replace("`", ""))
    if "of length" in detail:
        return errors.WrongLength(detail, path)
    if ", got " in detail:
        return errors.WrongType(detail, path)
    if "<=" in detail or ">=" in detail or "out of range" in detail:
        return errors.OutOfRange(detail, path)
    return errors.InvalidRequest(detail, path)


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def _answer_chunk(
    recommender: Recommender, requests: Sequence[Pick | PickRequest], started: float
) -> list[PickResponse | DraftError]:
    """Score picks together; if that fails, one by one, so that only the culprit gets a 500."""
    try:
        picks = [
            request if isinstance(request, Pick) else recommender.look_up(request)
            for request in requests
        ]
        batch = recommender.collate(picks, recommender.features(picks))
        return list(recommender.rank(picks, batch, recommender.predict(batch), started))
    except Exception:
        logger.exception("scoring %d picks together failed", len(requests))
        if len(requests) == 1:
            return [errors.InternalError("the pick could not be scored")]
        return [_answer_chunk(recommender, [request], started)[0] for request in requests]
