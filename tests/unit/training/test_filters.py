"""Which drafts a filter keeps, and which values it refuses."""

from __future__ import annotations

import datetime
from typing import Any

import polars as pl
import pytest

from training.filters import FILTER_COLUMNS, FILTER_REASONS, DraftFilter

SIMULATED = ("mythic", None, "7", "2000-01-01 00:00:00")
OLD = (None, None, None, None)
TROPHY = ("platinum", None, "7", "2026-06-02")


def frame(*rows: tuple[str | None, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, dict.fromkeys(FILTER_COLUMNS, pl.String), orient="row")


def kept(filters: DraftFilter, *rows: tuple[str | None, ...]) -> list[bool]:
    return filters.matches(frame(*rows)).to_list()


def test_the_defaults_keep_what_says_little_of_its_drafters() -> None:
    assert kept(DraftFilter(), SIMULATED, OLD, TROPHY) == [True, True, True]


def test_the_defaults_leave_weak_drafters_out() -> None:
    rows = [
        ("gold", "0.56", "0", "2024-11-14 18:00:00"),
        ("gold", "0.54", "7", "2024-11-14 18:00:00"),
        ("silver", "0.60", "7", "2024-11-14 18:00:00"),
        ("silver", None, "7", "2024-11-14 18:00:00"),
        (None, "0.54", "7", "2024-11-14 18:00:00"),
    ]
    assert kept(DraftFilter(), *rows) == [True, False, False, False, False]
    assert kept(DraftFilter.none(), *rows) == [True] * 5


@pytest.mark.parametrize(
    ("rank", "keeps"),
    [("Platinum", True), ("Platinum-4", True), ("gold", False), ("MYTHIC", True), ("wood", True)],
)
def test_ranks_are_ordered_and_unknown_words_are_unknown(rank: str, keeps: bool) -> None:
    assert kept(DraftFilter(min_rank="platinum"), (rank, None, None, None)) == [keeps]


def test_bounds_belong_to_what_is_kept() -> None:
    filters = DraftFilter(min_win_rate=0.56, min_wins=3, since="2024-11-14", until="2024-11-20")
    good = ("gold", "0.56", "3", "2024-11-14 00:00:00")
    assert kept(filters, good) == [True]
    assert kept(filters, (*good[:3], "2024-11-20 23:59:59")) == [True]
    assert kept(filters, (*good[:3], "2024-11-21 00:00:00")) == [False]
    assert kept(filters, (*good[:3], "2024-11-13 23:59:59")) == [False]
    assert kept(filters, ("gold", "0.54", *good[2:])) == [False]
    assert kept(filters, (*good[:2], "2", good[3])) == [False]
    assert kept(filters, (*good[:2], "3.0", good[3])) == [True]


@pytest.mark.parametrize("unknown", [None, "", "nan", "None", "?"])
def test_unknown_values_are_kept_or_not(unknown: str | None) -> None:
    asks = {"min_rank": "gold", "min_win_rate": 0.5, "min_wins": 1, "since": "2024-01-01"}
    good = ("gold", "0.5", "1", "2024-01-01")
    for column in range(4):
        row = (*good[:column], unknown, *good[column + 1 :])
        assert kept(DraftFilter(**asks), row) == [True]  # type: ignore[arg-type]
        assert kept(DraftFilter(**asks, keep_unknown=False), row) == [False]  # type: ignore[arg-type]


def test_a_column_that_is_not_there_is_unknown() -> None:
    rows = frame(SIMULATED).drop("user_game_win_rate_bucket")
    assert DraftFilter().matches(rows).to_list() == [True]
    assert DraftFilter(keep_unknown=False).matches(rows).to_list() == [False]


def test_a_filter_that_asks_nothing_looks_at_nothing() -> None:
    assert DraftFilter.none().drops(FILTER_COLUMNS) == {}
    assert DraftFilter.none().matches(frame(OLD, OLD)).to_list() == [True, True]


def test_every_condition_has_a_reason() -> None:
    filters = DraftFilter(min_wins=1, until="2025-01-01")
    assert filters.drops(FILTER_COLUMNS).keys() == FILTER_REASONS.keys()


def test_toml_dates_and_texts_are_the_same_filter() -> None:
    day: Any = datetime.date(2024, 11, 14)
    assert DraftFilter(since=day) == DraftFilter(since="2024-11-14")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_rank": "wood"}, "min_rank must be one of bronze, .*, not 'wood'"),
        ({"min_win_rate": 55}, r"min_win_rate must be in \[0, 1\], not 55"),
        ({"min_win_rate": float("nan")}, "min_win_rate must be in"),
        ({"min_wins": -1}, "min_wins must not be negative"),
        ({"since": "14.11.2024"}, "since must be a date such as 2024-11-14, not '14.11.2024'"),
        ({"until": "2024-02-30"}, "until must be a date"),
        ({"since": "2024-02-02", "until": "2024-02-01"}, "is after until"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DraftFilter(**values)
