"""17Lands' public draft CSV -> compact arrays.

A row is one pick: 600 columns of mostly zeros, one pair (`pack_card_X`, `pool_X`) a card. Kept of
it are card numbers: of the pack, of the pool, and which slot was taken. The CSV is unpacked and
parsed in pieces of some thousand rows, by polars with a stated schema (an inferred one takes
a `draft_id` of digits for a number), so a file of any size is read in a few hundred megabytes.

Legend: N picks (rows kept), D drafts, S segments, K cards in a pack or pool over all rows.

Pools are stored once: within a draft each pool is the one before and the card just taken, so a
*segment* of consecutive rows whose pools only grow shares one run of `pool_cards`, and a row's
pool is the run's first `pool_size` entries. A pick then costs about 25 bytes.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from model.cards import PACK_MAX, POOL_MAX
from training.filters import FILTER_COLUMNS, FILTER_REASONS, DraftFilter
from training.textfile import DataError, open_bytes

PACK_PREFIX = "pack_card_"
POOL_PREFIX = "pool_"
TEXT_COLUMNS = ("expansion", "event_type", "draft_id", "pick")
NUMBER_COLUMNS = ("pack_number", "pick_number")
OPTIONAL_COLUMNS = ("event_match_wins", "event_match_losses")
PIECE_BYTES = 32 << 20
"""CSV text parsed at a time."""
UNKNOWN_WINS = -1

DROP_REASONS = {
    "draft_id_missing": "no draft_id",
    "number_missing": "no pack_number or pick_number",
    "pick_missing": "no pick",
    "count_negative": "a negative number of cards",
    "pack_empty": "no card in the pack",
    "pack_too_large": f"more than {PACK_MAX} cards in the pack",
    "pool_too_large": f"more than {POOL_MAX} cards in the pool",
    "pick_not_in_pack": "the card picked is not in the pack",
    **FILTER_REASONS,
}
"""Why a row is dropped; a row counts for the first reason that fits."""


@dataclass(frozen=True, slots=True)
class DraftPicks:
    """The picks of one CSV file. Cards are numbers into `cards`; copies are kept.

    Pick n of `n` rows has the pack `pack_cards[sum(pack_size[:n]):][:pack_size[n]]`, of which it
    took the slot `pick_slot[n]` (the first slot that holds the card).
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
    """(S,) rows of each segment."""
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
    dropped: dict[str, int]
    """Rows not used, by reason (`DROP_REASONS`)."""

    def __len__(self) -> int:
        return len(self.pack_size)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a 17Lands draft file, checked. Raises DataError for any other file."""

    columns: tuple[str, ...]
    cards: tuple[str, ...]

    @classmethod
    def parse(cls, line: bytes, path: Path) -> Header:
        try:
            columns = tuple(next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")])))
        except (UnicodeDecodeError, StopIteration, csv.Error):
            raise DataError(
                f"{path}: not 17Lands draft data: the first line is no header"
            ) from None
        pack = {c.removeprefix(PACK_PREFIX) for c in columns if c.startswith(PACK_PREFIX)}
        pool = {c.removeprefix(POOL_PREFIX) for c in columns if c.startswith(POOL_PREFIX)}
        if not pack:
            raise DataError(
                f"{path}: not 17Lands draft data: no column starts with {PACK_PREFIX!r}"
                " (game and replay data have other columns)"
            )
        for column in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
            if column not in columns:
                raise DataError(f"{path}: column {column!r} is missing")
        twice = [column for column, count in Counter(columns).items() if count > 1]
        if twice:
            raise DataError(f"{path}: column {twice[0]!r} appears more than once")
        for card in sorted(pack ^ pool):
            missing = (POOL_PREFIX if card in pack else PACK_PREFIX) + card
            raise DataError(f"{path}: column {missing!r} is missing")
        if len(pack) > np.iinfo(np.uint16).max:
            raise DataError(f"{path}: {len(pack)} cards are more than a set can have")
        return cls(columns=columns, cards=tuple(sorted(pack)))

    def schema(self) -> dict[str, type[pl.DataType]]:
        """A polars type for each column of the file, in the file's order."""
        types: dict[str, type[pl.DataType]] = {}
        for column in self.columns:
            if column.startswith((PACK_PREFIX, POOL_PREFIX)):
                types[column] = pl.Int8
            elif column in (*NUMBER_COLUMNS, *OPTIONAL_COLUMNS):
                types[column] = pl.Float32  # some files write 3.0
            else:
                types[column] = pl.String
        return types

    def used(self) -> list[int]:
        """Positions of the columns read."""
        kept = {*TEXT_COLUMNS, *NUMBER_COLUMNS, *OPTIONAL_COLUMNS, *FILTER_COLUMNS}
        prefixes = (PACK_PREFIX, POOL_PREFIX)
        return [i for i, c in enumerate(self.columns) if c in kept or c.startswith(prefixes)]


def read_drafts(
    path: Path, filters: DraftFilter | None = None, piece_bytes: int = PIECE_BYTES
) -> DraftPicks:
    """The file's picks, of all drafts or of those that pass the filter.

    `PickTwoDraft` rows keep their first pick (`pick`); `pick_2` is not used.

    Raises DataError when the file is not 17Lands draft data, lacks a column, is cut off, or has
    a cell that is no number where one must be.
    """
    builder = _Builder(filters or DraftFilter.none())
    with open_bytes(path) as stream:
        header = Header.parse(stream.readline(), path)
        first_row = 2
        for piece in _pieces(stream, piece_bytes):
            frame = _parse(piece, header, path, first_row)
            builder.add(frame, header)
            first_row += frame.height
    if first_row == 2:
        raise DataError(f"{path}: no rows")
    return builder.finish(header)


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The rest of the stream in pieces that end where lines end."""
    rest = b""
    while block := stream.read(size):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        piece, rest = block[:cut], block[cut:]
        if piece:
            yield piece
    if rest.strip():
        yield rest


def _parse(piece: bytes, header: Header, path: Path, first_row: int) -> pl.DataFrame:
    try:
        frame = pl.read_csv(
            piece,
            has_header=False,
            schema=header.schema(),
            columns=header.used(),
            missing_columns="insert",
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"{path}: rows from line {first_row} on: {reason}") from None
    # A row that is cut short is filled with nulls; an empty cell is null too, but rare. So rows
    # with a null where a count belongs are looked at again, and nearly always there are none.
    counts = pl.selectors.starts_with(PACK_PREFIX, POOL_PREFIX)
    short = frame.select(pl.any_horizontal(counts.is_null()).arg_true()).to_series().to_list()
    lines = piece.splitlines() if short else []
    for row in short:
        cells = len(next(csv.reader([lines[row].decode("utf-8", "replace")])))
        if cells != len(header.columns):
            raise DataError(
                f"{path}, line {first_row + row}: {cells} of {len(header.columns)} columns;"
                " the file is cut off or damaged"
            )
    return frame


class _Builder:
    """Collects the pieces of a file."""

    def __init__(self, filters: DraftFilter) -> None:
        self.filters = filters
        self.parts: dict[str, list[npt.NDArray[np.generic]]] = {}
        self.pool_length = 0
        self.drafts: dict[str, int] = {}
        self.wins: list[int] = []
        self.losses: list[int] = []
        self.dropped: Counter[str] = Counter()
        self.expansion = ""
        self.event_type = ""

    def add(self, frame: pl.DataFrame, header: Header) -> None:
        if not self.expansion and frame.height:
            self.expansion = frame["expansion"][0]
            self.event_type = frame["event_type"][0]
        pack_NX = _counts(frame, PACK_PREFIX, header)
        pool_NX = _counts(frame, POOL_PREFIX, header)
        number = {name: index for index, name in enumerate(header.cards)}
        pick_N = np.array([number.get(name, -1) for name in frame["pick"].to_list()], np.int32)
        keep_N = self._sort_out(frame, pack_NX, pool_NX, pick_N)
        if not keep_N.any():
            return
        frame = frame.filter(pl.Series(keep_N))
        pack_NX, pool_NX, pick_N = pack_NX[keep_N], pool_NX[keep_N], pick_N[keep_N]
        draft_N = self._number_drafts(frame)

        _, pack_cards = _flatten(pack_NX)
        before_N = np.arange(pack_NX.shape[1])[None, :] < pick_N[:, None]
        self._keep(
            pack_cards=pack_cards,
            pack_size=pack_NX.sum(axis=1, dtype=np.int64).astype(np.uint8),
            pick_slot=(pack_NX * before_N).sum(axis=1, dtype=np.int64).astype(np.uint8),
            pack_number=frame["pack_number"].to_numpy().astype(np.uint8),
            pick_number=frame["pick_number"].to_numpy().astype(np.uint8),
            pool_size=pool_NX.sum(axis=1, dtype=np.int64).astype(np.uint8),
        )

        grown_NX = np.diff(pool_NX, axis=0, prepend=np.zeros_like(pool_NX[:1]))
        starts_N = (np.diff(draft_N, prepend=-1) != 0) | (grown_NX < 0).any(axis=1)
        starts_N[0] = True  # segments do not cross pieces
        grown_NX[starts_N] = pool_NX[starts_N]
        entered_N, pool_cards = _flatten(grown_NX)
        start_rows = np.flatnonzero(starts_N)
        pool_offset_N = np.concatenate([[0], np.cumsum(entered_N)])
        self._keep(
            pool_cards=pool_cards,
            segment_rows=np.diff(start_rows, append=len(draft_N)).astype(np.uint32),
            segment_pool=(self.pool_length + pool_offset_N[start_rows]).astype(np.uint32),
            segment_draft=draft_N[start_rows].astype(np.uint32),
        )
        self.pool_length += len(pool_cards)

    def finish(self, header: Header) -> DraftPicks:
        arrays = {name: np.concatenate(parts) for name, parts in self.parts.items()}
        if not arrays:
            reasons = ", ".join(f"{DROP_REASONS[r]}: {n}" for r, n in self.dropped.items())
            raise DataError(f"no row can be used ({reasons})")
        return DraftPicks(
            expansion=self.expansion,
            event_type=self.event_type,
            cards=header.cards,
            draft_hash=np.array([hash_draft(d) for d in self.drafts], np.uint64),
            wins=np.array(self.wins, np.int8),
            losses=np.array(self.losses, np.int8),
            dropped=dict(self.dropped),
            **arrays,
        )

    def _keep(self, **arrays: npt.NDArray[np.generic]) -> None:
        for name, array in arrays.items():
            self.parts.setdefault(name, []).append(array)

    def _sort_out(
        self,
        frame: pl.DataFrame,
        pack_NX: npt.NDArray[np.int8],
        pool_NX: npt.NDArray[np.int8],
        pick_N: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.bool_]:
        """Which rows can be used; the others are counted."""
        pack_size_N = pack_NX.sum(axis=1, dtype=np.int64)
        in_pack_N = pack_NX[np.arange(len(pick_N)), np.maximum(pick_N, 0)] > 0
        tests = {
            "draft_id_missing": (frame["draft_id"].fill_null("") == "").to_numpy(),
            "number_missing": (
                frame["pack_number"].is_null() | frame["pick_number"].is_null()
            ).to_numpy(),
            "pick_missing": (frame["pick"].fill_null("") == "").to_numpy(),
            "count_negative": (pack_NX < 0).any(axis=1) | (pool_NX < 0).any(axis=1),
            "pack_empty": pack_size_N == 0,
            "pack_too_large": pack_size_N > PACK_MAX,
            "pool_too_large": pool_NX.sum(axis=1, dtype=np.int64) > POOL_MAX,
            "pick_not_in_pack": (pick_N < 0) | ~in_pack_N,
        }
        dropped = frame.select(**self.filters.drops(frame.columns))
        tests |= {reason: dropped[reason].to_numpy() for reason in dropped.columns}
        keep_N = np.ones(frame.height, np.bool_)
        for reason, bad_N in tests.items():
            bad_N = bad_N & keep_N
            if bad_N.any():
                self.dropped[reason] += int(bad_N.sum())
                keep_N &= ~bad_N
        return keep_N

    def _number_drafts(self, frame: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Each row's draft, numbered by first appearance; notes the event's result."""
        ids = frame["draft_id"].to_list()
        none = [None] * frame.height
        wins, losses = (
            frame[c].to_list() if c in frame.columns else none for c in OPTIONAL_COLUMNS
        )
        numbers = np.empty(len(ids), np.int64)
        for row, draft_id in enumerate(ids):
            known = self.drafts.get(draft_id)
            if known is None:
                known = self.drafts[draft_id] = len(self.drafts)
                won, lost = wins[row], losses[row]
                self.wins.append(UNKNOWN_WINS if won is None else int(won))
                self.losses.append(UNKNOWN_WINS if lost is None else int(lost))
            numbers[row] = known
        return numbers


def _counts(frame: pl.DataFrame, prefix: str, header: Header) -> npt.NDArray[np.int8]:
    """(N, cards) copies of each card; an empty cell is none."""
    columns = frame.select(pl.col(prefix + card).fill_null(0) for card in header.cards)
    return np.ascontiguousarray(columns.to_numpy())


def _flatten(
    counts_NX: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Cards of each row, and the card numbers row after row, copies repeated."""
    rows, cards = np.nonzero(counts_NX)
    repeats = counts_NX[rows, cards].astype(np.int64)
    size_N = np.zeros(len(counts_NX), np.int64)
    np.add.at(size_N, rows, repeats)
    return size_N, np.repeat(cards, repeats).astype(np.uint16)


def hash_draft(draft_id: str) -> int:
    """64 bits of blake2b of the id: the same on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(draft_id.encode(), digest_size=8).digest(), "little")
