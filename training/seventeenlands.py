"""17Lands' public draft CSV -> compact arrays.

A row is one pick: 600 columns of mostly zeros, one pair (`pack_card_X`, `pool_X`) a card. Kept of
it are card numbers: of the pack, of the pool, and which slot was taken. The CSV is unpacked in
pieces of some thousand rows, which `draft_rows` parses on two threads with a stated schema (an
inferred one takes a `draft_id` of digits for a number), so a file of any size is read in a few
hundred megabytes.

Legend: N picks, D drafts, S segments, K cards in a pack or pool over all picks, X cards of the set.

Pools are stored once: within a draft each pool is the one before and the card just taken, so a
*segment* of consecutive picks whose pools only grow shares one run of `pool_cards`, and a pick's
pool is the run's first `pool_size` entries. A pick then costs about 25 bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from model.cards import PACK_MAX, POOL_MAX
from training.draft_columns import SECOND_PICK, Columns
from training.draft_rows import Bools, Counts, Ints, RowParser, Rows
from training.filters import FILTER_REASONS, DraftFilter
from training.pick_two import expand, expanded_rows
from training.textfile import DataError, open_bytes

PIECE_BYTES = 8 << 20
"""CSV text parsed at a time."""
PARSERS = 2
"""Threads. Parsing is most of the work, and more threads than this wait for the unpacking."""
UNKNOWN_WINS = -1
NUMBER_MAX = 255

DROP_REASONS = {
    "cells_missing": "more or fewer cells than the header has columns",
    "count_malformed": "a number of cards that is no whole number",
    "draft_id_missing": "no draft_id",
    "number_missing": "no pack_number or pick_number from 0 to 255",
    "pick_missing": "no pick",
    "count_negative": "a negative number of cards",
    "pack_empty": "no card in the pack",
    "pack_too_large": f"more than {PACK_MAX} cards in the pack",
    "pool_too_large": f"more than {POOL_MAX} cards in the pool",
    "pick_not_in_pack": "the card picked is not in the pack",
    "pick_2_not_in_pack": "the second card picked is not in what is left of the pack",
    **FILTER_REASONS,
}
"""Why a row is dropped; a row counts for the first reason that fits."""


@dataclass(frozen=True, slots=True)
class DraftPicks:
    """The picks of one CSV file. Cards are numbers into `cards`; copies are kept.

    A row is one pick, except in a `PickTwoDraft` (`training.pick_two`). Pick n has the pack
    `pack_cards[sum(pack_size[:n]):][:pack_size[n]]`, of which it took the slot `pick_slot[n]` (the
    first slot that holds the card).
    """

    expansion: str
    event_type: str
    cards: tuple[str, ...]
    pack_cards: npt.NDArray[np.uint16]
    """(K,) packs, one after another, each in ascending card number."""
    pack_size: npt.NDArray[np.uint8]
    """(N,) cards in the pack, 1–15."""
    pick_slot: npt.NDArray[np.uint8]
    """(N,)"""
    pack_number: npt.NDArray[np.uint8]
    """(N,) from 0."""
    pick_number: npt.NDArray[np.uint8]
    """(N,) from 0."""
    pool_size: npt.NDArray[np.uint8]
    """(N,) cards drafted before, 0–45."""
    pool_cards: npt.NDArray[np.uint16]
    """(K,) the segments' pools, each card once as it entered."""
    segment_rows: npt.NDArray[np.uint32]
    """(S,) picks of each segment."""
    segment_pool: npt.NDArray[np.uint32]
    """(S,) where the segment's pool starts in `pool_cards`."""
    segment_draft: npt.NDArray[np.uint32]
    """(S,) the draft the segment belongs to."""
    draft_hash: npt.NDArray[np.uint64]
    """(D,) 64 bits of blake2b of the draft_id: what splits go by."""
    wins: npt.NDArray[np.int8]
    """(D,) match wins of the event, -1 where the file does not say."""
    losses: npt.NDArray[np.int8]
    """(D,) likewise."""
    rows: int
    """Rows of the file, those not used included."""
    dropped: dict[str, int]
    """Rows not used, by reason (`DROP_REASONS`)."""

    def __len__(self) -> int:
        return len(self.pack_size)


def read_drafts(
    path: Path, filters: DraftFilter | None = None, piece_bytes: int = PIECE_BYTES
) -> DraftPicks:
    """The file's picks, of all drafts or of those that pass the filter.

    Raises DataError when the file is not 17Lands draft data, lacks a column, is cut off, or has
    no row that can be used.
    """
    with open_bytes(path) as stream:
        columns = Columns.parse(stream.readline(), path)
        builder = _Builder(columns, filters or DraftFilter.none())
        parser = RowParser(columns)
        for rows in _parsed(parser, _pieces(stream, piece_bytes)):
            builder.add(rows)
            # Every writer ends the last line: a file that stops inside one was not written whole.
            if rows.cut_off:
                raise DataError(f"{path}: the last line is not whole; the file is cut off")
    if not builder.rows:
        raise DataError(f"{path}: no rows")
    if not builder.parts:
        reasons = ", ".join(f"{DROP_REASONS[r]}: {n}" for r, n in builder.dropped.items())
        raise DataError(f"{path}: no row can be used ({reasons})")
    return builder.finish()


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The rest of the stream in pieces that end where lines end."""
    while block := stream.read(size):
        yield block if block.endswith(b"\n") else block + stream.readline()


def _parsed(parser: RowParser, pieces: Iterator[bytes]) -> Iterator[Rows]:
    """The pieces' rows in order, parsed while the next ones are being unpacked."""
    with ThreadPoolExecutor(PARSERS) as threads:
        waiting: deque[Future[Rows]] = deque()
        for piece in pieces:
            waiting.append(threads.submit(parser.parse, piece))
            if len(waiting) > PARSERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Builder:
    """Collects the pieces of a file."""

    def __init__(self, columns: Columns, filters: DraftFilter) -> None:
        self.cards = columns.cards
        self.card_names = pl.Series(columns.cards)
        self.card_numbers = pl.Series(range(len(columns.cards)), dtype=pl.Int64)
        self.filters = filters
        self.parts: dict[str, list[npt.NDArray[np.generic]]] = {}
        self.pool_length = 0
        self.drafts: dict[str, int] = {}
        self.wins: list[int] = []
        self.losses: list[int] = []
        self.rows = 0
        self.dropped: Counter[str] = Counter()
        self.expansion = ""
        self.event_type = ""

    def add(self, rows: Rows) -> None:
        text = rows.text
        if not text.height:
            return
        self.rows += text.height
        pick_N, second_N = self._card_numbers(text, "pick"), self._card_numbers(text, SECOND_PICK)
        keep_N = self._sort_out(rows, pick_N, second_N)
        if not keep_N.any():
            return
        text = text.filter(pl.Series(keep_N))
        if not self.expansion:
            self.expansion = text["expansion"][0] or ""
            self.event_type = text["event_type"][0] or ""
        pick_N, second_N = pick_N[keep_N], second_N[keep_N]
        pack, pool = rows.pack.of_rows(keep_N), rows.pool.of_rows(keep_N)
        draft_N = self._number_drafts(text)
        pack_number_N = _numbers(text["pack_number"]).astype(np.uint8)
        pick_number_N = _numbers(text["pick_number"]).astype(np.uint8)
        if SECOND_PICK in text.columns:
            source_N, is_second_N = expanded_rows(second_N)
            pack, pool, pick_N = expand(pack, pool, pick_N, second_N, len(self.cards))
            draft_N, pack_number_N = draft_N[source_N], pack_number_N[source_N]
            pick_number_N = 2 * pick_number_N[source_N] + is_second_N
        _, slot_N = _slots(pack, pick_N)
        self._keep(
            pack_cards=np.repeat(pack.card, pack.count).astype(np.uint16),
            pack_size=pack.totals(len(pick_N)).astype(np.uint8),
            pick_slot=slot_N.astype(np.uint8),
            pack_number=pack_number_N,
            pick_number=pick_number_N.astype(np.uint8),
            pool_size=pool.totals(len(pick_N)).astype(np.uint8),
        )
        self._add_pools(pool, draft_N)

    def _add_pools(self, pool: Counts, draft_N: Ints) -> None:
        pool_NX = np.zeros((len(draft_N), len(self.cards)), np.int8)
        pool_NX[pool.row, pool.card] = pool.count
        grown_NX = np.diff(pool_NX, axis=0, prepend=np.zeros_like(pool_NX[:1]))
        starts_N = (np.diff(draft_N, prepend=-1) != 0) | (grown_NX < 0).any(axis=1)
        starts_N[0] = True  # segments do not cross pieces
        grown_NX[starts_N] = pool_NX[starts_N]
        place = np.flatnonzero(grown_NX != 0)
        row, card = np.divmod(place, len(self.cards))
        copies = grown_NX.ravel()[place]
        start_rows = np.flatnonzero(starts_N)
        pool_offset_N = np.concatenate([[0], np.cumsum(np.bincount(row, copies, len(draft_N)))])
        self._keep(
            pool_cards=np.repeat(card, copies).astype(np.uint16),
            segment_rows=np.diff(start_rows, append=len(draft_N)).astype(np.uint32),
            segment_pool=(self.pool_length + pool_offset_N[start_rows]).astype(np.uint32),
            segment_draft=draft_N[start_rows].astype(np.uint32),
        )
        self.pool_length += int(copies.sum(dtype=np.int64))

    def finish(self) -> DraftPicks:
        arrays = {name: np.concatenate(parts) for name, parts in self.parts.items()}
        return DraftPicks(
            expansion=self.expansion,
            event_type=self.event_type,
            cards=self.cards,
            draft_hash=np.array([hash_draft(d) for d in self.drafts], np.uint64),
            wins=np.array(self.wins, np.int8),
            losses=np.array(self.losses, np.int8),
            rows=self.rows,
            dropped=dict(self.dropped),
            **arrays,
        )

    def _keep(self, **arrays: npt.NDArray[np.generic]) -> None:
        for name, array in arrays.items():
            self.parts.setdefault(name, []).append(array)

    def _card_numbers(self, text: pl.DataFrame, column: str) -> Ints:
        """Each row's card; -1 for none, and for a card the file has no column for."""
        if column not in text.columns:
            return np.full(text.height, -1)
        numbers = text[column].replace_strict(self.card_names, self.card_numbers, default=-1)
        return numbers.fill_null(-1).to_numpy()

    def _sort_out(self, rows: Rows, pick_N: Ints, second_N: Ints) -> Bools:
        """Which rows can be used; the others are counted."""
        text, height = rows.text, rows.text.height
        pack_size_N = rows.pack.totals(height)
        in_pack_N, _ = _slots(rows.pack, pick_N)
        tests = {
            "cells_missing": rows.torn_N,
            "count_malformed": rows.malformed_N,
            "draft_id_missing": _is_empty(text["draft_id"]),
            "number_missing": np.isnan(_numbers(text["pack_number"]))
            | np.isnan(_numbers(text["pick_number"])),
            "pick_missing": _is_empty(text["pick"]),
            "count_negative": _has_negative(rows.pack, height) | _has_negative(rows.pool, height),
            "pack_empty": pack_size_N == 0,
            "pack_too_large": pack_size_N > PACK_MAX,
            "pool_too_large": rows.pool.totals(height) > POOL_MAX,
            "pick_not_in_pack": ~in_pack_N,
        }
        if SECOND_PICK in text.columns:
            there_N, _ = _slots(rows.pack, second_N, copies=1 + (second_N == pick_N))
            tests["pick_2_not_in_pack"] = ~_is_empty(text[SECOND_PICK]) & ~there_N
        dropped = text.select(**self.filters.drops(text.columns))
        tests |= {reason: dropped[reason].to_numpy() for reason in dropped.columns}
        keep_N = np.ones(height, np.bool_)
        for reason, bad_N in tests.items():
            bad_N = bad_N & keep_N
            if bad_N.any():
                self.dropped[reason] += int(bad_N.sum())
                keep_N &= ~bad_N
        return keep_N

    def _number_drafts(self, text: pl.DataFrame) -> Ints:
        """Each row's draft, numbered by first appearance; notes the event's result."""
        ids = text["draft_id"]
        first = np.flatnonzero(np.diff(ids.rle_id().to_numpy().astype(np.int64), prepend=-1))
        unsaid = pl.Series([None] * len(ids), dtype=pl.String)
        won, lost = (
            _numbers(text[column] if column in text.columns else unsaid, maximum=127)[first]
            for column in ("event_match_wins", "event_match_losses")
        )
        numbers = []
        for place, draft_id in enumerate(ids.gather(first).to_list()):
            known = self.drafts.setdefault(draft_id, len(self.drafts))
            numbers.append(known)
            if known == len(self.wins):
                self.wins.append(UNKNOWN_WINS if np.isnan(won[place]) else int(won[place]))
                self.losses.append(UNKNOWN_WINS if np.isnan(lost[place]) else int(lost[place]))
        return np.repeat(np.array(numbers, np.int64), np.diff(first, append=len(ids)))


def _is_empty(column: pl.Series) -> Bools:
    return (column.fill_null("") == "").to_numpy()


def _numbers(column: pl.Series, maximum: int = NUMBER_MAX) -> npt.NDArray[np.float64]:
    """Whole numbers from 0 to `maximum`, also written 3.0; NaN for anything else."""
    values = column.cast(pl.Float64, strict=False).to_numpy()
    fits = (values >= 0) & (values <= maximum) & (values == np.floor(values))
    return np.where(fits, values, np.nan)


def _has_negative(counts: Counts, rows: int) -> Bools:
    found = np.zeros(rows, np.bool_)
    found[counts.row[counts.count < 0]] = True
    return found


def _slots(pack: Counts, pick_N: Ints, copies: Ints | int = 1) -> tuple[Bools, Ints]:
    """Whether each row's pack holds `copies` of the card, and the first slot that holds it."""
    rows = len(pick_N)
    found_N, slot_N = np.zeros(rows, np.bool_), np.zeros(rows, np.int64)
    needed_N = np.broadcast_to(copies, rows)
    hit = np.flatnonzero((pack.card == pick_N[pack.row]) & (pack.count >= needed_N[pack.row]))
    row = pack.row[hit]
    before = np.cumsum(pack.count) - pack.count
    found_N[row] = True
    slot_N[row] = before[hit] - pack.starts(rows)[row]
    return found_N, slot_N


def hash_draft(draft_id: str) -> int:
    """64 bits of blake2b of the id: the same on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(draft_id.encode(), digest_size=8).digest(), "little")
