"""The columns of a 17Lands draft CSV: which there are, which are read, and where they stand."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.filters import FILTER_COLUMNS
from training.textfile import DataError

PACK_PREFIX = "pack_card_"
POOL_PREFIX = "pool_"
REQUIRED_COLUMNS = ("expansion", "event_type", "draft_id", "pick", "pack_number", "pick_number")
SECOND_PICK = "pick_2"
"""Only in files of `PickTwoDraft`."""
OPTIONAL_COLUMNS = (SECOND_PICK, "event_match_losses", *FILTER_COLUMNS)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file, in its order, checked."""

    names: tuple[str, ...]
    cards: tuple[str, ...]
    """The set's cards, sorted; card numbers are places in it."""
    is_count: npt.NDArray[np.bool_]
    """(columns,) whether a column counts copies of a card."""
    count_card: npt.NDArray[np.int64]
    """(count columns,) the card each of them counts. A card in more than one printing may have a
    column for each, which are added up."""
    count_in_pool: npt.NDArray[np.bool_]
    """(count columns,) whether it counts the pool, not the pack."""

    @classmethod
    def parse(cls, line: bytes, path: Path) -> Columns:
        """The columns of the file's first line. Raises DataError when it is no draft file's."""
        try:
            names = tuple(next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")])))
        except (UnicodeDecodeError, StopIteration, csv.Error):
            raise DataError(
                f"{path}: not 17Lands draft data: the first line is no header"
            ) from None
        pack = {name.removeprefix(PACK_PREFIX) for name in names if name.startswith(PACK_PREFIX)}
        pool = {name.removeprefix(POOL_PREFIX) for name in names if name.startswith(POOL_PREFIX)}
        if not pack:
            raise DataError(
                f"{path}: not 17Lands draft data: no column starts with {PACK_PREFIX!r}"
                " (game and replay data have other columns)"
            )
        for name in REQUIRED_COLUMNS:
            if name not in names:
                raise DataError(f"{path}: column {name!r} is missing")
        is_count = np.array([name.startswith((PACK_PREFIX, POOL_PREFIX)) for name in names])
        others = Counter(name for name, counts in zip(names, is_count, strict=True) if not counts)
        for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
            if others[name] > 1:
                raise DataError(f"{path}: column {name!r} appears more than once")
        for card in sorted(pack ^ pool):
            missing = (POOL_PREFIX if card in pack else PACK_PREFIX) + card
            raise DataError(f"{path}: column {missing!r} is missing")
        if len(pack) > np.iinfo(np.uint16).max:
            raise DataError(f"{path}: {len(pack)} cards are more than a set can have")
        cards = tuple(sorted(pack))
        number = {card: index for index, card in enumerate(cards)}
        counts = [name for name, is_one in zip(names, is_count, strict=True) if is_one]
        return cls(
            names=names,
            cards=cards,
            is_count=is_count,
            count_card=np.array([number[_card_of(name)] for name in counts], np.int64),
            count_in_pool=np.array([name.startswith(POOL_PREFIX) for name in counts]),
        )

    @property
    def block(self) -> tuple[int, int] | None:
        """First and last + 1 of the count columns, when they stand side by side."""
        first, last = np.flatnonzero(self.is_count)[[0, -1]]
        return (int(first), int(last) + 1) if self.is_count[first : last + 1].all() else None

    @property
    def others(self) -> list[str]:
        """Names of the columns that count nothing, in order."""
        return [name for name, counts in zip(self.names, self.is_count, strict=True) if not counts]


def _card_of(column: str) -> str:
    return column.removeprefix(PACK_PREFIX if column.startswith(PACK_PREFIX) else POOL_PREFIX)
