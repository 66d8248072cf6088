"""Mana costs: every symbol, faces, and the one pattern that says what is a cost."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.mana import COLOURS, MANA_COST_PATTERN, ManaCost, parse_mana_costs


def cost_of(text: str) -> ManaCost:
    (cost,) = parse_mana_costs(text)
    return cost


def per_colour(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(colour, 0) for colour in COLOURS)


@pytest.mark.parametrize(
    ("text", "mana_value", "colours"),
    [
        ("", 0, ""),
        ("{0}", 0, ""),
        ("{2}{W}{W}", 4, "W"),
        ("{R}{W}", 2, "WR"),
        ("{W/U}{W/U}", 2, "WU"),
        ("{U/W}", 1, "WU"),
        ("{2/W}{2/B}", 4, "WB"),
        ("{C/G}", 1, "G"),
        ("{W/P}", 1, "W"),
        ("{G/W/P}", 1, "WG"),
        ("{C/P}", 1, ""),
        ("{X}{X}{R}", 1, "R"),
        ("{X}{Y}{Z}{R}{R}", 2, "R"),
        ("{C}{C}", 2, ""),
        ("{S}{S}", 2, ""),
        ("{HW}", 0.5, "W"),
        ("{½}", 0.5, ""),
        ("{∞}", math.inf, ""),
        ("{1000000}", 1_000_000, ""),
        ("{16}", 16, ""),
        ("{w}{u/b}{2/r}{g/p}{hw}{x}{s}{c}", 7.5, "WUBRG"),
        ("  {1} {G}\n", 2, "G"),
    ],
)
def test_mana_value_and_colours(text: str, mana_value: float, colours: str) -> None:
    cost = cost_of(text)
    assert (cost.mana_value, cost.colours) == (mana_value, colours)


def test_each_kind_of_symbol_is_counted_in_its_own_field() -> None:
    cost = cost_of("{3}{W}{W}{U/B}{2/R}{G/P}{X}{C}{S}")
    assert cost == ManaCost(
        generic=3,
        pips=(2, 0, 0, 0, 0),
        hybrid=per_colour(U=1, B=1),
        twobrid=per_colour(R=1),
        phyrexian=per_colour(G=1),
        x=1,
        colourless=1,
        snow=1,
        mana_value=3 + 2 + 1 + 2 + 1 + 0 + 1 + 1,
        colours="WUBRG",
        symbols=9,
    )


def test_a_phyrexian_hybrid_counts_once_under_both_colours() -> None:
    cost = cost_of("{R/W/P}")
    assert cost.phyrexian == per_colour(W=1, R=1)
    assert cost.hybrid == per_colour()


def test_no_cost_differs_from_a_cost_of_zero() -> None:
    assert cost_of("").symbols == 0
    assert cost_of("{0}").symbols == 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{1}{R} // {2}{U}", [2, 3]),
        ("{1}{R}//{2}{U}", [2, 3]),
        ("{6}{W}{W} // ", [8, 0]),
        ("// {1}", [0, 1]),
        ("{W} // {U} // {B} // {R} // {G}", [1] * 5),
    ],
)
def test_faces_are_costs_of_their_own(text: str, values: list[float]) -> None:
    assert [cost.mana_value for cost in parse_mana_costs(text)] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2WW", "'2' stands outside braces"),
        ("{2}W", "'W' stands outside braces"),
        ("{2}{W", "never closed"),
        ("{}", "unknown mana symbol '{}'"),
        ("{Q}", "unknown mana symbol '{Q}'"),
        ("{W/W}", "unknown mana symbol '{W/W}'"),
        ("{W/2}", "unknown mana symbol '{W/2}'"),
        ("{-1}", "unknown mana symbol '{-1}'"),
        ("{12345678}", "unknown mana symbol '{12345678}'"),
        ("{ſ}", "unknown mana symbol '{ſ}'"),  # upper-cases to S
        ("{٣}", "unknown mana symbol"),  # a digit, but not one of ours
        ("{1} / {2}", "'/' stands outside braces"),
        ("{1}//{1}//{1}//{1}//{1}//{1}", "6 faces"),
    ],
)
def test_a_malformed_cost_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_mana_costs(text)
    assert not re.search(MANA_COST_PATTERN, text)


def parses(text: str) -> bool:
    try:
        parse_mana_costs(text)
    except ValueError:
        return False
    return True


_pieces = st.sampled_from(
    [
        *("{W}", "{u}", "{2/W}", "{W/U}", "{W/P}", "{W/U/P}", "{C/P}", "{X}", "{S}", "{½}", "{∞}"),
        *("{HW}", "{10}", "{01}", "{C/W}", "//", " // ", " ", "\n", "\t"),
        *("{W/W}", "{C/W/P}", "{P}", "{H}", "{T}", "{}", "{1{1}", "{", "}", "/", "W", "2"),
        *("{ſ}", "{٣}", "\x0b", "\x85"),
    ]
)


@settings(deadline=None)
@given(st.lists(_pieces, max_size=8).map("".join))
@example(" // ")
@example("{W}\n")
@example("{W}\n\n")
@example(" ")
@example("////")
def test_the_pattern_accepts_exactly_what_the_parser_accepts(text: str) -> None:
    assert (re.search(MANA_COST_PATTERN, text) is not None) == parses(text)


@settings(deadline=None)
@given(st.text(alphabet="{}/WwUuPpCcSsXxHh0123½∞ \n", max_size=12))
def test_the_pattern_and_the_parser_agree_on_noise(text: str) -> None:
    assert (re.search(MANA_COST_PATTERN, text) is not None) == parses(text)


@given(st.from_regex(MANA_COST_PATTERN))
@settings(deadline=None)
def test_every_cost_of_the_pattern_has_sane_counts(text: str) -> None:
    for cost in parse_mana_costs(text):
        assert cost.mana_value >= cost.generic - 0.5 or math.isinf(cost.mana_value)
        assert set(cost.colours) <= set(COLOURS)
        assert all(count >= 0 for count in (*cost.pips, *cost.hybrid, *cost.phyrexian))


@pytest.mark.parametrize("unit", ["{W}", "{1", "{W/U/P}", "//", " ", " // ", "{W} //", "{"])
def test_a_long_malformed_cost_is_refused_in_linear_time(unit: str) -> None:
    text = (unit * 100_000)[:100_000] + "!"
    began = time.process_time()
    assert not re.search(MANA_COST_PATTERN, text)
    assert time.process_time() - began < 2.0  # quadratic time would be minutes


def test_the_pattern_uses_only_what_python_and_ecma_262_share() -> None:
    assert MANA_COST_PATTERN.startswith("^")
    assert MANA_COST_PATTERN.endswith("$")
    # No shorthand classes (their meaning differs), no look-around, no named or possessive groups.
    assert not re.search(r"\\[dDwWsSbBAZz]|\(\?[^:]|[*+?}]\+", MANA_COST_PATTERN)
