"""Lines parsed by their runs of digits are what they are parsed whole."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.samples import CARDS, Row, draft_csv, simulated_drafts
from training.draft_columns import Columns
from training.draft_rows import Counts, RowParser, Rows

HERE = Path("drafts.csv")
DIGIT = st.sampled_from("0123456789")
ODD = st.sampled_from(["", "10", "-1", "00", "1.0", "0.5", "x", '"1"', '"', "+1", "1e0", "$"])


def both_ways(content: bytes) -> tuple[Rows, Rows]:
    """The rows as they are parsed, and with every line parsed whole."""
    header, body = content.split(b"\n", 1)
    parser = RowParser(Columns.parse(header, HERE))
    whole = RowParser(Columns.parse(header, HERE))
    whole._block = None
    return parser.parse(body), whole.parse(body)


def assert_same(first: Rows, second: Rows) -> None:
    """What is in torn lines does not matter: nobody looks at it."""
    np.testing.assert_array_equal(first.torn_N, second.torn_N)
    whole_N = ~first.torn_N
    np.testing.assert_array_equal(first.malformed_N[whole_N], second.malformed_N[whole_N])
    assert first.text.filter(whole_N).equals(second.text.filter(whole_N))
    for counts, others in ((first.pack, second.pack), (first.pool, second.pool)):
        for name in Counts.__slots__:
            own, other = counts.of_rows(whole_N), others.of_rows(whole_N)
            np.testing.assert_array_equal(getattr(own, name), getattr(other, name))


@pytest.mark.parametrize("shuffle", [None, 0, 1])
def test_ordinary_lines(shuffle: int | None) -> None:
    first, second = both_ways(draft_csv(simulated_drafts(4), shuffle=shuffle))
    assert_same(first, second)
    assert first.text.height == 48
    assert not first.torn_N.any()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([f"{p}{c}" for p in ("pack_card_", "pool_") for c in CARDS]),
            st.one_of(DIGIT, ODD),
        ),
        max_size=6,
    ),
    st.sampled_from(["", "0.56", "1", "0", 'a,"b', "0,0", "0,0,0"]),
    st.sampled_from(["", "7", "0", "0,0", "a,b"]),
    st.booleans(),
)
def test_odd_cells_anywhere(
    cells: list[tuple[str, str]], last: str, before: str, odd_first: bool
) -> None:
    """`before` and `last` stand next to the run, where digits may be taken for a part of it."""
    ends = {"user_game_win_rate_bucket": last, "pick_maindeck_rate": before}
    header, *lines = draft_csv(simulated_drafts(1)[3:5]).splitlines()
    names = next(csv.reader([header.decode()]))
    odd = {name: "0" for name in names} | dict(cells) | ends
    lines.insert(0 if odd_first else 1, ",".join(odd[name] for name in names).encode())
    assert_same(*both_ways(b"\n".join([header, *lines, b""])))


def test_every_card_of_many_copies() -> None:
    rows = [Row([CARDS[0]] * 9, CARDS[0], [CARDS[1]] * 9), Row([CARDS[0]] * 10, CARDS[0])]
    first, second = both_ways(draft_csv(rows))
    assert_same(first, second)
    assert first.pack.count.tolist() == [9, 10]


def test_nothing_to_parse() -> None:
    rows = RowParser(Columns.parse(draft_csv([]), HERE)).parse(b"\n\r\n")
    assert rows.text.height == 0
    assert rows.text.schema["draft_id"] == pl.String
