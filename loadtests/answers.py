"""What an answer is worth: right, a proper refusal, or a failure. Wrong answers are failures.

An answer of 200 counts only when it fits the question: one probability for every card of the
pack, between 0 and 1, together 1, and a recommendation that has the highest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

PROBLEM_JSON = "application/problem+json"
REFUSALS = frozenset({429, 503})
LONGEST_RETRY_S = 3600
_SUM_TOLERANCE = 1e-5


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    """200, and the answer fits the question."""
    REJECTED = "rejected"
    """A malformed request got the status and the code that belong to its mistake."""
    REFUSED = "refused"
    """429 or 503 with Retry-After and a problem body: the service protects itself."""
    FAILED = "failed"
    """No answer, or one of 5xx that is no proper refusal."""
    WRONG = "wrong"
    """Any other answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and so what the answer must be.

    Attributes:
        packs: cards in the pack of every pick; several in a review.
        bad_picks: places in a review that must come back as errors, with their codes.
        status, code: of the refusal that a malformed request must get; status 200 for a good one.
    """

    packs: tuple[int, ...]
    bad_picks: Mapping[int, str] | None = None
    review: bool = False
    status: int = 200
    code: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as a client sees it; status 0 when there was none."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is empty for the first three outcomes."""

    outcome: Outcome
    reason: str = ""
    retry_after: int | None = None


def judge(question: Question, answer: Answer) -> Verdict:
    """Compare an answer with its question."""
    if answer.status == 0:
        return Verdict(Outcome.FAILED, "no answer")
    if answer.status in REFUSALS:
        return _refusal(answer)
    if answer.status >= 500:
        return Verdict(Outcome.FAILED, f"status {answer.status}")
    if answer.status != question.status:
        wanted = f"{question.status} {question.code}".strip()
        return Verdict(Outcome.WRONG, f"status {answer.status} instead of {wanted}")
    if question.status == 200:
        reason = _misfit(question, answer.body)
        return Verdict(Outcome.WRONG, reason) if reason else Verdict(Outcome.ANSWERED)
    reason = _not_the_problem(answer, question.code)
    return Verdict(Outcome.WRONG, reason) if reason else Verdict(Outcome.REJECTED)


def _refusal(answer: Answer) -> Verdict:
    # A 503 without Retry-After is no refusal but a failure of the service.
    bad = Outcome.WRONG if answer.status == 429 else Outcome.FAILED
    text = answer.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LONGEST_RETRY_S):
        return Verdict(bad, f"{answer.status} with Retry-After {text or 'missing'!r}")
    reason = _not_the_problem(answer)
    if reason:
        return Verdict(bad, reason)
    return Verdict(Outcome.REFUSED, retry_after=int(text))


def _not_the_problem(answer: Answer, code: str | None = None) -> str:
    """Why the answer is not a problem body (with the code); empty when it is."""
    kind = answer.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip() != PROBLEM_JSON:
        return f"{answer.status} as {kind or 'no content type'!r}"
    problem = _object(answer.body)
    if problem is None or problem.get("status") != answer.status or not problem.get("code"):
        return f"{answer.status} without a problem body"
    if code is not None and problem["code"] != code:
        return f"{answer.status} {problem['code']} instead of {code}"
    return ""


def _misfit(question: Question, body: bytes) -> str:
    """Why a body of 200 does not answer the question; empty when it does."""
    document = _object(body)
    if document is None:
        return "200 without a JSON object"
    if not question.review:
        return _not_a_ranking(document, question.packs[0])
    results, bad = document.get("results"), question.bad_picks or {}
    if not isinstance(results, list) or len(results) != len(question.packs):
        return f"a review without {len(question.packs)} results"
    if document.get("errors") != len(bad):
        return f"a review with errors {document.get('errors')!r} instead of {len(bad)}"
    for place, (result, size) in enumerate(zip(results, question.packs, strict=True)):
        if place in bad:
            error = result.get("error") if isinstance(result, dict) else None
            if not isinstance(error, dict) or error.get("code") != bad[place]:
                return f"result {place} is not the error {bad[place]}"
        elif reason := _not_a_ranking(result, size):
            return f"result {place}: {reason}"
    return ""


def _not_a_ranking(answer: Any, size: int) -> str:
    """Why this is no answer to a pick from `size` cards; empty when it is one."""
    if not isinstance(answer, dict):
        return "a pick's answer that is no object"
    chances, picked = answer.get("pick_probabilities"), answer.get("recommended_pick")
    if not isinstance(chances, list) or len(chances) != size:
        return f"not {size} probabilities"
    if not all(isinstance(each, int | float) and 0 <= each <= 1 for each in chances):
        return "a probability that is none"
    if not math.isclose(sum(chances), 1, abs_tol=_SUM_TOLERANCE):
        return f"probabilities that sum to {sum(chances):.6f}"
    if picked not in range(size) or chances[picked] != max(chances):
        return "a recommendation that is not the most probable card"
    ranking = answer.get("ranking")
    if not isinstance(ranking, list) or len(ranking) != size or not answer.get("model_version"):
        return "an incomplete answer"
    return ""


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return document if isinstance(document, dict) else None
