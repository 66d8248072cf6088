"""Clients under which something is broken, and the account of what became of their requests."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from loadtests.answers import Answer, Outcome, judge
from loadtests.questions import Request, picks

TIMEOUT_S = 30.0
# Ids are unique among all tests, some of which share a server and its log.
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request.

    Attributes:
        at, ended: seconds of time.monotonic.
        outcome: REFUSED includes every clean 5xx: a problem body with the right status.
        status: 0 for no answer.
        fresh: whether it was the first on its connection.
        error: of the connection, where there was no answer.
    """

    number: int
    at: float
    ended: float
    outcome: Outcome
    status: int
    code: str
    reason: str
    fresh: bool
    error: str = ""

    @property
    def request_id(self) -> str:
        return request_id(self.number)


def request_id(number: int) -> str:
    return f"fault-{number:08d}"


@dataclass
class Clients:
    """`count` clients in threads, each with a connection that it keeps, until the block ends.

    A client sends its next request when it has the answer to the one before. It does not send
    again what was lost: that is for the test to find.
    """

    port: int
    count: int = 16
    pause_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self._over = threading.Event()
        self._requests = picks()
        self._threads = [
            threading.Thread(target=self._run, args=(seat,)) for seat in range(self.count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"no {what} in {seconds} s: {self.account()}"
            time.sleep(0.02)

    def wait_for_answers(self, count: int, seconds: float = 30.0) -> None:
        """Wait until that many more requests have been answered with 200."""
        begin = len(self.results)
        self.wait_for(
            lambda: sum(each.status == 200 for each in self.results[begin:]) >= count,
            f"{count} answers",
            seconds,
        )

    def account(self) -> Counter[str]:
        """How many requests ended how."""
        return Counter(f"{each.outcome} {each.status} {each.code}" for each in list(self.results))

    def of(self, *outcomes: Outcome) -> list[Result]:
        return [each for each in self.results if each.outcome in outcomes]

    def _run(self, seat: int) -> None:
        connection: http.client.HTTPConnection | None = None
        for request in self._mine(seat):
            fresh = connection is None
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
            result, keep = self._ask(connection, request, fresh)
            self.results.append(result)
            if not keep:
                connection.close()
                connection = None
            # A server that is away is asked twenty times a second, not as fast as it refuses.
            pause = self.pause_s if result.status == 200 else max(self.pause_s, 0.05)
            if self._over.wait(pause):
                break
        if connection is not None:
            connection.close()

    def _mine(self, seat: int) -> Iterator[Request]:
        mine = self._requests[seat % len(self._requests) :: self.count] or self._requests
        return itertools.cycle(mine)

    def _ask(
        self, connection: http.client.HTTPConnection, request: Request, fresh: bool
    ) -> tuple[Result, bool]:
        number = next(_numbers)
        headers = dict(request.headers) | {"X-Request-Id": request_id(number)} | self.headers
        at = time.monotonic()
        try:
            connection.request("POST", request.path, request.body, headers)
            reply = connection.getresponse()
            answer = Answer(reply.status, reply.headers, reply.read())  # type: ignore[arg-type]
        except (OSError, http.client.HTTPException) as error:
            text = type(error).__name__
            failed = Result(
                number, at, time.monotonic(), Outcome.FAILED, 0, "", "no answer", fresh, text
            )
            return failed, False
        verdict = judge(request.question, answer)
        outcome, code = verdict.outcome, ""
        if answer.status >= 400:
            code = problem_code(answer)
            if outcome is Outcome.FAILED and code:
                outcome = Outcome.REFUSED
        result = Result(
            number, at, time.monotonic(), outcome, answer.status, code, verdict.reason, fresh
        )
        return result, not reply.will_close


def problem_code(answer: Answer) -> str:
    """The code of a clean problem body; empty for anything else."""
    if answer.headers.get("Content-Type") != "application/problem+json":
        return ""
    with contextlib.suppress(msgspec.DecodeError):
        problem = msgspec.json.decode(answer.body)
        if isinstance(problem, dict) and problem.get("status") == answer.status:
            return str(problem.get("code", ""))
    return ""
