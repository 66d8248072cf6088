"""Every promise of a scenario: kept by a run that keeps it, broken by the smallest breach.

The runs are made here, request by request, as a limiter of a given size would answer them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from infrastructure.limits import Limits, load_limits
from loadtests.answers import Outcome
from loadtests.limits import bound
from loadtests.samples import Run, Sample, StageRun
from loadtests.scenarios import SCENARIOS, Pace
from loadtests.verdict import Check, judge_memory, judge_run, quantile, throughput

CAPACITY = 300.0
LONGEST = ("soak", False)
Change = Callable[[Sample], Sample | None]


@pytest.fixture(scope="module")
def limits() -> Limits:
    return load_limits(env={})


def with_gateway(limits: Limits, **changes: int) -> Limits:
    gateway = msgspec.structs.replace(limits.gateway, **changes)
    return msgspec.structs.replace(limits, gateway=gateway)


class Limiter:
    """Token buckets, as nginx has them."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate, self._burst = per_second, burst
        self._levels: dict[int, tuple[float, float]] = {}

    def admits(self, caller: int, at: float) -> bool:
        level, before = self._levels.get(caller, (self._burst, at))
        level = min(self._burst, level + (at - before) * self._rate)
        admitted = level >= 1
        self._levels[caller] = (level - admitted, at)
        return admitted


def play(name: str, limits: Limits, *, short: bool = False, remote: bool = False) -> Any:
    """A run in which every limit holds, and a list of its samples."""
    scenario = SCENARIOS[name]
    callers = 1 if remote else scenario.caller_count
    strictest = bound(limits, scenario.limit or "key", remote).strictest
    limiter = Limiter(strictest.per_second, strictest.burst)
    begin, stages, samples = 0.0, [], []
    for place, stage in enumerate(scenario.stages_for(short, remote)):
        seconds = stage.length(short)
        rate = {
            Pace.LIMIT: stage.load.value * strictest.per_second * callers,
            Pace.CAPACITY: stage.load.value * CAPACITY,
            Pace.FIXED: stage.load.value,
            Pace.CLOSED: CAPACITY,
            Pace.NONE: 0.0,
        }[stage.load.pace]
        limited = scenario.limit and (stage.callers or scenario.callers).name != "MANY"
        for number in range(int(rate * seconds)):
            at = begin + number / rate
            caller = stage.group * callers + number % callers
            if stage.name == "overload":
                good, status = number % 3 == 0, 503
            else:
                good, status = not limited or limiter.admits(caller, at), 429
            outcome = Outcome.ANSWERED if good else Outcome.REFUSED
            samples.append(
                Sample(
                    at,
                    place,
                    caller,
                    scenario.route,
                    200 if good else status,
                    8.0 if good else 1.0,
                    outcome,
                    None if good else 1,
                    "",
                )
            )
        planned = None if stage.load.pace is Pace.CLOSED else rate
        stages.append(StageRun(name=stage.name, begin=begin, seconds=seconds, rate=planned))
        begin += seconds
    run = Run(
        scenario=name,
        short=short,
        remote=remote,
        host="http://127.0.0.1:1",
        began="2026-11-25T00:00:00+00:00",
        zero=0.0,
        callers=callers,
        capacity=CAPACITY,
        stages=tuple(stages),
    )
    return run, samples


def failed(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.stage, check.what) for check in checks if not check.passed]


# Half a million requests of a long soak would show no more than those of a short one.
@pytest.mark.parametrize(
    ("name", "short"),
    [(name, short) for name in SCENARIOS for short in (False, True) if (name, short) != LONGEST],
)
def test_a_run_that_keeps_its_promises_passes(limits: Limits, name: str, short: bool) -> None:
    run, samples = play(name, limits, short=short)
    assert failed(judge_run(run, samples, limits)) == []


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ("overload", "soak")])
def test_a_deployment_that_keeps_its_promises_passes(limits: Limits, name: str) -> None:
    run, samples = play(name, limits, remote=True)
    problems = failed(judge_run(run, samples, limits))
    # The model above has one bucket, where a deployment has one for each layer.
    assert [each for each in problems if each[0] not in ("flood", "again")] == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("per_ip", {"picks_per_ip_per_min": 50}),
        ("per_ip", {"picks_per_ip_per_min": 85}),
        ("per_ip", {"picks_per_ip_per_min": 120}),
        ("per_ip", {"picks_per_ip_burst": 25}),
        ("per_ip", {"picks_per_ip_burst": 15}),
        ("per_key", {"requests_per_key_per_s": 4}),
        ("per_key", {"requests_per_key_per_s": 6}),
        ("per_key", {"requests_per_key_burst": 20}),
        ("burst", {"requests_per_key_burst": 5}),
        ("burst", {"requests_per_key_burst": 15}),
        ("review", {"reviews_per_ip_burst": 8}),
    ],
)
@pytest.mark.parametrize("short", [False, True])
def test_another_limit_than_the_files_fails(
    limits: Limits, name: str, change: dict[str, int], short: bool
) -> None:
    """The gateway applies the changed limit, the file has the old one."""
    _, samples = play(name, with_gateway(limits, **change), short=short)
    run, _ = play(name, limits, short=short)
    assert failed(judge_run(run, samples, limits)) != []


def test_another_rate_of_reviews_fails_a_long_run(limits: Limits) -> None:
    """A short one has no stage that could tell a rate of one in 12 s."""
    _, samples = play("review", with_gateway(limits, reviews_per_ip_per_min=7))
    run, _ = play("review", limits)
    assert ("above", "accepted, each caller") in failed(judge_run(run, samples, limits))


def breach(place: int, change: Change, samples: list[Sample], count: int = 1) -> list[Sample]:
    """Change the first `count` samples of a stage; None drops them."""
    left, changed = count, []
    for sample in samples:
        if sample.stage == place and left:
            new = change(sample)
            if new is not sample:
                left -= 1
            if new is not None:
                changed.append(new)
        else:
            changed.append(sample)
    assert left == 0
    return changed


def spoiled(outcome: Outcome, status: int = 200, ms: float = 8.0) -> Change:
    return lambda sample: sample._replace(outcome=outcome, status=status, ms=ms, reason="why")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("outcome", [Outcome.WRONG, Outcome.FAILED])
def test_one_wrong_or_missing_answer_fails(limits: Limits, name: str, outcome: Outcome) -> None:
    run, samples = play(name, limits, short=True)
    samples = breach(0, spoiled(outcome), samples)
    (problem,) = [each for each in judge_run(run, samples, limits) if not each.passed]
    assert (problem.what, problem.measured) == (
        "failed or wrong answers",
        f"1 (1 x {SCENARIOS[name].route}: why)",
    )


def test_one_refusal_below_the_limit_fails(limits: Limits) -> None:
    run, samples = play("per_ip", limits)
    samples = breach(0, spoiled(Outcome.REFUSED, 429, 1.0), samples)
    assert failed(judge_run(run, samples, limits)) == [("below", "refused")]


def test_a_refusal_that_is_no_429_fails(limits: Limits) -> None:
    run, samples = play("per_ip", limits)

    def change(sample: Sample) -> Sample:
        refused = sample.outcome is Outcome.REFUSED
        return sample._replace(status=503) if refused else sample

    samples = breach(2, change, samples)
    assert failed(judge_run(run, samples, limits)) == [("above", "refusals that are no 429")]


def test_slow_refusals_fail(limits: Limits) -> None:
    run, samples = play("per_ip", limits)
    slow = [
        each._replace(ms=51.0) if each.outcome is Outcome.REFUSED and each.stage == 2 else each
        for each in samples
    ]
    wanted = [("above", "p99 of the refusals, at the client")]
    assert failed(judge_run(run, slow, limits)) == wanted


def test_slow_answers_fail(limits: Limits) -> None:
    run, samples = play("mixed_bad", limits)
    slow = [each._replace(ms=101.0) for each in samples]
    assert failed(judge_run(run, slow, limits)) == [("mixed", "p95")]


def test_a_long_tail_under_steady_load_fails(limits: Limits) -> None:
    run, samples = play("steady", limits)
    slow = [
        each._replace(ms=41.0) if number % 50 == 0 else each for number, each in enumerate(samples)
    ]
    assert failed(judge_run(run, slow, limits)) == [("steady", "p99, of the median")]


def test_a_generator_that_cannot_keep_up_fails(limits: Limits) -> None:
    run, samples = play("steady", limits)
    kept = [each for number, each in enumerate(samples) if each.stage != 2 or number % 10]
    assert failed(judge_run(run, kept, limits)) == [("steady", "requests sent, of those planned")]


def test_a_stage_without_requests_fails(limits: Limits) -> None:
    run, samples = play("overload", limits)
    kept = [each for each in samples if each.stage != 3]
    assert ("after", "failed or wrong answers") in failed(judge_run(run, kept, limits))


def test_a_queue_without_bound_fails(limits: Limits) -> None:
    run, samples = play("overload", limits)
    slow = [
        each._replace(ms=2001.0) if each.status == 200 and each.stage == 2 else each
        for each in samples
    ]
    assert ("overload", "p99 of the accepted") in failed(judge_run(run, slow, limits))


def test_an_overload_that_nobody_refuses_fails(limits: Limits) -> None:
    run, samples = play("overload", limits)
    kept = [each for each in samples if each.outcome is not Outcome.REFUSED]
    problems = failed(judge_run(run, kept, limits))
    assert ("overload", "refused, all with 429 or 503 and Retry-After") in problems


def test_a_slow_recovery_fails(limits: Limits) -> None:
    run, samples = play("overload", limits)
    begin = run.stages[3].begin
    kept = [
        each
        for number, each in enumerate(samples)
        if not (each.stage == 3 and each.at < begin + 6 and number % 2)
    ]
    assert failed(judge_run(run, kept, limits)) == [("after", "until 90% of the capacity")]


def test_memory_that_grows_fails_a_long_soak_only() -> None:
    grown = {"Java 1": 0.01, "worker 2": 0.031, "nginx 1": 0.2}
    assert [check.passed for check in judge_memory(grown, short=False)] == [True, False, True]
    assert [check.passed for check in judge_memory(grown, short=True)] == [True, True, True]


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)]
)
def test_quantiles_are_values_that_occurred(share: float, value: float) -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], share) == value


def test_throughput_counts_arrivals_after_the_warm_up() -> None:
    row = Sample(0.0, 0, 0, "pick", 200, 0.0, Outcome.ANSWERED, None, "")
    samples = [row._replace(at=number / 10) for number in range(100)]
    assert throughput(samples, 0, 0.0, 10.0) == pytest.approx(10.0)
    assert throughput(samples, 1, 0.0, 10.0) == 0.0
