"""When each user of a scenario sends: an open loop, evenly spaced over all users.

The times are fixed in advance and do not wait for answers (but for CLOSED stages), so that a slow
server meets the same load as a fast one and its queue shows. A user that is still waiting when its
turn comes misses the turn; the verdict checks that not many were missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.scenarios import Pace, Stage


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to come: in which stage (its place in the table), and when (s since the start)."""

    stage: int
    at: float


class Timetable:
    """The turns of every user.

    Args:
        stages: with their lengths in seconds.
        rate: requests/s in all of the stage at a place; asked when the stage has begun, because
            it may depend on what an earlier one measured.
    """

    def __init__(self, stages: Sequence[tuple[Stage, float]], rate: Callable[[int], float]) -> None:
        self._stages = stages
        self._rate = rate
        ends: list[float] = []
        for _, length in stages:
            ends.append((ends[-1] if ends else 0.0) + length)
        self._ends = ends

    @property
    def end(self) -> float:
        """Length of the whole run, seconds."""
        return self._ends[-1]

    def begin(self, place: int) -> float:
        """When the stage begins, seconds since the start."""
        return self._ends[place - 1] if place else 0.0

    def stage_at(self, time: float) -> int | None:
        """The place of the stage that runs at `time`; None after the end."""
        return next((place for place, end in enumerate(self._ends) if time < end), None)

    def users_at(self, time: float) -> int | None:
        """How many users must exist at `time`; None after the end."""
        place = self.stage_at(max(time, 0.0))
        return None if place is None else self._stages[place][0].users

    def next_turn(self, seat: int, now: float, last: Turn | None) -> Turn | None:
        """The next turn of the user on `seat`, not before `now` and after its `last` one.

        None when the current stage has none for it: look again when the next stage has begun.
        """
        place = self.stage_at(max(now, 0.0))
        if place is None:
            return None
        stage, _ = self._stages[place]
        if seat >= stage.users or stage.load.pace is Pace.NONE:
            return None
        if stage.load.pace is Pace.CLOSED:
            return Turn(place, max(now, self.begin(place)))
        rate = self._rate(place)
        if rate <= 0:
            return None
        interval = stage.users / rate
        first = self.begin(place) + seat / rate
        turn = max(0, math.ceil((now - first) / interval - 1e-9))
        if last is not None and last.stage == place:
            turn = max(turn, round((last.at - first) / interval) + 1)
        at = first + turn * interval
        return Turn(place, at) if at < self._ends[place] else None
