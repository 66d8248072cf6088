"""Samples on disk, memory, the summary and the picture."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from loadtests import memory
from loadtests.answers import Outcome
from loadtests.picture import bin_width, draw
from loadtests.samples import Run, Sample, StageRun, read, write
from loadtests.summary import summary
from loadtests.verdict import Check

RUN = Run(
    scenario="per_ip",
    short=True,
    remote=False,
    host="http://127.0.0.1:1",
    began="2026-11-25T00:00:00+00:00",
    zero=1000.0,
    callers=8,
    stages=(
        StageRun(name="below", begin=0.0, seconds=10.0, rate=10.0),
        StageRun(name="above", begin=10.0, seconds=10.0, rate=20.0),
    ),
)
SAMPLES = [
    Sample(
        at=number / 10,
        stage=int(number >= 100),
        caller=number % 8,
        what="pick",
        status=429 if number % 3 == 0 else 200,
        ms=1.5 + number % 7,
        outcome=Outcome.REFUSED if number % 3 == 0 else Outcome.ANSWERED,
        retry_after=1 if number % 3 == 0 else None,
        reason="",
    )
    for number in range(200)
]
CHECKS = [
    Check("below", "refused", "0", "3", False),
    Check("above", "accepted, each caller", "1.67/s ± 10%", "1.67/s", True),
]


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    odd = SAMPLES[0]._replace(status=0, outcome=Outcome.FAILED, reason='a, "quoted" reason\nof two')
    write(tmp_path, RUN, [odd, *SAMPLES])
    run, samples = read(tmp_path)
    assert run == RUN
    assert samples == [odd, *SAMPLES]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["requests.csv", "run.json"]


def test_a_run_that_did_not_end_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def test_the_summary_says_first_whether_it_passed() -> None:
    assert summary(RUN, SAMPLES, CHECKS).startswith("# `per_ip`: 1 of 2 checks failed\n")
    text = summary(RUN, SAMPLES, CHECKS[1:])
    assert text.startswith("# `per_ip`: passed\n")
    assert "| above | accepted, each caller | 1.67/s ± 10% | 1.67/s | passed |" in text
    assert "| below | 10 | 10.0 | 6.6 | 3.4 | 4.5 | 7.5 | 7.5 | 7.5 |" in text


def test_the_same_run_gives_the_same_picture(tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(RUN, SAMPLES, first)
    draw(RUN, SAMPLES, second)
    assert first.read_bytes() == second.read_bytes()
    words = set(re.findall(r">([^<>]+)</text>", first.read_text(encoding="utf-8")))
    wanted = {"below", "above", "answered", "refused (429, 503)", "requests/s", "latency, ms"}
    assert wanted <= words
    assert ET.parse(first).getroot().tag.endswith("svg")


def test_a_long_run_has_no_more_bins_than_the_picture_has_room_for(tmp_path: Path) -> None:
    stage = StageRun(name="soak", begin=0.0, seconds=1800.0, rate=100.0)
    long = Run(**{name: getattr(RUN, name) for name in RUN.__slots__} | {"stages": (stage,)})
    assert (bin_width(RUN), bin_width(long)) == (1.0, 10.0)
    points = {"Java 1": [(1000.0 + second, 200_000_000) for second in range(0, 1800, 60)]}
    draw(long, SAMPLES, tmp_path / "picture.svg", points)
    assert "memory, MB" in (tmp_path / "picture.svg").read_text(encoding="utf-8")


def test_growth_compares_both_ends() -> None:
    steps = [(float(second), 100 + second // 50) for second in range(100)]
    series = {"Java 1": steps, "worker 2": steps[:50]}
    assert memory.growth(series, 0.0, 100.0) == pytest.approx({"Java 1": 0.01})


def test_memory_is_written_by_process(tmp_path: Path) -> None:
    memory.write({"Java 1": [(1002.0, 5)]}, tmp_path / "memory.csv", 1000.0)
    with (tmp_path / "memory.csv").open(newline="", encoding="utf-8") as source:
        assert list(csv.reader(source)) == [["at", "process", "bytes"], ["2.0", "Java 1", "5"]]
