"""What a run leaves behind: one row a request, and what the run was. Written and read here."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from loadtests.answers import Outcome

SAMPLES = "requests.csv"
RUN = "run.json"


class Sample(NamedTuple):
    """A request and its answer.

    Attributes:
        at: when it was sent, seconds since the start of the run.
        stage: the place of its stage.
        caller: who seemed to send it, within the scenario.
        what: `pick`, `review`, or the mistake that was made in it.
        status: of the answer; 0 for none.
        ms: until the last byte of the answer, as the client saw it.
        retry_after: seconds, in a refusal.
        reason: why it failed or was wrong.
    """

    at: float
    stage: int
    caller: int
    what: str
    status: int
    ms: float
    outcome: Outcome
    retry_after: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """A stage as it ran: when it began (s since the start), how long, and at which rate (1/s).

    `rate` is what was to be sent in all, None for a closed loop.
    """

    name: str
    begin: float
    seconds: float
    rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a scenario, without its samples.

    Attributes:
        zero: when the first request was due, seconds since 1970.
        capacity: answers/s, where the scenario measures them.
        notes: what else a reader has to know, a sentence each.
    """

    scenario: str
    short: bool
    remote: bool
    host: str
    began: str
    zero: float
    callers: int
    stages: tuple[StageRun, ...]
    capacity: float | None = None
    notes: tuple[str, ...] = field(default=())


def write(folder: Path, run: Run, samples: Iterable[Sample]) -> None:
    """Write both files, each at once."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{SAMPLES}"
    with temporary.open("w", newline="", encoding="utf-8") as sink:
        writer = csv.writer(sink)
        writer.writerow(Sample._fields)
        for sample in samples:
            writer.writerow(sample._replace(at=round(sample.at, 4), ms=round(sample.ms, 2)))
    os.replace(temporary, folder / SAMPLES)
    temporary = folder / f".{RUN}"
    temporary.write_text(json.dumps(dataclasses.asdict(run), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / RUN)


def read(folder: Path) -> tuple[Run, list[Sample]]:
    """Read what `write` wrote. Raises FileNotFoundError when the run did not come to its end."""
    content = json.loads((folder / RUN).read_text(encoding="utf-8"))
    content["stages"] = tuple(StageRun(**stage) for stage in content["stages"])
    content["notes"] = tuple(content["notes"])
    with (folder / SAMPLES).open(newline="", encoding="utf-8") as source:
        rows = csv.reader(source)
        next(rows)
        samples = [
            Sample(
                float(at),
                int(stage),
                int(caller),
                what,
                int(status),
                float(ms),
                Outcome(outcome),
                int(retry_after) if retry_after else None,
                reason,
            )
            for at, stage, caller, what, status, ms, outcome, retry_after, reason in rows
        ]
    return Run(**content), samples
