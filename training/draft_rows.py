"""Lines of a 17Lands draft CSV -> text columns and sparse card counts.

A line has a dozen columns of text and hundreds of counts, nearly all `0`. Where the count columns
stand side by side and every count of a line is one digit, which is nearly always so, the counts are
`d,d,d,…`: a run of known length, whose digits stand at even offsets. Such a run is compared with
`0,0,0,…` as bytes; what differs is the pack and the pool, 30 cells of 570. polars then parses the
line without its run. All other lines it parses whole. A test holds the two ways to the same result;
what the first saves is in `training/LOG.md`.

Legend: N lines, L bytes of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from training.draft_columns import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, Columns
from training.textfile import DataError

_NEWLINE, _RETURN, _COMMA, _ZERO = b"\n\r,0"
_TAIL_CELL_BYTES = 24
"""Where the cells behind the run are longer than this on average, the line is parsed whole."""
_END = "end"
_MARK = b"$"
"""A last cell added to every line: it stands in its column only if the line has all its cells."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
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
        if (np.diff(key) <= 0).any():
            order = np.argsort(key, kind="stable")
            key = key[order]
            first = np.flatnonzero(np.diff(key, prepend=-1))
            count = np.add.reduceat(count[order], first)
            row, card = np.divmod(key[first], cards)
        held = count != 0
        return cls(row[held], card[held], count[held])

    def of_rows(self, keep_N: Bools) -> Counts:
        """Those of the rows kept, which are numbered anew."""
        held = keep_N[self.row]
        number_N = np.cumsum(keep_N) - 1
        return Counts(number_N[self.row[held]], self.card[held], self.count[held])

    def totals(self, rows: int) -> Ints:
        """(rows,) cards of each row."""
        return np.bincount(self.row, self.count, rows).astype(np.int64)


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
        zeros_L = np.full(2 * len(columns.count_card) - 1, _COMMA, np.uint8)
        zeros_L[::2] = _ZERO
        self._zeros_L = zeros_L

    def parse(self, piece: bytes) -> Rows:
        """The rows of whole lines; empty lines are left out.

        Raises DataError when the lines cannot be told apart.
        """
        start_N, stop_N = _lines(piece)
        run_N = self._find_runs(piece, start_N, stop_N)
        short_cells = self._read_runs(piece, run_N)
        short_N = run_N >= 0
        size = len(self._zeros_L) + 1
        last = self._block is not None and self._block[1] == len(self._columns.names)
        spans = zip(start_N.tolist(), run_N.tolist(), stop_N.tolist(), strict=True)
        short, whole = [], []
        for start, run, stop in spans:
            if run < 0:
                whole.append(piece[start:stop] + b",")
            else:
                short.append(piece[start:run] + (b"" if last else piece[run + size : stop] + b","))
        count = np.flatnonzero(self._columns.is_count)
        short_text, short_torn = self._read_text(short, skipped=count)
        whole_text, whole_torn = self._read_text(whole)
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

    def _find_runs(self, piece: bytes, start_N: Ints, stop_N: Ints) -> Ints:
        """Where each line's counts would start if all were one digit, -1 where they cannot."""
        nowhere_N = np.full(len(start_N), -1)
        if self._block is None or not len(start_N):
            return nowhere_N
        text = np.frombuffer(piece, np.uint8)
        behind = len(self._columns.names) - self._block[1]
        end_N = stop_N
        if behind:
            # The run ends at the comma before the cells behind it: that many commas from the end.
            window = min(_TAIL_CELL_BYTES * behind, len(text))
            windows = np.lib.stride_tricks.sliding_window_view(text, window)
            commas = windows[np.maximum(stop_N - window, 0)][:, ::-1] == _COMMA
            nth = np.cumsum(commas, axis=1, dtype=np.int32) == behind
            end_N = np.where(nth.any(axis=1), stop_N - 1 - nth.argmax(axis=1), -1)
            end_N[stop_N < window] = -1
        run_N = end_N - len(self._zeros_L)
        first = self._block[0] == 0
        fits_N = (run_N == start_N) if first else (run_N > start_N)
        if not first:
            fits_N &= text[np.maximum(run_N - 1, 0)] == _COMMA
        return np.where(fits_N, run_N, nowhere_N)

    def _read_runs(self, piece: bytes, run_N: Ints) -> Cells:
        """The counts in the runs. Sets `run_N` to -1 for lines that have other cells there."""
        line_M = np.flatnonzero(run_N >= 0)
        if not len(line_M):
            return _NO_CELLS
        size = len(self._zeros_L)
        runs = np.lib.stride_tricks.sliding_window_view(np.frombuffer(piece, np.uint8), size)
        runs_ML = runs[run_N[line_M]]
        place = np.flatnonzero(runs_ML != self._zeros_L)
        index, offset = np.divmod(place, size)
        digit = runs_ML.ravel()[place].astype(np.int64) - _ZERO
        wrong = (offset % 2 == 1) | (digit < 0) | (digit > 9)
        run_N[line_M[index[wrong]]] = -1
        line = line_M[index]
        right = run_N[line] >= 0
        return line[right], offset[right] // 2, digit[right]

    def _read_text(
        self, lines: Sequence[bytes], skipped: Ints | None = None
    ) -> tuple[pl.DataFrame, Bools]:
        """The cells of lines that end with a comma, in columns named by their places, and which
        lines are torn; `skipped` are places the lines do not have."""
        left_out = set() if skipped is None else set(skipped.tolist())
        places = [str(i) for i in range(len(self._columns.names)) if i not in left_out]
        schema = dict.fromkeys([*places, _END], pl.String)
        if not lines:
            return pl.DataFrame(schema=schema), np.zeros(0, np.bool_)
        # An open quote would swallow the lines that follow.
        closed = [line if line.count(b'"') % 2 == 0 else b"," for line in lines]
        try:
            frame = pl.read_csv(
                (_MARK + b"\n").join(closed) + _MARK,
                has_header=False,
                schema=schema,
                encoding="utf8-lossy",
                truncate_ragged_lines=True,
                missing_columns="insert",
                extra_columns="ignore",
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(str(error).strip().split("\n")[0]) from None
        if frame.height != len(lines):
            raise DataError(f"{len(lines)} lines were read as {frame.height}")
        return frame, (frame[_END] != _MARK.decode()).fill_null(True).to_numpy()

    def _read_counts(self, text: pl.DataFrame, line_M: Ints) -> tuple[Cells, Bools]:
        """The counts of lines parsed whole (an empty cell is 0), and which lines have bad ones."""
        if not text.height:
            return _NO_CELLS, np.zeros(0, np.bool_)
        cells = text.select(str(i) for i in np.flatnonzero(self._columns.is_count))
        empty = cells.select(pl.all().is_null()).to_numpy()
        values = cells.cast(pl.Float32, strict=False).to_numpy()
        values = np.where(empty, 0, values)
        bad = ~(np.abs(values) < 1e6) | (values != np.floor(values))
        index, column = np.nonzero(np.where(bad, 0, values))
        return (
            (line_M[index], column, values[index, column].astype(np.int64)),
            bad.any(axis=1),
        )


def _lines(piece: bytes) -> tuple[Ints, Ints]:
    """First and last + 1 byte of each line that is not empty, without its line end."""
    text = np.frombuffer(piece, np.uint8)
    stop_N = np.flatnonzero(text == _NEWLINE)
    if not len(stop_N) or stop_N[-1] != len(text) - 1:
        stop_N = np.append(stop_N, len(text))
    start_N = np.concatenate([[0], stop_N[:-1] + 1])
    stop_N = stop_N - ((stop_N > start_N) & (text[np.maximum(stop_N - 1, 0)] == _RETURN))
    held = stop_N > start_N
    return start_N[held], stop_N[held]
