"""The scenarios of the load tests, as data: what is sent, how fast, and what must come of it.

A scenario is a table of stages. A stage says for how long, by how many users and how fast
requests are sent (`Load`), and what the service must do with them (`Expect`). Numbers that
belong to a limit are not written here but read from config/limits.json (`loadtests.limits`):
a stage says "0.8 of the limit", never "80 a minute".

    python -m loadtests.scenarios           the table of the README
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Expect(Enum):
    """What the service must do with the requests of a stage."""

    CAPACITY = "answers all, as fast as it can"
    ANSWERED = "answers all, in time"
    FLOOD = "answers the burst and the rate, refuses the rest"
    LIMITED = "answers at the limit's rate, refuses the rest"
    OVERLOADED = "answers what it can in time, refuses the rest"
    RECOVERED = "is back at full throughput"
    REST = "is left alone"


class Pace(Enum):
    """What a stage's rate is a multiple of."""

    LIMIT = "of the limit, for every caller"
    CAPACITY = "of the measured capacity, in all"
    FIXED = "requests/s, in all"
    CLOSED = "each user sends when it has its answer"
    NONE = "nothing is sent"


class Callers(Enum):
    """Whom the requests seem to come from.

    A gateway on this machine trusts it to name the client (X-Forwarded-For), so that virtual
    users can have addresses of their own. No deployment does, and there all calls come from one.
    """

    FEW = "a few addresses, one a user, that meet the limit of an address"
    MANY = "an address of its own for every request: no limit of an address is met"
    KEYS = "a few API keys; an address of its own for every request"


@dataclass(frozen=True, slots=True)
class Load:
    """How fast requests are sent: `value` in units of `pace`."""

    pace: Pace
    value: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One row of a scenario.

    Attributes:
        short_seconds: the length in a short run (SHORT=1).
        users: who send at the same time.
        group: which group of callers they are; a new group has used up nothing of its limit.
        callers: who they are, where it is not the scenario's.
    """

    name: str
    seconds: float
    short_seconds: float
    load: Load
    expect: Expect
    users: int = 0
    group: int = 0
    callers: Callers | None = None

    def length(self, short: bool) -> float:
        return self.short_seconds if short else self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A load test.

    Attributes:
        limit: the name of the limit (`loadtests.limits`) that LIMIT stages are about.
        callers: how many of the limited callers there are, and who they are.
        bad_share: share of requests that are malformed; each must get its own refusal.
        p95_ms: ANSWERED stages must stay below, at the client.
        p99_per_p50: likewise, where given; meaningful only under steady load.
        server: settings of the local server that make the scenario possible on one machine.
        remote: stages against a deployment, where they differ; empty: it runs locally only.
        note: what a reader of the result has to know.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]
    route: str = "pick"
    limit: str | None = None
    callers: Callers = Callers.MANY
    caller_count: int = 1
    bad_share: float = 0.0
    p95_ms: float = 100.0
    p99_per_p50: float | None = None
    server: Mapping[str, str] = field(default_factory=dict)
    remote: tuple[Stage, ...] | None = None
    note: str = ""

    def stages_for(self, short: bool = False, remote: bool = False) -> tuple[Stage, ...]:
        """The stages that a run has; those of length 0 in a short run are left out."""
        stages = self.remote if remote and self.remote is not None else self.stages
        return tuple(stage for stage in stages if stage.length(short) > 0)

    def seconds(self, short: bool = False, remote: bool = False) -> float:
        return sum(stage.length(short) for stage in self.stages_for(short, remote))

    def callers_of(self, stage: Stage) -> Callers:
        return stage.callers or self.callers


CALLERS = 8
"""Callers of a limit that are watched side by side; the accepted rate is the mean of theirs."""

FLOOD_USERS = 8 * CALLERS
"""Who send more than a limit: enough that a slow machine's latency does not slow them down."""

SMALL_SERVER = MappingProxyType({"WORKERS": "1", "MAX_BATCH_SIZE": "1"})
"""A server slow enough for three times its capacity to be sent from the same two cores."""


def _rest(seconds: float, short_seconds: float | None = None) -> Stage:
    return Stage(
        name="rest",
        seconds=seconds,
        short_seconds=seconds if short_seconds is None else short_seconds,
        load=Load(Pace.NONE),
        expect=Expect.REST,
    )


def _below(name: str, seconds: float, short_seconds: float, group: int) -> Stage:
    return Stage(
        name=name,
        seconds=seconds,
        short_seconds=short_seconds,
        users=CALLERS,
        load=Load(Pace.LIMIT, 0.8),
        expect=Expect.ANSWERED,
        group=group,
    )


def _limit_stages(
    *, flood: float, above_s: float, short_above_s: float, rest_s: float
) -> tuple[Stage, ...]:
    """Below the limit; a flood that meets a full burst; above the limit; a rest; below again.

    `flood` is in requests/s in all. `rest_s` is the stated time of recovery: once it has passed,
    every caller is answered again.
    """
    return (
        _below("below", 30, 5, 0),
        Stage(
            name="flood",
            seconds=5,
            short_seconds=3,
            users=FLOOD_USERS,
            load=Load(Pace.FIXED, flood),
            expect=Expect.FLOOD,
            group=1,
        ),
        Stage(
            name="above",
            seconds=above_s,
            short_seconds=short_above_s,
            users=FLOOD_USERS,
            load=Load(Pace.LIMIT, 3.0),
            expect=Expect.LIMITED,
            group=1,
        ),
        _rest(rest_s),
        _below("after", 15, 4, 1),
    )


def _capacity(seconds: float, short_seconds: float) -> Stage:
    return Stage(
        name="capacity",
        seconds=seconds,
        short_seconds=short_seconds,
        users=32,
        load=Load(Pace.CLOSED),
        expect=Expect.CAPACITY,
    )


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario(
                name="steady",
                about="60 % of what the server can do, below every limit",
                stages=(
                    _capacity(15, 5),
                    _rest(2),
                    Stage(
                        name="steady",
                        seconds=300,
                        short_seconds=8,
                        users=64,
                        load=Load(Pace.CAPACITY, 0.6),
                        expect=Expect.ANSWERED,
                    ),
                ),
                remote=(_below("steady", 300, 30, 0),),
                limit="picks_per_ip",
                p99_per_p50=5.0,
                note="A deployment is not driven to its capacity: one address may send 0.8 of its "
                "own limit.",
            ),
            Scenario(
                name="burst",
                about="more at once than the bucket of a key holds, again after a pause",
                stages=(
                    _below("below", 10, 4, 0),
                    Stage(
                        name="flood",
                        seconds=5,
                        short_seconds=3,
                        users=FLOOD_USERS,
                        load=Load(Pace.FIXED, 240),
                        expect=Expect.FLOOD,
                        group=1,
                    ),
                    _rest(4),
                    Stage(
                        name="again",
                        seconds=5,
                        short_seconds=3,
                        users=FLOOD_USERS,
                        load=Load(Pace.FIXED, 240),
                        expect=Expect.FLOOD,
                        group=1,
                    ),
                    _rest(1),
                    _below("after", 10, 4, 1),
                ),
                limit="key",
                callers=Callers.KEYS,
                caller_count=CALLERS,
                note="The stage of API Gateway exists only on AWS. Here the gateway's bucket for "
                "a key, which has the size of the usage plan's, stands for it.",
            ),
            Scenario(
                name="per_key",
                about="one key sends three times what it may",
                stages=_limit_stages(flood=240, above_s=30, short_above_s=6, rest_s=1),
                limit="key",
                callers=Callers.KEYS,
                caller_count=CALLERS,
                note="The usage plan exists only on AWS. Here the gateway's limit of a key, "
                "which has the same numbers, stands for it.",
            ),
            Scenario(
                name="per_ip",
                about="one address sends three times what it may",
                stages=_limit_stages(flood=240, above_s=60, short_above_s=9, rest_s=2),
                limit="picks_per_ip",
                callers=Callers.FEW,
                caller_count=CALLERS,
            ),
            Scenario(
                name="overload",
                about="three times what the server can do",
                stages=(
                    _capacity(15, 5),
                    _rest(2),
                    Stage(
                        name="overload",
                        seconds=120,
                        short_seconds=8,
                        users=1200,
                        load=Load(Pace.CAPACITY, 3.0),
                        expect=Expect.OVERLOADED,
                    ),
                    Stage(
                        name="after",
                        seconds=15,
                        short_seconds=8,
                        users=32,
                        load=Load(Pace.CLOSED),
                        expect=Expect.RECOVERED,
                    ),
                ),
                remote=(),
                server=SMALL_SERVER,
                note="The server runs one worker and takes one request at a time, so that the load "
                "generator on the same two cores can send three times what it can do.",
            ),
            Scenario(
                name="mixed_bad",
                about="three of ten requests are malformed, each in one of many ways",
                stages=(
                    Stage(
                        name="mixed",
                        seconds=60,
                        short_seconds=8,
                        users=32,
                        load=Load(Pace.FIXED, 100),
                        expect=Expect.ANSWERED,
                    ),
                ),
                remote=(_below("mixed", 60, 30, 0),),
                limit="picks_per_ip",
                bad_share=0.3,
            ),
            Scenario(
                name="soak",
                about="a long run; the memory of every process must stay where it is",
                stages=(
                    Stage(
                        name="warm-up",
                        seconds=180,
                        short_seconds=4,
                        users=64,
                        load=Load(Pace.FIXED, 100),
                        expect=Expect.ANSWERED,
                    ),
                    Stage(
                        name="soak",
                        seconds=1800,
                        short_seconds=8,
                        users=64,
                        load=Load(Pace.FIXED, 100),
                        expect=Expect.ANSWERED,
                    ),
                ),
                remote=(_below("soak", 1800, 30, 0),),
                limit="picks_per_ip",
                bad_share=0.03,
            ),
            Scenario(
                name="review",
                about="whole drafts of 42 picks, then more of them than an address may send",
                stages=(
                    Stage(
                        name="answers",
                        seconds=30,
                        short_seconds=6,
                        users=8,
                        load=Load(Pace.FIXED, 10),
                        expect=Expect.ANSWERED,
                        callers=Callers.MANY,
                    ),
                    Stage(
                        name="flood",
                        seconds=5,
                        short_seconds=4,
                        users=FLOOD_USERS,
                        load=Load(Pace.FIXED, 40),
                        expect=Expect.FLOOD,
                        group=1,
                    ),
                    Stage(
                        name="above",
                        # One review in twelve seconds: a short stage could not tell the rate.
                        seconds=180,
                        short_seconds=0,
                        users=FLOOD_USERS,
                        load=Load(Pace.LIMIT, 3.0),
                        expect=Expect.LIMITED,
                        group=1,
                    ),
                    _rest(13, 0),
                    _below("after", 30, 0, 1),
                ),
                remote=_limit_stages(flood=40, above_s=180, short_above_s=120, rest_s=13),
                route="review",
                limit="reviews_per_ip",
                callers=Callers.FEW,
                caller_count=CALLERS,
                bad_share=0.1,
                p95_ms=1000.0,
            ),
        )
    }
)


def table() -> str:
    """The scenarios as the README shows them."""
    lines = ["| scenario | what it sends | what must come of it | takes |", "|---|---|---|---|"]
    for scenario in SCENARIOS.values():
        stages = [each for each in scenario.stages if each.expect is not Expect.REST]
        wanted = dict.fromkeys(f"{each.name}: {each.expect.value}" for each in stages)
        seconds, short = scenario.seconds(), scenario.seconds(short=True)
        lines.append(
            f"| `{scenario.name}` | {scenario.about} | {'; '.join(wanted)} "
            f"| {seconds:.0f} s, short {short:.0f} s |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
