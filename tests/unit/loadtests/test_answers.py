"""What counts as a right answer, a proper refusal, and a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtests.answers import Answer, Outcome, Question, judge

PICK = Question((3,))
GOOD = {
    "recommended_pick": 1,
    "pick_probabilities": [0.2, 0.5, 0.3],
    "ranking": [{}, {}, {}],
    "model_version": "1.0.0",
}
PROBLEM = {"Content-Type": "application/problem+json"}


def answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps(document).encode())


def problem(status: int, code: str, **headers: str) -> Answer:
    return answer(status, {"status": status, "code": code}, PROBLEM | headers)


def refusal(status: int, seconds: str) -> Answer:
    return answer(status, {"status": status, "code": "x"}, PROBLEM | {"Retry-After": seconds})


def test_a_right_answer() -> None:
    assert judge(PICK, answer(200, GOOD)).outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pick_probabilities": [0.5, 0.5]}, "not 3 probabilities"),
        ({"pick_probabilities": [0.3, 0.5, 0.3]}, "probabilities that sum to 1.100000"),
        ({"pick_probabilities": [-0.1, 0.8, 0.3]}, "a probability that is none"),
        ({"pick_probabilities": [0.2, None, 0.3]}, "a probability that is none"),
        ({"recommended_pick": 0}, "a recommendation that is not the most probable card"),
        ({"recommended_pick": 3}, "a recommendation that is not the most probable card"),
        ({"recommended_pick": -2}, "a recommendation that is not the most probable card"),
        ({"ranking": [{}, {}]}, "an incomplete answer"),
        ({"model_version": ""}, "an incomplete answer"),
    ],
)
def test_answers_that_do_not_fit_are_wrong(change: dict[str, Any], reason: str) -> None:
    verdict = judge(PICK, answer(200, GOOD | change))
    assert (verdict.outcome, verdict.reason) == (Outcome.WRONG, reason)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b"NaN"])
def test_a_body_of_200_that_is_no_object_is_wrong(body: bytes) -> None:
    assert judge(PICK, Answer(200, {}, body)).outcome is Outcome.WRONG


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_says_when_to_come_back(status: int) -> None:
    verdict = judge(PICK, refusal(status, "2"))
    assert (verdict.outcome, verdict.retry_after) == (Outcome.REFUSED, 2)


@pytest.mark.parametrize("seconds", ["", "0", "-1", "soon", "3601", "1.5", "²"])
def test_a_refusal_without_a_sensible_time_is_none(seconds: str) -> None:
    assert judge(PICK, refusal(429, seconds)).outcome is Outcome.WRONG
    assert judge(PICK, refusal(503, seconds)).outcome is Outcome.FAILED


def test_a_refusal_is_a_problem_body() -> None:
    headers = {"Content-Type": "text/html", "Retry-After": "1"}
    assert judge(PICK, answer(429, {}, headers)).outcome is Outcome.WRONG


@pytest.mark.parametrize("status", [0, 500, 502, 504])
def test_no_answer_and_errors_of_the_service_are_failures(status: int) -> None:
    assert judge(PICK, problem(status, "internal_error")).outcome is Outcome.FAILED


def test_a_good_request_that_is_called_bad_is_wrong() -> None:
    verdict = judge(PICK, problem(422, "wrong_length"))
    assert verdict.reason == "status 422 instead of 200"


def test_a_bad_request_gets_its_own_error() -> None:
    question = Question((0,), status=422, code="wrong_length")
    assert judge(question, problem(422, "wrong_length")).outcome is Outcome.REJECTED
    assert judge(question, problem(422, "wrong_type")).outcome is Outcome.WRONG
    assert judge(question, problem(400, "wrong_length")).outcome is Outcome.WRONG
    assert judge(question, answer(422, {"code": "wrong_length"})).outcome is Outcome.WRONG
    assert judge(question, answer(200, GOOD)).outcome is Outcome.WRONG


REVIEW = Question((3, 1, 3), {1: "wrong_length"}, review=True)
ERROR = {"error": {"code": "wrong_length"}}


def test_a_right_review() -> None:
    reply = answer(200, {"results": [GOOD, ERROR, GOOD], "errors": 1})
    assert judge(REVIEW, reply).outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    "document",
    [
        {"results": [GOOD, ERROR], "errors": 1},
        {"results": [GOOD, ERROR, GOOD], "errors": 0},
        {"results": [GOOD, GOOD, GOOD], "errors": 1},
        {"results": [ERROR, ERROR, GOOD], "errors": 1},
        {"results": [GOOD, {"error": {"code": "wrong_type"}}, GOOD], "errors": 1},
        {"results": None, "errors": 1},
    ],
)
def test_reviews_that_do_not_fit_are_wrong(document: Any) -> None:
    assert judge(REVIEW, answer(200, document)).outcome is Outcome.WRONG
