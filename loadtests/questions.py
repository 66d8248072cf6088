"""The requests of the scenarios, each with the answer it must get."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from loadtests.answers import Question
from loadtests.malformed import JSON, MISTAKES
from loadtests.payloads import SEED, catalogue, draft, draft_mix, encode, unseen

PICK_PATH = "/api/v1/draft/pick"
REVIEW_PATH = "/api/v1/draft/review"
BAD_PICK: Mapping[str, Any] = MappingProxyType({"pack": []})
BAD_PICK_CODE = "wrong_length"
_OF_EACH_MISTAKE = 12
_REVIEWS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What to send, and what must come back. `what` names it in the samples."""

    what: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    question: Question


def picks() -> list[Request]:
    """The picks of whole drafts, half of them of cards that the model does not know by name."""
    return [
        Request("pick", PICK_PATH, encode(pick), JSON, Question((len(pick.pack),)))
        for pick in draft_mix()
    ]


def bad_picks(seed: int = SEED) -> list[Request]:
    """Every mistake, made in a dozen picks each, in random order."""
    rng = random.Random(seed)
    good = draft_mix()
    requests = [
        Request(
            what,
            PICK_PATH,
            mistake.make(rng.choice(good), rng),
            mistake.headers,
            Question((0,), status=mistake.status, code=mistake.code),
        )
        for what, mistake in MISTAKES.items()
        for _ in range(_OF_EACH_MISTAKE)
    ]
    rng.shuffle(requests)
    return requests


def reviews(bad_share: float = 0.0, seed: int = SEED) -> list[Request]:
    """Whole drafts in one request each; in `bad_share` of them one pick is malformed."""
    rng = random.Random(seed)
    known = catalogue()
    new = [unseen(card) for card in known]
    requests = []
    for number in range(_REVIEWS):
        seat = draft(new if number % 2 else known, rng)
        documents: list[Any] = [msgspec.json.decode(encode(pick)) for pick in seat]
        bad: dict[int, str] = {}
        if rng.random() < bad_share:
            place = rng.randrange(len(documents))
            documents[place], bad[place] = dict(BAD_PICK), BAD_PICK_CODE
        question = Question(tuple(len(pick.pack) for pick in seat), bad, review=True)
        body = msgspec.json.encode({"requests": documents})
        requests.append(Request("review", REVIEW_PATH, body, JSON, question))
    return requests
