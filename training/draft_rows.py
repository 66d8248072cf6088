"""Lines of a 17Lands draft CSV -> text columns and sparse card counts.

A line has a dozen columns of text and hundreds of counts, nearly all `0`. Where the count columns
stand side by side and every count of a line is one digit, which is nearly always so, the counts are
`,d,d,d…`: a run of known length. Such a run is compared with `,0,0,0…` by pairs of bytes; what
differs is the pack and the pool, 30 cells of 570. polars then parses the line without its run. All
other lines it parses whole. A test holds the two ways to the same result; what the first saves is
in `training/LOG.md`.

Legend: N lines, L bytes of a run.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from training.draft_columns import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, Columns

_NEWLINE, _RETURN, _COMMA, _QUOTE, _SPACE = b'\n\r," '
_NONE = np.frombuffer(b",0", "<u2")[0]
"""A count of 0 and the comma before it."""
_TAIL_CELL_BYTES = 24
"""Where the cells behind the run are longer than this on average, the line is parsed whole."""
_END = "end"
_MARK = b"$"
"""A last cell added to every line: it stands in its column only if the line has all its cells."""
_MARKED = b"," + _MARK + b"\n"

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Cells = tuple[Ints, Ints, Ints]
"""Line, count column and count of the cells that are not 0."""


_NO_CELLS: Cells = (np.zeros(0, np.int64),) * 3


@dataclass(frozen=True, slots=True)
class Counts:
    """Copies of cards in the packs, or in the pools, of some rows; sorted by row, then card."""

    row: Ints
    card: Ints
    count: Ints
    """Not 0; negative or absurd in damaged rows."""

    @classmethod
    def of(cls, row: Ints, card: Ints, count: Ints, cards: int) -> Counts:
        """Sorts, and adds up what is of one row and card. `cards` is the number of cards."""
        key = row * cards + card
        step = np.diff(key)
        if (step <= 0).any():
            order = np.argsort(key, kind="stable")
            key, row, card, count = key[order], row[order], card[order], count[order]
            step = np.diff(key)
        if (step == 0).any():
            first = np.flatnonzero(np.diff(key, prepend=-1))
            row, card, count = row[first], card[first], np.add.reduceat(count, first)
        held = count != 0
        return cls(row, card, count) if held.all() else cls(row[held], card[held], count[held])

    def of_rows(self, keep_N: Bools) -> Counts:
        """Those of the rows kept, which are numbered anew."""
        if keep_N.all():
            return self
        held = keep_N[self.row]
        number_N = np.cumsum(keep_N) - 1
        return Counts(number_N[self.row[held]], self.card[held], self.count[held])

    def starts(self, rows: int) -> Ints:
        """(rows + 1,) cards of all rows before each."""
        before = np.concatenate([[0], np.cumsum(self.count)])
        return before[np.searchsorted(self.row, np.arange(rows + 1))]

    def totals(self, rows: int) -> Ints:
        """(rows,) cards of each row."""
        return np.diff(self.starts(rows))


@dataclass(frozen=True, slots=True)
class Rows:
    """Lines of a file, in order."""

    text: pl.DataFrame
    """The columns of `REQUIRED_COLUMNS`, and those of `OPTIONAL_COLUMNS` that the file has; empty
    cells are null."""
    pack: Counts
    pool: Counts
    torn_N: Bools
    """Lines with more or fewer cells than the header, or an open quote."""
    malformed_N: Bools
    """Lines with a count that is no whole number."""
    cut_off: bool
    """Whether the last line is torn and has no line end."""


class RowParser:
    """Parses pieces of one file. It keeps no state, so that threads may share it."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}
        self._read = {
            name: index
            for index, name in enumerate(columns.names)
            if name in known and not columns.is_count[index]
        }
        self._block = columns.block
        if self._block is not None and self._block[0] == 0:
            self._block = None  # the pairs below begin with the comma before the run
        self._size = 2 * len(columns.count_card)

    def parse(self, piece: bytes) -> Rows:
        """The rows of whole lines; empty lines are left out."""
        text_L = np.frombuffer(piece, np.uint8)
        start_N, stop_N = _lines(text_L)
        run_N = self._find_runs(text_L, start_N, stop_N)
        short_cells = self._read_runs(text_L, run_N)
        short_N = run_N >= 0
        spans = np.stack([start_N, run_N, run_N + self._size, stop_N], axis=1)[short_N]
        short_text, short_torn = self._read_text(text_L, spans, whole=False)
        spans = np.stack([start_N, stop_N, stop_N, stop_N], axis=1)[~short_N]
        whole_text, whole_torn = self._read_text(text_L, spans, whole=True)
        whole_cells, malformed = self._read_counts(whole_text, np.flatnonzero(~short_N))
        order = np.argsort(np.concatenate([np.flatnonzero(short_N), np.flatnonzero(~short_N)]))
        names = {str(index): name for name, index in self._read.items()}
        text = pl.concat([short_text.select(list(names)), whole_text.select(list(names))])
        malformed_N = np.zeros(len(start_N), np.bool_)
        malformed_N[~short_N] = malformed
        line, column, value = (
            np.concatenate(both) for both in zip(short_cells, whole_cells, strict=True)
        )
        in_pool = self._columns.count_in_pool[column]
        pack, pool = (
            Counts.of(line[part], self._columns.count_card[column[part]], value[part], self.cards)
            for part in (~in_pool, in_pool)
        )
        torn_N = np.concatenate([short_torn, whole_torn])[order]
        return Rows(
            text=(text if short_N.all() else text[order]).rename(names),
            pack=pack,
            pool=pool,
            torn_N=torn_N,
            malformed_N=malformed_N,
            cut_off=bool(torn_N[-1:].any()) and not piece.endswith(b"\n"),
        )

    @property
    def cards(self) -> int:
        return len(self._columns.cards)

    def _find_runs(self, text_L: Bytes, start_N: Ints, stop_N: Ints) -> Ints:
        """Where the comma before each line's counts is if all are one digit; -1 where it is not."""
        nowhere_N = np.full(len(start_N), -1)
        if self._block is None or not len(start_N):
            return nowhere_N
        behind = len(self._columns.names) - self._block[1]
        end_N = stop_N
        if behind:
            # The run ends at the comma before the cells behind it: that many commas from the end.
            window = min(_TAIL_CELL_BYTES * behind, len(text_L))
            windows = np.lib.stride_tricks.sliding_window_view(text_L, window)
            commas = windows[np.maximum(stop_N - window, 0)][:, ::-1] == _COMMA
            nth = np.cumsum(commas, axis=1, dtype=np.int32) == behind
            end_N = np.where(nth.any(axis=1), stop_N - 1 - nth.argmax(axis=1), -1)
            end_N[stop_N < window] = -1
        run_N = end_N - self._size
        return np.where(run_N >= start_N, run_N, nowhere_N)

    def _read_runs(self, text_L: Bytes, run_N: Ints) -> Cells:
        """The counts in the runs. Sets `run_N` to -1 for lines that have other cells there."""
        line_M = np.flatnonzero(run_N >= 0)
        if not len(line_M):
            return _NO_CELLS
        runs = np.lib.stride_tricks.sliding_window_view(text_L, self._size)
        pairs = runs[run_N[line_M]].view("<u2").ravel()  # a comma and a digit each
        place = np.flatnonzero(pairs != _NONE)
        width = self._size // 2
        index = place // width
        # What differs from ",0": a digit in the upper byte, nothing in the lower.
        count = (pairs[place] ^ _NONE).astype(np.int64)
        wrong = (count & 0xFF != 0) | (count > 9 << 8)
        run_N[line_M[index[wrong]]] = -1
        line, column, count = line_M[index], place - index * width, count >> 8
        if wrong.any():
            right = run_N[line] >= 0
            line, column, count = line[right], column[right], count[right]
        return line, column, count

    def _read_text(self, text_L: Bytes, spans: Ints, whole: bool) -> tuple[pl.DataFrame, Bools]:
        """The cells of lines, in columns named by their places, and which lines are torn.

        A line is `spans[n]`: from the first place to the second, and from the third to the fourth.
        Lines that are not `whole` have no counts.

        Counts are numbers, or all of them texts where one is something else.
        """
        if not len(spans):
            names = dict.fromkeys(map(str, self._read.values()), pl.String)
            return pl.DataFrame(schema=names), np.zeros(0, np.bool_)
        counts = self._columns.is_count
        lines, open_N = _joined(text_L, spans)
        for kind in (pl.Int16, pl.String):
            schema: dict[str, type[pl.DataType]] = {
                str(place): kind if is_one else pl.String
                for place, is_one in enumerate(counts)
                if whole or not is_one
            }
            schema[_END] = pl.String
            frame = _read_csv(lines, schema)
            if frame is not None and frame.height == len(spans):
                break
        else:
            frame = _read_by_line(lines, schema)
        return frame, open_N | (frame[_END] != _MARK.decode()).fill_null(True).to_numpy()

    def _read_counts(self, text: pl.DataFrame, line_M: Ints) -> tuple[Cells, Bools]:
        """The counts of lines parsed whole (an empty cell is 0), and which lines have bad ones."""
        if not text.height:
            return _NO_CELLS, np.zeros(0, np.bool_)
        cells = text.select(str(i) for i in np.flatnonzero(self._columns.is_count))
        if cells.dtypes[0] == pl.Int16:
            counts = cells.fill_null(0).to_numpy()
            bad_N = np.zeros(len(counts), np.bool_)
        else:
            empty = cells.select(pl.all().is_null()).to_numpy()
            counts = np.where(empty, 0, cells.cast(pl.Float32, strict=False).to_numpy())
            bad = ~(np.abs(counts) < 1e6) | (counts != np.floor(counts))
            counts, bad_N = np.where(bad, 0, counts), bad.any(axis=1)
        index, column = np.nonzero(counts)
        return (line_M[index], column, counts[index, column].astype(np.int64)), bad_N


def _read_csv(lines: bytes, schema: dict[str, type[pl.DataType]]) -> pl.DataFrame | None:
    """The cells, None when one is not what the schema says."""
    try:
        return pl.read_csv(
            lines,
            has_header=False,
            schema=schema,
            encoding="utf8-lossy",
            truncate_ragged_lines=True,
            missing_columns="insert",
            extra_columns="ignore",
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError:
        return None


def _read_by_line(lines: bytes, schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    """The cells as texts where a line's quotes are such that polars gives the whole piece up."""
    rows = []
    for line in lines.decode("utf-8", "replace").split("\n")[:-1]:
        cells = [cell or None for cell in next(csv.reader([line]))]
        rows.append((cells + [None] * len(schema))[: len(schema)])
    return pl.DataFrame(rows, dict.fromkeys(schema, pl.String), orient="row")


def _joined(text_L: Bytes, spans: Ints) -> tuple[bytes, Bools]:
    """The lines of the spans, each with the mark as its last cell; and which have an open quote.

    Their quotes are taken away: they would swallow the lines that follow.
    """
    sizes = np.stack([spans[:, 1] - spans[:, 0], spans[:, 3] - spans[:, 2]], axis=1)
    ends = np.full((len(spans), 1), len(_MARKED))
    pieces = np.concatenate([sizes, ends], axis=1).ravel()
    source = np.stack([spans[:, 0], spans[:, 2], np.zeros(len(spans), np.int64)], axis=1).ravel()
    target = np.cumsum(pieces) - pieces
    place = np.arange(pieces.sum(), dtype=np.int32)
    place += np.repeat((source - target).astype(np.int32), pieces)
    lines = text_L[place]
    for index, mark in enumerate(_MARKED):
        lines[target[2::3] + index] = mark
    quotes = np.flatnonzero(lines == _QUOTE)
    line = np.searchsorted(target[::3], quotes, side="right") - 1
    open_N = np.bincount(line, minlength=len(spans)) % 2 == 1
    lines[quotes[open_N[line]]] = _SPACE
    return lines.tobytes(), open_N


def _lines(text: Bytes) -> tuple[Ints, Ints]:
    """First and last + 1 byte of each line that is not empty, without its line end."""
    stop_N = np.flatnonzero(text == _NEWLINE)
    if not len(stop_N) or stop_N[-1] != len(text) - 1:
        stop_N = np.append(stop_N, len(text))
    start_N = np.concatenate([[0], stop_N[:-1] + 1])
    stop_N = stop_N - ((stop_N > start_N) & (text[np.maximum(stop_N - 1, 0)] == _RETURN))
    held = stop_N > start_N
    return start_N[held], stop_N[held]
