"""The table says what the answer says, in any terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from infrastructure.table import Style, render_pick, render_problem

ANSWER: dict[str, Any] = {
    "recommended_pick": 1,
    "ranking": [
        {"rank": 1, "index": 1, "name": "Lightning Bolt", "probability": 0.75},
        {"rank": 2, "index": 0, "name": "Jötun Grunt", "probability": 0.2},
        {"rank": 3, "index": 2, "name": "Opt", "probability": 0.05},
    ],
    "warnings": [{"code": "unknown_card", "path": "$.pack[2]", "message": "who is that?"}],
}


def test_a_line_for_each_card_in_order_with_its_share() -> None:
    lines = render_pick(ANSWER, Style()).splitlines()
    assert [re.split(r"  +", line.strip())[:2] for line in lines[:3]] == [
        ["1", "Lightning Bolt"],
        ["2", "Jötun Grunt"],
        ["3", "Opt"],
    ]
    assert [line[-6:] for line in lines[:3]] == ["75.0 %", "20.0 %", " 5.0 %"]
    assert len({len(line) for line in lines[:3]}) == 1, "the columns line up"
    assert lines[3:] == ["  ! $.pack[2]: who is that?"]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_bars_are_in_proportion_and_fit(width: int, unicode: bool) -> None:
    lines = render_pick(ANSWER, Style(width=width, unicode=unicode)).splitlines()[:3]
    bars = [len(re.findall("[█#]", line)) for line in lines]
    cells = bars[0]
    assert 10 <= cells <= 40
    assert bars[1] == pytest.approx(cells * 0.2 / 0.75, abs=1)
    assert all(len(line) <= max(width, 14 + 18 + 10) for line in lines)
    if not unicode:
        assert "".join(re.findall(r"[^\w .%öß#]", "".join(lines))) == ""


def test_all_probabilities_zero_is_no_division_by_zero() -> None:
    ranking = [{"rank": 1, "index": 0, "name": "Opt", "probability": 0.0}]
    text = render_pick({"recommended_pick": 0, "ranking": ranking, "warnings": []}, Style())
    assert text.endswith("0.0 %")


def test_colour_marks_the_recommended_card_and_the_warnings_only_when_wanted() -> None:
    assert "\033" not in render_pick(ANSWER, Style(colour=False))
    lines = render_pick(ANSWER, Style(colour=True)).splitlines()
    assert ["\033[" in line for line in lines] == [True, False, False, True]


def test_a_stream_that_is_no_terminal_gets_no_colour() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    style = Style.of(stream)
    assert not style.colour
    assert style.unicode


def test_a_stream_without_unicode_gets_question_marks_and_no_error() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    style = Style.of(stream)
    assert not style.unicode
    stream.write(render_pick(ANSWER, style))
    stream.seek(0)
    assert "J?tun Grunt" in stream.read()


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_colour_can_be_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal(io.BytesIO(), encoding="utf-8")
    assert Style.of(stream).colour
    monkeypatch.setenv(name, "dumb")
    assert not Style.of(stream).colour


def test_a_problem_is_one_line() -> None:
    problem = {"path": "$.pack", "detail": "it is empty", "code": "wrong_length", "title": "no"}
    assert render_problem(problem) == "$.pack: it is empty (wrong_length)"
