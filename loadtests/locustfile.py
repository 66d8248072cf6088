"""Locust's view of a scenario: users that send requests by the timetable and judge the answers.

Started by `make loadtest`, which also starts the servers; or by hand, with locust's web UI:

    python -m locust -f loadtests/locustfile.py --scenario per_ip --host http://127.0.0.1:8000

Refusals that a limit is there for count as successes, under a name of their own in locust's
tables; wrong answers are failures whatever their status. The exit code is that of the verdict.
"""

from __future__ import annotations

import datetime
import gc
import heapq
import itertools
import os
import random
import secrets
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, LoadTestShape, events, task

from infrastructure.errors import SettingsError
from infrastructure.limits import LIMITS_FILE, load_limits
from loadtests.answers import Answer, Outcome, judge
from loadtests.limits import bound
from loadtests.pacing import Timetable, Turn
from loadtests.questions import Request, bad_picks, picks, reviews
from loadtests.samples import Run, Sample, StageRun, write
from loadtests.scenarios import SCENARIOS, Callers, Pace, Stage
from loadtests.verdict import judge_run, throughput

START_S = 1.5
"""Between locust's start and the first request: time to make the first stage's users."""

_SPAWN_PER_S = 1000.0
_PAUSE_AFTER_FAILURE_S = 0.2
_ADDRESSES = 65_536
"""Of each kind: of callers that meet their limit, and of those that do not."""


class Play:
    """A scenario being run: who sends what when, and what came of it."""

    def __init__(self, options: Namespace, host: str) -> None:
        self.options = options
        self.scenario = SCENARIOS[options.scenario]
        self.host = host.rstrip("/")
        self.keys = read_keys(options.keys)
        self.limits = load_limits(Path(options.limits))
        stages = self.scenario.stages_for(options.short, options.remote)
        self.stages: list[tuple[Stage, float]] = [
            (stage, stage.length(options.short)) for stage in stages
        ]
        self.timetable = Timetable(self.stages, self.rate)
        self.callers = self._number_of_callers()
        self.samples: list[Sample] = []
        self.capacity: float | None = None
        self.began = datetime.datetime.now(datetime.UTC)
        self._zero = time.perf_counter() + START_S
        self._announced: int | None = None
        self._seats = list(range(max(stage.users for stage in stages)))
        self._rng = random.Random(20)
        self._good = itertools.cycle(
            reviews(self.scenario.bad_share) if self.scenario.route == "review" else picks()
        )
        self._bad = itertools.cycle(bad_picks())
        self._turns = itertools.count()
        # Another block of addresses each time: a gateway that keeps running remembers callers.
        self._first_address = secrets.randbelow(_ADDRESSES)

    @property
    def now(self) -> float:
        """Seconds since the first request was due; negative before."""
        return time.perf_counter() - self._zero

    def rate(self, place: int) -> float:
        """Requests/s in all of a stage."""
        load = self.stages[place][0].load
        if load.pace is Pace.FIXED:
            return load.value
        if load.pace is Pace.CAPACITY:
            if self.capacity is None:
                self.capacity = throughput(self.samples, *self._capacity_stage())
            return load.value * self.capacity
        assert load.pace is Pace.LIMIT
        assert self.scenario.limit
        limit = bound(self.limits, self.scenario.limit, self.options.remote).strictest
        return load.value * limit.per_second * self.callers

    def announce(self) -> None:
        """Print the stage that has begun, once."""
        place = self.timetable.stage_at(max(self.now, 0.0))
        if place is not None and place != self._announced:
            self._announced = place
            stage, seconds = self.stages[place]
            rate = self._rate_or_none(place)
            sends = "as fast as it answers" if rate is None else f"{rate:.1f} requests/s"
            print(
                f"loadtest: {self.scenario.name}: {stage.name}, {seconds:.0f} s: {sends}",
                flush=True,
            )

    def _capacity_stage(self) -> tuple[int, float, float]:
        place = next(
            i for i, (stage, _) in enumerate(self.stages) if stage.load.pace is Pace.CLOSED
        )
        return place, self.timetable.begin(place), self.stages[place][1]

    def _number_of_callers(self) -> int:
        if self.options.remote:
            return 1
        count = self.scenario.caller_count
        if self.scenario.callers is Callers.KEYS:
            # One half floods, the other stays below: see `group`. With one key they are the same.
            count = min(count, max(1, len(self.keys) // 2))
        return count

    def take_seat(self) -> int:
        return heapq.heappop(self._seats)

    def leave_seat(self, seat: int) -> None:
        heapq.heappush(self._seats, seat)

    def move_up(self, seat: int) -> int:
        """A lower seat, if one is free: locust ends any users when it ends some, and the seats of
        those that go on must be the ones that the timetable has turns for."""
        if self._seats and self._seats[0] < seat:
            return heapq.heapreplace(self._seats, seat)
        return seat

    def request(self, place: int, seat: int) -> tuple[int, Request, dict[str, str]]:
        """The next request of a seat: its caller, itself, and the caller's headers."""
        stage = self.stages[place][0]
        turn = next(self._turns)
        caller = stage.group * self.callers + seat % self.callers
        network, address = 18, turn
        key = turn
        match self.scenario.callers_of(stage):
            case Callers.FEW:
                network, address = 19, caller
            case Callers.KEYS:
                key = caller
        bad = self.scenario.route == "pick" and self._rng.random() < self.scenario.bad_share
        request = next(self._bad if bad else self._good)
        headers = dict(request.headers)
        if not self.options.remote:
            # RFC 2544 keeps 198.18.0.0/15 for benchmarks.
            number = (self._first_address + address) % _ADDRESSES
            headers["X-Forwarded-For"] = f"198.{network}.{number // 256}.{number % 256}"
        if self.keys:
            headers["X-Api-Key"] = self.keys[key % len(self.keys)]
        return caller, request, headers

    def result(self) -> Run:
        """The run so far."""
        return Run(
            scenario=self.scenario.name,
            short=self.options.short,
            remote=self.options.remote,
            host=self.host,
            began=self.began.isoformat(timespec="seconds"),
            zero=self.began.timestamp() + START_S,
            callers=self.callers,
            capacity=self.capacity,
            stages=tuple(
                StageRun(
                    name=stage.name,
                    begin=self.timetable.begin(place),
                    seconds=seconds,
                    rate=self._rate_or_none(place),
                )
                for place, (stage, seconds) in enumerate(self.stages)
            ),
        )

    def _rate_or_none(self, place: int) -> float | None:
        pace = self.stages[place][0].load.pace
        if pace is Pace.NONE:
            return 0.0
        return None if pace is Pace.CLOSED else self.rate(place)


_play: Play | None = None


def read_keys(path: str) -> list[str]:
    """The keys of a file in the gateway's form (`name key` a line), or API_KEY's."""
    if path:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        return [line.split()[-1] for line in lines if line.strip() and not line.startswith("#")]
    return [key] if (key := os.environ.get("API_KEY", "")) else []


@events.init_command_line_parser.add_listener
def _add_options(parser: Any) -> None:
    group = parser.add_argument_group("scenario")
    group.add_argument("--scenario", choices=list(SCENARIOS), default="steady")
    group.add_argument("--short", action="store_true", help="as short as in CI")
    group.add_argument(
        "--remote",
        action="store_true",
        help="the host is a deployment: one address, one key, and the limits of every layer",
    )
    group.add_argument("--limits", default=str(LIMITS_FILE), help="the file of limits to assert")
    group.add_argument("--keys", default="", help="file of API keys, `name key` a line")
    group.add_argument("--output", default="", help="folder for requests.csv and run.json")


@events.test_start.add_listener
def _start(environment: Any, **_: object) -> None:
    global _play
    try:
        _play = Play(environment.parsed_options, environment.host)
    except SettingsError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        sys.exit(1)
    # A full collection walks all samples, and what it takes would count as the service's latency.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 1_000)


@events.quitting.add_listener
def _end(environment: Any, **_: object) -> None:
    """Write the samples and set the exit code."""
    if _play is None:
        return
    run, samples = _play.result(), _play.samples
    if _play.options.output:
        write(Path(_play.options.output), run, samples)
    checks = judge_run(run, samples, _play.limits)
    environment.process_exit_code = 0 if all(check.passed for check in checks) else 1


class ScenarioShape(LoadTestShape):
    """As many users as the scenario's stage needs, a second before it begins."""

    def tick(self) -> tuple[int, float] | None:
        if _play is None:
            options = self.runner.environment.parsed_options if self.runner else None
            name = options.scenario if options else "steady"
            first = SCENARIOS[name].stages_for(bool(options and options.remote))[0]
            return first.users, _SPAWN_PER_S
        now = _play.now
        users = _play.timetable.users_at(now)
        if users is None:
            return None
        _play.announce()
        # Rises come early, and users that are not needed stay until the stage is over.
        return max(users, _play.timetable.users_at(now + 1.2) or 0), _SPAWN_PER_S


class Drafter(FastHttpUser):
    """A client that sends a request at each of its turns."""

    network_timeout = 30.0
    connection_timeout = 5.0

    def on_start(self) -> None:
        assert _play is not None
        self.seat = _play.take_seat()
        self.last: Turn | None = None

    def on_stop(self) -> None:
        assert _play is not None
        _play.leave_seat(self.seat)

    @task
    def send(self) -> None:
        assert _play is not None
        play = _play
        self.seat = play.move_up(self.seat)
        turn = play.timetable.next_turn(self.seat, play.now, self.last)
        if turn is None:
            gevent.sleep(0.1)
            return
        if turn.at > play.now:
            # A stage with a slow rate has turns further away than its end.
            gevent.sleep(turn.at - play.now)
        self.last = turn
        caller, request, headers = play.request(turn.stage, self.seat)
        at = play.now
        with self.client.post(
            request.path, data=request.body, headers=headers, catch_response=True
        ) as response:
            verdict = judge(
                request.question,
                Answer(response.status_code or 0, response.headers or {}, response.content or b""),
            )
            meta = response.request_meta
            meta["name"] = f"{request.path} {verdict.outcome}"
            reason = verdict.reason
            if verdict.outcome is Outcome.FAILED and getattr(response, "error", None):
                reason = f"{reason}: {response.error!r}"
            play.samples.append(
                Sample(
                    at,
                    turn.stage,
                    caller,
                    request.what,
                    response.status_code or 0,
                    meta["response_time"],
                    verdict.outcome,
                    verdict.retry_after,
                    reason,
                )
            )
            if reason:
                response.failure(reason)
            else:
                response.success()
        if verdict.outcome is Outcome.FAILED:
            gevent.sleep(_PAUSE_AFTER_FAILURE_S)
