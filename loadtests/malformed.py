"""Requests that must be refused: each kind of mistake, made in a good request.

Every kind names the status and the code it must be answered with. Where the service has more to
say (the JSON path), tests/serving says so; under load it is the code that counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from loadtests.payloads import encode
from model.cards import PACK_MAX, POOL_MAX, PickRequest

JSON = MappingProxyType({"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """A kind of malformed request: how it is made of a good one, and what it must be told."""

    status: int
    code: str
    make: Callable[[PickRequest, random.Random], bytes]
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def _document(pick: PickRequest) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(encode(pick))
    return document


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[..., bytes]:
    """A maker that changes the document before it is written."""

    def make(pick: PickRequest, rng: random.Random) -> bytes:
        document = _document(pick)
        change(document)
        return msgspec.json.encode(document)

    return make


def _in_card(**fields: object) -> Callable[..., bytes]:
    """A maker that spoils one card of the pack."""

    def make(pick: PickRequest, rng: random.Random) -> bytes:
        document = _document(pick)
        rng.choice(document["pack"]).update(fields)
        return msgspec.json.encode(document)

    return make


def _cut_off(pick: PickRequest, rng: random.Random) -> bytes:
    body = encode(pick)
    return body[: rng.randrange(1, len(body))]


def _not_utf8(pick: PickRequest, rng: random.Random) -> bytes:
    return encode(pick).replace(b'"name":"', b'"name":"\xff', 1)


def _key_twice(pick: PickRequest, rng: random.Random) -> bytes:
    return b'{"pack":["Opt"],' + encode(pick)[1:]


MISTAKES: Mapping[str, Mistake] = MappingProxyType(
    {
        "no body": Mistake(400, "empty_body", lambda pick, rng: b""),
        "cut off": Mistake(400, "invalid_json", _cut_off),
        "not UTF-8": Mistake(400, "invalid_utf8", _not_utf8),
        "a key twice": Mistake(400, "duplicate_key", _key_twice),
        "nested": Mistake(400, "nested_too_deeply", lambda pick, rng: b"[" * 5000),
        "sent as text": Mistake(
            415,
            "unsupported_media_type",
            lambda pick, rng: encode(pick),
            {"Content-Type": "text/plain"},
        ),
        "an array": Mistake(
            422, "not_an_object", lambda pick, rng: msgspec.json.encode(_document(pick)["pack"])
        ),
        "no pack": Mistake(422, "missing_field", _changed(lambda it: it.pop("pack"))),
        "a field too many": Mistake(422, "unknown_field", _changed(lambda it: it.update(colour=1))),
        "a number for a pack": Mistake(422, "wrong_type", _changed(lambda it: it.update(pack=7))),
        "an empty pack": Mistake(422, "wrong_length", _changed(lambda it: it.update(pack=[]))),
        "a pack too large": Mistake(
            422, "wrong_length", _changed(lambda it: it.update(pack=["Opt"] * (PACK_MAX + 1)))
        ),
        "a pool too large": Mistake(
            422, "wrong_length", _changed(lambda it: it.update(pool=["Opt"] * (POOL_MAX + 1)))
        ),
        "an impossible power": Mistake(422, "out_of_range", _in_card(power=10_000)),
        "a rarity of its own": Mistake(422, "unknown_value", _in_card(rarity="shiny")),
        "half a mana cost": Mistake(422, "malformed_mana_cost", _in_card(mana_cost="{2}{W")),
        "words for a power": Mistake(422, "malformed_number", _in_card(power="huge")),
    }
)
