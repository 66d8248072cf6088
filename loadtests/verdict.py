"""Whether a run did what its scenario promises: every promise is one check.

Latencies are those that the load generator saw: they include its own delays, and it shares the
machine with the servers. That can only make a check stricter. Of refusals it is the 99th
percentile that counts, for the same reason.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infrastructure.limits import Limits
from loadtests.answers import Outcome
from loadtests.limits import Bound, bound
from loadtests.samples import Run, Sample
from loadtests.scenarios import SCENARIOS, Expect, Scenario, Stage

TOLERANCE = 0.10
TOLERANCE_REMOTE = 0.20
"""Of the accepted rate. AWS calls its limits targets, not ceilings."""

REFUSED_P99_MS = 50.0
OVERLOADED_P99_MS = 2000.0
RECOVERY_S = 5.0
FULL_THROUGHPUT = 0.9
"""Of the capacity measured before: what counts as full again on a machine that drifts."""

SENT_SHARE = 0.95
"""Of the planned requests: with fewer the generator, not the service, was what gave way."""

SHORT_SLACK = 20.0
"""Latencies may be this much longer in a short run: it is for CI, whose machines are busy. What is
answered, refused and how often is checked as strictly as ever."""

SHORT_SENT_SHARE = 0.5

BEYOND = 1.5
"""Requests sent to a limit, of those it lets pass, for a stage to show the limit and not itself."""

MEMORY_GROWTH = 0.03
_SUCCESSES = frozenset({Outcome.ANSWERED, Outcome.REJECTED})


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, what came of it, and whether it was kept."""

    stage: str
    what: str
    wanted: str
    measured: str
    passed: bool


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def throughput(samples: Sequence[Sample], place: int, begin: float, seconds: float) -> float:
    """Answers/s of a stage, by when they arrived; its first fifth, the warm-up, is left out."""
    start = begin + seconds / 5
    arrived = sum(
        1
        for sample in samples
        if sample.stage == place
        and sample.outcome in _SUCCESSES
        and start <= sample.at + sample.ms / 1000 < begin + seconds
    )
    return arrived / (seconds * 0.8)


def judge_run(run: Run, samples: Sequence[Sample], limits: Limits) -> list[Check]:
    """Check every stage of a run against what its scenario expects."""
    scenario = SCENARIOS[run.scenario]
    by_stage: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_stage[sample.stage].append(sample)
    checks: list[Check] = []
    for place, stage in enumerate(scenario.stages_for(run.short, run.remote)):
        if stage.expect is not Expect.REST:
            judge_stage = _JUDGES[stage.expect]
            context = _Context(run, scenario, stage, place, by_stage[place], limits)
            checks += [_no_failures(context), *judge_stage(context)]
    return checks


@dataclass(frozen=True, slots=True)
class _Context:
    """All that there is to know of a stage."""

    run: Run
    scenario: Scenario
    stage: Stage
    place: int
    samples: list[Sample]
    limits: Limits

    def check(self, what: str, wanted: str, measured: str, passed: bool) -> Check:
        return Check(self.stage.name, what, wanted, measured, passed)

    @property
    def seconds(self) -> float:
        return self.run.stages[self.place].seconds

    @property
    def begin(self) -> float:
        return self.run.stages[self.place].begin

    def of(self, *outcomes: Outcome) -> list[Sample]:
        return [sample for sample in self.samples if sample.outcome in outcomes]

    @property
    def slack(self) -> float:
        return SHORT_SLACK if self.run.short else 1.0

    @property
    def bound(self) -> Bound:
        assert self.scenario.limit
        return bound(self.limits, self.scenario.limit, self.run.remote)


def _no_failures(it: _Context) -> Check:
    failures = it.of(Outcome.FAILED, Outcome.WRONG)
    reasons = Counter(f"{each.what}: {each.reason}" for each in failures).most_common(3)
    text = "; ".join(f"{count} x {reason}" for reason, count in reasons)
    return it.check(
        "failed or wrong answers", "0", f"{len(failures)} ({text})" if failures else "0",
        not failures and bool(it.samples),
    )  # fmt: skip


def _sent(it: _Context) -> list[Check]:
    """The generator kept up with the timetable."""
    rate = it.run.stages[it.place].rate
    if rate is None:
        return []
    planned = rate * it.seconds
    share = len(it.samples) / planned if planned else 0.0
    wanted = SHORT_SENT_SHARE if it.run.short else SENT_SHARE
    return [
        it.check(
            "requests sent, of those planned",
            f"≥ {wanted:.0%}",
            f"{share:.1%} of {planned:.0f}",
            # A turn of each user may lie just beyond the end of a short stage.
            share >= wanted or 0 < planned - len(it.samples) <= it.stage.users,
        )
    ]


def _in_time(it: _Context) -> list[Check]:
    times = [sample.ms for sample in it.of(*_SUCCESSES)]
    p50, p95, p99 = (quantile(times, share) for share in (0.5, 0.95, 0.99))
    target = it.scenario.p95_ms * it.slack
    checks = [it.check("p95", f"≤ {target:.0f} ms", f"{p95:.1f} ms", p95 <= target)]
    factor = it.scenario.p99_per_p50
    if factor is not None and not it.run.short:
        checks.append(
            it.check(
                "p99, of the median",
                f"≤ {factor:.0f} ×",
                f"{p99 / p50 if p50 else 0:.1f} × ({p99:.1f} ms of {p50:.1f} ms)",
                0 < p99 <= factor * p50,
            )
        )
    return checks


def _answered(it: _Context) -> list[Check]:
    refused = len(it.of(Outcome.REFUSED))
    return [
        *_sent(it),
        it.check("refused", "0", str(refused), refused == 0),
        *_in_time(it),
    ]


def _capacity(it: _Context) -> list[Check]:
    rate = throughput(it.samples, it.place, it.begin, it.seconds)
    refused = len(it.of(Outcome.REFUSED))
    return [
        it.check("refused", "0", str(refused), refused == 0),
        it.check("capacity", "is measured", f"{rate:.0f} requests/s", rate > 0),
    ]


def _tolerance(it: _Context) -> float:
    return TOLERANCE_REMOTE if it.run.remote else TOLERANCE


def _refusals(it: _Context) -> list[Check]:
    """Every refusal is a 429, at once. (Retry-After was checked with each: see `answers`.)"""
    refused = it.of(Outcome.REFUSED)
    others = [sample for sample in refused if sample.status != 429]
    slowest = quantile([sample.ms for sample in refused], 0.99)
    return [
        it.check("refusals that are no 429", "0", str(len(others)), not others),
        it.check(
            "p99 of the refusals, at the client",
            f"< {REFUSED_P99_MS * it.slack:.0f} ms",
            f"{slowest:.1f} ms of {len(refused)}",
            bool(refused) and slowest < REFUSED_P99_MS * it.slack,
        ),
    ]


def _flood(it: _Context) -> list[Check]:
    """A caller with a full bucket gets the burst, and the rate on top."""
    wanted = it.bound.most(it.seconds)
    accepted = len(it.of(*_SUCCESSES)) / it.run.callers
    near = _near(it, "accepted, each caller", wanted, accepted, "")
    return [_beyond(it, wanted * it.run.callers), near, *_refusals(it)]


def _limited(it: _Context) -> list[Check]:
    """A caller with an empty bucket gets the rate."""
    wanted = it.bound.strictest.per_second
    accepted = len(it.of(*_SUCCESSES)) / it.run.callers / it.seconds
    near = _near(it, "accepted, each caller", wanted, accepted, "/s")
    return [_beyond(it, wanted * it.run.callers * it.seconds), near, *_refusals(it)]


def _beyond(it: _Context, passes: float) -> Check:
    """Enough was sent to meet the limit; more would say no more about it."""
    share = len(it.samples) / passes
    return it.check(
        "requests sent, of those that pass", f"≥ {BEYOND} ×", f"{share:.1f} ×", share >= BEYOND
    )


def _near(it: _Context, what: str, wanted: float, measured: float, unit: str) -> Check:
    share = _tolerance(it)
    return it.check(
        what,
        f"{wanted:.3g}{unit} ± {share:.0%}",
        f"{measured:.3g}{unit}",
        abs(measured - wanted) <= share * wanted,
    )


def _overloaded(it: _Context) -> list[Check]:
    accepted = [sample.ms for sample in it.of(*_SUCCESSES)]
    refused = it.of(Outcome.REFUSED)
    statuses = Counter(sample.status for sample in refused)
    p99 = quantile(accepted, 0.99)
    goodput = len(accepted) / it.seconds
    capacity = it.run.capacity or 0.0
    return [
        *_sent(it),
        it.check(
            "refused, all with 429 or 503 and Retry-After",
            "> 0",
            ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())) or "0",
            bool(refused),
        ),
        it.check(
            "p99 of the accepted",
            f"≤ {OVERLOADED_P99_MS * it.slack:.0f} ms",
            f"{p99:.0f} ms",
            0 < p99 <= OVERLOADED_P99_MS * it.slack,
        ),
        it.check(
            "still answered, of the capacity",
            "≥ 50%",
            f"{goodput / capacity if capacity else 0:.0%} ({goodput:.0f}/s)",
            goodput >= 0.5 * capacity > 0,
        ),
    ]


def _recovered(it: _Context) -> list[Check]:
    """Full throughput within RECOVERY_S, and no refusals after that."""
    capacity = it.run.capacity or 0.0
    per_second = Counter(
        int(sample.at + sample.ms / 1000 - it.begin) for sample in it.of(*_SUCCESSES)
    )
    full = [
        second
        for second in range(int(it.seconds))
        if per_second[second] >= FULL_THROUGHPUT * capacity
    ]
    first = full[0] + 1 if full else float("inf")
    after = statistics.fmean(
        per_second[second] for second in range(int(RECOVERY_S), int(it.seconds))
    )
    late = [sample for sample in it.of(Outcome.REFUSED) if sample.at >= it.begin + RECOVERY_S]
    return [
        it.check(
            f"until {FULL_THROUGHPUT:.0%} of the capacity",
            f"≤ {RECOVERY_S:.0f} s",
            f"{first:.0f} s",
            capacity > 0 and first <= RECOVERY_S,
        ),
        it.check(
            "throughput after that, of the capacity",
            f"≥ {FULL_THROUGHPUT - 0.1:.0%}",
            f"{after / capacity if capacity else 0:.0%}",
            after >= (FULL_THROUGHPUT - 0.1) * capacity > 0,
        ),
        it.check("refused after that", "0", str(len(late)), not late),
    ]  # fmt: skip


def judge_memory(growth: dict[str, float], short: bool) -> list[Check]:
    """Growth of each process' resident memory over a soak; told, not judged, in a short one.

    Nor is nginx's judged: it has some MB, and its tables of callers, whose size is fixed, fill up
    as new addresses come.
    """
    checks = []
    for name, share in growth.items():
        judged = not short and not name.startswith("nginx")
        checks.append(
            Check(
                "soak",
                f"memory of {name}, growth",
                f"< {MEMORY_GROWTH:.0%}" if judged else "is told",
                f"{share:+.1%}",
                not judged or share < MEMORY_GROWTH,
            )
        )
    return checks


_JUDGES: dict[Expect, Callable[[_Context], list[Check]]] = {
    Expect.CAPACITY: _capacity,
    Expect.ANSWERED: _answered,
    Expect.FLOOD: _flood,
    Expect.LIMITED: _limited,
    Expect.OVERLOADED: _overloaded,
    Expect.RECOVERED: _recovered,
}
