"""When users send."""

from __future__ import annotations

import itertools

import pytest

from loadtests.pacing import Timetable, Turn
from loadtests.scenarios import Expect, Load, Pace, Stage


def stage(pace: Pace, users: int, name: str = "a") -> Stage:
    load = Load(pace, 1.0)
    return Stage(
        name=name, seconds=0, short_seconds=0, users=users, load=load, expect=Expect.ANSWERED
    )


def turns(timetable: Timetable, seat: int, answer_s: float = 0.0) -> list[Turn]:
    """All turns of a user whose requests take `answer_s`; it looks again after 0.1 s of none."""
    now, last, found = 0.0, None, []
    while now < timetable.end:
        turn = timetable.next_turn(seat, now, last)
        if turn is None:
            now += 0.1
            continue
        found.append(turn)
        last, now = turn, turn.at + answer_s
    return found


def test_requests_are_evenly_spaced_over_all_users() -> None:
    timetable = Timetable([(stage(Pace.FIXED, 4), 10.0)], lambda place: 8.0)
    times = sorted(turn.at for seat in range(4) for turn in turns(timetable, seat))
    assert len(times) == 80
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([0.125] * 79)


def test_a_slow_answer_costs_turns_and_delays_none() -> None:
    timetable = Timetable([(stage(Pace.FIXED, 1), 10.0)], lambda place: 10.0)
    late = turns(timetable, 0, answer_s=0.25)
    assert [turn.at for turn in late] == pytest.approx([0.3 * n for n in range(34)])


def test_a_user_without_a_seat_in_a_stage_waits_for_the_next() -> None:
    stages = [(stage(Pace.FIXED, 1), 1.0), (stage(Pace.FIXED, 2), 1.0)]
    timetable = Timetable(stages, lambda place: 2.0)
    assert timetable.next_turn(1, 0.5, None) is None
    assert turns(timetable, 1) == [Turn(1, 1.5)]


def test_nothing_is_sent_in_a_rest() -> None:
    timetable = Timetable([(stage(Pace.NONE, 0), 1.0)], lambda place: 0.0)
    assert turns(timetable, 0) == []


def test_a_closed_loop_sends_when_it_has_its_answer() -> None:
    timetable = Timetable([(stage(Pace.CLOSED, 1), 1.0)], lambda place: 0.0)
    assert len(turns(timetable, 0, answer_s=0.1)) in (10, 11)


def test_the_rate_is_asked_only_once_the_stage_has_begun() -> None:
    asked = []

    def rate(place: int) -> float:
        asked.append(place)
        return 5.0

    stages = [(stage(Pace.CLOSED, 1), 1.0), (stage(Pace.CAPACITY, 1), 1.0)]
    timetable = Timetable(stages, rate)
    timetable.next_turn(0, 0.9, None)
    assert asked == []
    assert timetable.next_turn(0, 1.0, Turn(0, 0.9)) == Turn(1, 1.0)
    assert asked == [1]


def test_stages_and_users_over_time() -> None:
    stages = [(stage(Pace.FIXED, 3), 2.0), (stage(Pace.NONE, 0), 1.0)]
    timetable = Timetable(stages, lambda place: 1.0)
    assert [timetable.stage_at(time) for time in (0.0, 1.9, 2.0, 3.0)] == [0, 0, 1, None]
    assert [timetable.users_at(time) for time in (-1.0, 2.5, 3.5)] == [3, 0, None]
    assert (timetable.begin(1), timetable.end) == (2.0, 3.0)
