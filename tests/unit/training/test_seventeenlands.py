"""The 17Lands reader against every quirk of the published files."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.samples import CARDS, Row, draft_csv, simulated_drafts
from training.dataset import PickDataset
from training.filters import DraftFilter
from training.seventeenlands import UNKNOWN_WINS, DraftPicks, read_drafts
from training.textfile import DataError

A, B, C = CARDS[:3]
Write = Callable[..., Path]


def read(write: Write, rows: Sequence[Row], **options: object) -> DraftPicks:
    return read_drafts(write("drafts.csv", draft_csv(rows, **options)))  # type: ignore[arg-type]


def names(picks: DraftPicks) -> list[tuple[list[str], list[str], str]]:
    """Pack, pool and pick of each row, by name, sorted."""
    batch = PickDataset(picks).batch(np.arange(len(picks)))
    result = []
    for row in range(len(picks)):
        slots = batch.pack_cards_BC[row][batch.pack_mask_BC[row]]
        pool = np.repeat(np.arange(len(picks.cards)), batch.pool_counts_BX[row].astype(int))
        taken = batch.pack_cards_BC[row][picks.pick_slot[row]]
        result.append(
            (
                sorted(picks.cards[card] for card in slots),
                sorted(picks.cards[card] for card in pool),
                picks.cards[taken],
            )
        )
    return result


def expected(rows: Sequence[Row]) -> list[tuple[list[str], list[str], str]]:
    return [(sorted(row.pack), sorted(row.pool), row.pick) for row in rows]


def test_packs_pools_and_picks_come_back(write: Write) -> None:
    rows = simulated_drafts(5)
    picks = read(write, rows)
    assert names(picks) == expected(rows)
    assert picks.expansion == "TST"
    assert picks.event_type == "PremierDraft"
    assert len(picks.draft_hash) == 5
    assert not picks.dropped


def test_copies_stay_copies(write: Write) -> None:
    rows = [Row(pack=[A, A, B], pick=A, pool=[C, C, C])]
    picks = read(write, rows)
    assert names(picks) == expected(rows)
    batch = PickDataset(picks).batch(np.array([0]))
    assert batch.taken_BC.sum() == 2, "either copy is the card that was taken"


@pytest.mark.parametrize("seed", range(3))
def test_columns_in_any_order(write: Write, seed: int) -> None:
    rows = simulated_drafts(3, seed=1)
    assert names(read(write, rows, shuffle=seed)) == expected(rows)


def test_small_pieces_give_the_same_picks(write: Write) -> None:
    path = write("drafts.csv", draft_csv(rows := simulated_drafts(8)))
    assert names(read_drafts(path, piece_bytes=700)) == expected(rows)


def test_rows_of_two_drafts_may_alternate(write: Write) -> None:
    first, second = simulated_drafts(2)[:12], simulated_drafts(2)[12:]
    rows = [row for pair in zip(first, second, strict=True) for row in pair]
    picks = read(write, rows)
    assert names(picks) == expected(rows)
    assert PickDataset(picks).draft_N.tolist() == [0, 1] * 12


def test_a_pool_that_shrinks_or_jumps_is_kept_as_it_is(write: Write) -> None:
    rows = [
        Row(pack=[A, B], pick=A, pool=[A, B, C], pick_number="0"),
        Row(pack=[A, B], pick=A, pool=[B], pick_number="1"),
        Row(pack=[A, B], pick=A, pool=[B, C, C, C], pick_number="2"),
    ]
    assert names(read(write, rows)) == expected(rows)


def test_gzip_is_known_by_its_content_not_its_name(write: Write) -> None:
    rows = simulated_drafts(2)
    assert names(read_drafts(write("drafts.csv.gz", draft_csv(rows)))) == expected(rows)
    assert names(read_drafts(write("packed.csv", gzip.compress(draft_csv(rows))))) == expected(rows)


def test_draft_ids_of_digits_are_text(write: Write) -> None:
    rows = [
        Row(pack=[A, B], pick=A, draft_id="0012"),
        Row(pack=[A, B], pick=A, draft_id="12"),
        Row(pack=[A, B], pick=A, draft_id="f0e1"),
    ]
    assert len(read(write, rows).draft_hash) == 3


def test_thirteen_card_packs(write: Write) -> None:
    cards = tuple(f"Card {number:02}" for number in range(13))
    picks = read(write, [Row(pack=cards, pick=cards[7])], cards=cards)
    assert picks.pack_size.tolist() == [13]
    assert picks.pick_slot.tolist() == [7]


def test_empty_cells_are_no_cards(write: Write) -> None:
    rows = [Row(pack=[A, B], pick=B, cells={f"pool_{C}": "", f"pack_card_{C}": ""})]
    assert names(read(write, rows)) == expected(rows)


def test_results_of_events(write: Write) -> None:
    rows = [
        Row(pack=[A, B], pick=A, draft_id="won", wins="7", losses="2"),
        Row(pack=[A, B], pick=A, draft_id="unsaid", wins="", losses=""),
    ]
    picks = read(write, rows)
    assert picks.wins.tolist() == [7, UNKNOWN_WINS]
    assert picks.losses.tolist() == [2, UNKNOWN_WINS]
    columns = ["event_match_wins", "event_match_losses"]
    assert read(write, rows, without=columns).wins.tolist() == [UNKNOWN_WINS, UNKNOWN_WINS]


def test_of_two_picks_the_first_is_kept(write: Write) -> None:
    """`PickTwoDraft` files have a second pick, which the arrays have no place for."""
    rows = [Row(pack=[A, B, C], pick=B)]
    lines = draft_csv(rows).decode().splitlines()
    text = f"{lines[0]},pick_2\n{lines[1]},{C}\n"
    assert names(read_drafts(write("two.csv", text.encode()))) == expected(rows)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Row(pack=[A, B], pick=C), "pick_not_in_pack"),
        (Row(pack=[A, B], pick="Card of another set"), "pick_not_in_pack"),
        (Row(pack=[A, B], pick=""), "pick_missing"),
        (Row(pack=[], pick=A), "pack_empty"),
        (Row(pack=[A] * 16, pick=A), "pack_too_large"),
        (Row(pack=[A, B], pick=A, pool=[C] * 46), "pool_too_large"),
        (Row(pack=[A, B], pick=A, draft_id=""), "draft_id_missing"),
        (Row(pack=[A, B], pick=A, pick_number=""), "number_missing"),
        (Row(pack=[A, B], pick=A, cells={f"pool_{C}": "-1"}), "count_negative"),
    ],
)
def test_rows_that_cannot_be_used_are_counted(write: Write, bad: Row, reason: str) -> None:
    good = simulated_drafts(1)
    picks = read(write, [*good[:4], bad, *good[4:]])
    assert picks.dropped == {reason: 1}
    assert names(picks) == expected(good)


def test_drafts_that_fail_the_filter_are_counted(write: Write) -> None:
    rows = simulated_drafts(3)
    for row in rows[:12]:
        row.cells = {"user_game_win_rate_bucket": "0.48"}
    for row in rows[12:24]:
        row.cells = {"user_game_win_rate_bucket": "0.58"}
    path = write("drafts.csv", draft_csv(rows, shuffle=4))
    picks = read_drafts(path, DraftFilter())
    assert picks.dropped == {"filter_win_rate": 12}
    assert names(picks) == expected(rows[12:])
    assert not read_drafts(path).dropped


def test_a_file_without_a_usable_row_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"no row can be used .*not in the pack: 2"):
        read(write, [Row(pack=[A, B], pick=C)] * 2)


def test_largest_pack_and_pool(write: Write) -> None:
    rows = [Row(pack=[A] * 15, pick=A, pool=[B] * 45)]
    assert names(read(write, rows)) == expected(rows)


@pytest.mark.parametrize(
    "column", ["draft_id", "pick", "pack_number", "expansion", f"pool_{A}", f"pack_card_{B}"]
)
def test_a_missing_column_is_named(write: Write, column: str) -> None:
    with pytest.raises(DataError, match=f"column '{column}' is missing"):
        read(write, simulated_drafts(1), without=[column])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not 17Lands draft data"),
        (b"draft_id,opening_hand_A,deck_A\nx,1,1\n", "not 17Lands draft data"),
        (b"\xff\xfe\x00binary\x00", "not 17Lands draft data"),
        (draft_csv([]), "no rows"),
        (draft_csv(simulated_drafts(1))[:-9], "cut off"),
        (draft_csv([Row(pack=[A], pick=A, cells={f"pack_card_{A}": "many"})]), "from line 2 on"),
        (draft_csv([Row(pack=[A], pick=A, cells={f"pack_card_{A}": "300"})]), "from line 2 on"),
    ],
    ids=["empty", "game data", "binary", "header alone", "cut off", "words", "too many"],
)
def test_other_files_are_refused(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_drafts(write("drafts.csv", content))


def test_a_row_with_too_few_cells_in_the_middle_is_refused(write: Write) -> None:
    lines = draft_csv(simulated_drafts(1)).split(b"\n")
    lines[3] = lines[3][: len(lines[3]) // 2]
    with pytest.raises(DataError, match=r"line 4: \d+ of 37 columns"):
        read_drafts(write("drafts.csv", b"\n".join(lines)))


def test_a_column_twice_is_refused(write: Write) -> None:
    header, rest = draft_csv(simulated_drafts(1)).split(b"\n", 1)
    header = header.replace(b"draft_time", b"draft_id", 1)
    with pytest.raises(DataError, match="'draft_id' appears more than once"):
        read_drafts(write("drafts.csv", header + b"\n" + rest))


def test_a_truncated_gzip_is_told(write: Write) -> None:
    packed = gzip.compress(draft_csv(simulated_drafts(50)))
    path = write("drafts.csv", packed[: len(packed) // 2])
    with pytest.raises(DataError, match="gzip ends early"):
        read_drafts(path)


def test_a_damaged_gzip_is_told(write: Write) -> None:
    packed = bytearray(gzip.compress(draft_csv(simulated_drafts(50))))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(DataError, match=r"drafts\.csv"):
        read_drafts(write("drafts.csv", bytes(packed)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_drafts(tmp_path / "absent.csv.gz")
