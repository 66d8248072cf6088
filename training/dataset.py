"""Picks ready for training: an on-disk form read through memory maps, splits, and batches.

A CSV is converted once into a folder of `.npy` files named after the CSV, the start of its
sha256 and the filter, with a `manifest.json` that says where the rows came from and what was left
out. The folder is written under another name and renamed at the end, so a folder that has its
final name is whole.

Legend: N picks, B batch, C pack slots, P pool slots, X cards of the set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.filters import DraftFilter
from training.seventeenlands import UNKNOWN_WINS, DraftPicks, read_drafts
from training.textfile import DataError, sha256_of

FORMAT = 3
MANIFEST = "manifest.json"
_SCALARS = ("expansion", "event_type", "cards", "rows", "dropped")
_ARRAYS = tuple(f.name for f in dataclasses.fields(DraftPicks) if f.name not in _SCALARS)


class Split(IntEnum):
    """What a draft is for. All picks of a draft share its split."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


VALIDATION_PERCENT = 5
TEST_PERCENT = 5


def split_of(draft_hash: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Each draft's `Split`, by its id alone: the same in every run and for every file."""
    percent = draft_hash % np.uint64(100)
    held_out = np.where(percent < TEST_PERCENT, Split.TEST, Split.VALIDATION)
    return np.where(percent < TEST_PERCENT + VALIDATION_PERCENT, held_out, Split.TRAIN)


def prepare(
    source: Path, cache: Path, filters: DraftFilter | None = None
) -> tuple[DraftPicks, dict[str, Any]]:
    """The picks of a CSV through its compact form under `cache`, and its manifest.

    Without `filters`, all drafts of the file; see `training.filters`. The form is made if it is not
    there. Raises DataError when the CSV cannot be used, the disk is full, or the form has been
    damaged.
    """
    digest = sha256_of(source)
    stem = source.name.removesuffix(".gz").removesuffix(".csv")
    filters = filters or DraftFilter.none()
    folder = cache / f"{stem}-{digest[:12]}-{_short_hash(filters)}-v{FORMAT}"
    if not folder.is_dir():
        _convert(source, digest, filters, folder)
    return _load(folder)


def _short_hash(filters: DraftFilter) -> str:
    values = json.dumps(dataclasses.asdict(filters), sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:8]


def _convert(source: Path, digest: str, filters: DraftFilter, folder: Path) -> None:
    picks = read_drafts(source, filters)
    manifest = {
        "format": FORMAT,
        "source": source.name,
        "source_sha256": digest,
        "expansion": picks.expansion,
        "event_type": picks.event_type,
        "filters": dataclasses.asdict(filters),
        "rows": picks.rows,
        "rows_kept": picks.rows - sum(picks.dropped.values()),
        "rows_dropped": picks.dropped,
        "picks": len(picks),
        "drafts": len(picks.draft_hash),
        "cards": list(picks.cards),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
        try:
            for name in _ARRAYS:
                np.save(unfinished / f"{name}.npy", getattr(picks, name))
            text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True)
            (unfinished / MANIFEST).write_text(text + "\n", encoding="utf-8")
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():  # else another process finished the same work first
            raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _load(folder: Path) -> tuple[DraftPicks, dict[str, Any]]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in _ARRAYS}
        picks = DraftPicks(
            expansion=manifest["expansion"],
            event_type=manifest["event_type"],
            cards=tuple(manifest["cards"]),
            rows=manifest["rows"],
            dropped=manifest["rows_dropped"],
            **arrays,
        )
        if len(picks) != manifest["picks"]:
            raise ValueError(f"{len(picks)} picks instead of {manifest['picks']}")
        return picks, manifest
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: damaged ({error}); delete the folder to make it anew") from None


@dataclass(frozen=True, slots=True)
class PickBatch:
    """Picks of one set as rectangles. Masks are true where a slot holds a card."""

    pack_cards_BC: npt.NDArray[np.int64]
    """Card numbers of the set; 0 in empty slots."""
    pack_mask_BC: npt.NDArray[np.bool_]
    pool_counts_BX: npt.NDArray[np.float32]
    """Copies of each card of the set in the pool."""
    pool_size_B: npt.NDArray[np.int64]
    taken_BC: npt.NDArray[np.bool_]
    """The slots holding the card that was taken: more than one when the pack had copies of it."""
    win_share_B: npt.NDArray[np.float32]
    """Wins / (wins + losses) of the event, NaN where unknown."""


class PickDataset:
    """The picks of one file, in batches of any rows."""

    def __init__(self, picks: DraftPicks) -> None:
        self.picks = picks
        segment_N = np.repeat(np.arange(len(picks.segment_rows)), picks.segment_rows)
        self.draft_N: npt.NDArray[np.int64] = np.asarray(picks.segment_draft)[segment_N].astype(
            np.int64
        )
        self._pool_start_N = np.asarray(picks.segment_pool)[segment_N].astype(np.int64)
        self._pack_start_N = np.cumsum(picks.pack_size, dtype=np.int64) - picks.pack_size
        wins, losses = picks.wins.astype(np.float32), picks.losses.astype(np.float32)
        played = np.maximum(wins + losses, 1)
        known = (picks.wins != UNKNOWN_WINS) & (picks.losses != UNKNOWN_WINS)
        self._win_share_D = np.where(known, wins / played, np.nan).astype(np.float32)

    def __len__(self) -> int:
        return len(self.picks)

    @property
    def cards(self) -> tuple[str, ...]:
        return self.picks.cards

    @property
    def wins_vary(self) -> bool:
        """Whether the events' results say anything. Those of simulated drafts do not."""
        share = self._win_share_D[~np.isnan(self._win_share_D)]
        return bool(len(share)) and bool(share.min() < share.max())

    def rows(self, split: Split | None = None, unforced: bool = False) -> npt.NDArray[np.int64]:
        """Row numbers of the split (None: all); `unforced` leaves out packs of one card."""
        keep_N = np.ones(len(self), np.bool_)
        if split is not None:
            keep_N &= (split_of(np.asarray(self.picks.draft_hash)) == split)[self.draft_N]
        if unforced:
            keep_N &= self.picks.pack_size > 1
        return np.flatnonzero(keep_N)

    def batch(self, rows: npt.NDArray[np.int64]) -> PickBatch:
        """The picks of these rows, in this order, trimmed to their longest pack."""
        picks = self.picks
        size_B = picks.pack_size[rows].astype(np.int64)
        slots_C = np.arange(size_B.max(initial=1))
        mask_BC = slots_C < size_B[:, None]
        places_BC = np.where(mask_BC, self._pack_start_N[rows][:, None] + slots_C, 0)
        pack_BC = np.where(mask_BC, picks.pack_cards[places_BC].astype(np.int64), 0)
        taken_B = pack_BC[np.arange(len(rows)), picks.pick_slot[rows]]

        pool_size_B = picks.pool_size[rows].astype(np.int64)
        owner_K = np.repeat(np.arange(len(rows)), pool_size_B)
        first_B = np.cumsum(pool_size_B) - pool_size_B
        place_K = self._pool_start_N[rows][owner_K] + np.arange(len(owner_K)) - first_B[owner_K]
        width = len(self.cards)
        flat_K = owner_K * width + picks.pool_cards[place_K]
        counts = np.bincount(flat_K, minlength=len(rows) * width).astype(np.float32)
        return PickBatch(
            pack_cards_BC=pack_BC,
            pack_mask_BC=mask_BC,
            pool_counts_BX=counts.reshape(len(rows), width),
            pool_size_B=pool_size_B,
            taken_BC=mask_BC & (pack_BC == taken_B[:, None]),
            win_share_B=self._win_share_D[self.draft_N[rows]],
        )
