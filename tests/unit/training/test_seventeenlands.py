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
Damage = Callable[[bytes], bytes]


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


@pytest.mark.parametrize("shuffle", [None, 5])
def test_line_ends_of_windows_and_empty_lines(write: Write, shuffle: int | None) -> None:
    rows = simulated_drafts(2)
    text = draft_csv(rows, shuffle=shuffle).replace(b"\n", b"\r\n").replace(b"\r\n", b"\r\n\r\n", 3)
    picks = read_drafts(write("drafts.csv", text))
    assert names(picks) == expected(rows)
    assert picks.rows == 24


def test_a_file_without_a_last_line_end_is_whole(write: Write) -> None:
    rows = simulated_drafts(2)
    assert names(read_drafts(write("drafts.csv", draft_csv(rows)[:-1]))) == expected(rows)


def test_results_of_events(write: Write) -> None:
    rows = [
        Row(pack=[A, B], pick=A, draft_id="won", wins="7", losses="2"),
        Row(pack=[A, B], pick=A, draft_id="unsaid", wins="", losses=""),
    ]
    picks = read(write, rows)
    assert picks.wins.tolist() == [7, UNKNOWN_WINS]
    assert picks.losses.tolist() == [2, UNKNOWN_WINS]
    rows[0].wins = "300"
    assert read(write, rows).wins.tolist() == [UNKNOWN_WINS, UNKNOWN_WINS]
    columns = ["event_match_wins", "event_match_losses"]
    assert read(write, rows, without=columns).wins.tolist() == [UNKNOWN_WINS, UNKNOWN_WINS]


def pick_two(write: Write, *rows: tuple[Row, str]) -> DraftPicks:
    lines = draft_csv([row for row, _ in rows]).decode().splitlines()
    seconds = ["pick_2", *(second for _, second in rows)]
    return read_drafts(write("two.csv", "".join(
        f"{line},{second}\n" for line, second in zip(lines, seconds, strict=True)
    ).encode()))  # fmt: skip


def test_two_picks_of_a_row_are_two_picks(write: Write) -> None:
    picks = pick_two(
        write,
        (Row(pack=[A, B, B, C], pick=B, pool=[]), B),
        (Row(pack=[A, C], pick=C, pool=[B, B], pick_number="1"), A),
        (Row(pack=[A, C], pick=C, draft_id="d2", pack_number="1"), ""),
    )
    assert names(picks) == [
        ([A, B, B, C], [], B),
        ([A, B, C], [B], B),
        ([A, C], [B, B], C),
        ([A], [B, B, C], A),
        ([A, C], [], C),
    ]
    assert picks.pick_number.tolist() == [0, 1, 2, 3, 0]
    assert picks.pack_number.tolist() == [0, 0, 0, 0, 1]
    assert PickDataset(picks).draft_N.tolist() == [0, 0, 0, 0, 1]
    assert picks.rows == 3
    assert not picks.dropped
    assert len(picks.segment_rows) == 2, "the pool of a pair grows card by card"


@pytest.mark.parametrize("second", [A, C, "Card of another set"])
def test_a_second_pick_that_is_not_there_is_counted(write: Write, second: str) -> None:
    good = Row(pack=[A, B], pick=A)
    picks = pick_two(write, (good, B), (Row(pack=[A, B], pick=A), second))
    assert names(picks) == [([A, B], [], A), ([B], [A], B)]
    assert picks.dropped == {"pick_2_not_in_pack": 1}


def test_a_column_for_each_printing_is_added_up(write: Write) -> None:
    text = draft_csv([Row(pack=[A, B, C], pick=B, pool=[A, B])]).decode()
    text = text.replace(f"pack_card_{A},", f"pack_card_{B},").replace(f"pool_{A},", f"pool_{B},")
    picks = read_drafts(write("printings.csv", text.encode()))
    assert names(picks) == [([B, B, C], [B, B], B)]
    assert A not in picks.cards


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
        (Row(pack=[A, B], pick=A, pick_number="-1"), "number_missing"),
        (Row(pack=[A, B], pick=A, pick_number="256"), "number_missing"),
        (Row(pack=[A, B], pick=A, pack_number="first"), "number_missing"),
        (Row(pack=[A, B], pick=A, cells={f"pool_{C}": "-1"}), "count_negative"),
        (Row(pack=[A, B], pick=A, cells={f"pack_card_{C}": "many"}), "count_malformed"),
        (Row(pack=[A, B], pick=A, cells={f"pool_{C}": "0.5"}), "count_malformed"),
        (Row(pack=[A, B], pick=A, cells={f"pool_{C}": "inf"}), "count_malformed"),
        (Row(pack=[A, B], pick=A, cells={f"pack_card_{C}": "300"}), "pack_too_large"),
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
        (draft_csv(simulated_drafts(1))[:-90], "cut off"),
    ],
    ids=["empty", "game data", "binary", "header alone", "cut off late", "cut off early"],
)
def test_other_files_are_refused(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_drafts(write("drafts.csv", content))


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2],
        lambda line: line[:4],
        lambda line: line + b",0",
        lambda line: line.replace(b",0,0,0,", b",0,0,", 1),
        lambda line: line.replace(b"Creature", b'"Creature', 1),
    ],
    ids=["half", "stump", "cell more", "cell less", "open quote"],
)
def test_a_damaged_row_is_counted_and_harms_no_other(write: Write, damage: Damage) -> None:
    rows = simulated_drafts(1)
    lines = draft_csv(rows).split(b"\n")
    lines[3] = damage(lines[3])
    picks = read_drafts(write("drafts.csv", b"\n".join(lines)))
    assert picks.dropped == {"cells_missing": 1}
    assert names(picks) == expected([*rows[:2], *rows[3:]])
    assert picks.rows == 12


def test_bytes_that_are_no_text_harm_no_other_row(write: Write) -> None:
    rows = simulated_drafts(1)
    lines = draft_csv(rows).split(b"\n")
    lines[3] = lines[3].replace(b"Creature", b"\xff\xfeature")
    picks = read_drafts(write("drafts.csv", b"\n".join(lines)))
    assert sum(picks.dropped.values()) <= 1
    assert len(picks) >= 11


@pytest.mark.parametrize("column", ["draft_time", "rank"])
def test_a_column_twice_is_refused(write: Write, column: str) -> None:
    header, rest = draft_csv(simulated_drafts(1)).split(b"\n", 1)
    header = header.replace(column.encode(), b"draft_id", 1)
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
