"""The requests of the scenarios against the code that checks them in the server."""

from __future__ import annotations

import json
import random

import pytest

from handler.errors import DraftError
from handler.stages import Body, Ticket, decode, validate
from loadtests.malformed import MISTAKES
from loadtests.payloads import PACK_SIZE, draft_mix
from loadtests.questions import bad_picks, picks, reviews
from model.cards import PickRequest


def checked(body: bytes, content_type: str = "application/json") -> Ticket | DraftError:
    (outcome,) = validate(decode([Body(body, content_type)]))
    return outcome


@pytest.mark.parametrize("what", MISTAKES)
def test_every_mistake_is_told_as_what_it_is(what: str) -> None:
    mistake, rng = MISTAKES[what], random.Random(3)
    for pick in draft_mix(1):
        outcome = checked(mistake.make(pick, rng), mistake.headers["Content-Type"])
        problem = outcome if isinstance(outcome, DraftError) else outcome.picks[0]
        assert isinstance(problem, DraftError)
        assert (problem.status, problem.code) == (mistake.status, mistake.code)


def test_good_picks_are_good_and_have_the_sizes_of_a_draft() -> None:
    sizes = set()
    for request in picks():
        ticket = checked(request.body)
        assert isinstance(ticket, Ticket)
        (pick,) = ticket.picks
        assert isinstance(pick, PickRequest)
        assert request.question.packs == (len(pick.pack),)
        sizes.add(len(pick.pack))
    assert sizes == set(range(1, PACK_SIZE + 1))


def test_bad_picks_make_every_mistake() -> None:
    requests = bad_picks()
    assert {request.what for request in requests} == set(MISTAKES)
    assert {request.question.status for request in requests} == {400, 415, 422}


def test_reviews_are_whole_drafts_and_some_have_a_bad_pick() -> None:
    requests = reviews(bad_share=0.3)
    assert 0 < sum(bool(request.question.bad_picks) for request in requests) < len(requests)
    for request in requests:
        ticket = checked(request.body)
        assert isinstance(ticket, Ticket)
        assert ticket.is_review
        bad = {
            place: pick.code
            for place, pick in enumerate(ticket.picks)
            if isinstance(pick, DraftError)
        }
        assert bad == request.question.bad_picks
        assert len(request.question.packs) == len(json.loads(request.body)["requests"]) == 42


def test_the_same_requests_every_time() -> None:
    assert bad_picks() == bad_picks()
    assert reviews(0.2) == reviews(0.2)
