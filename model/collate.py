"""Ragged packs and pools as arrays: one after the other for serving, padded for the network.

Late picks have short packs, early picks short pools: padded to 15 and 45, most of a batch would be
empty slots, and padded to its longest pack still almost half of it.

Shape legend: B batch, C pack slots, P pool slots, F features, N cards of all packs, M of all pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RowBatch(NamedTuple):
    """Picks as rows of a card index: the cards of all packs, then the cards of all pools.

    `rows` (N + M) are of all packs' cards, then of all pools'; `starts` and `sizes` (2 B) say which
    are whose. `pick_N` is the pick that each pack's card belongs to. All int64, and of numpy: an
    operation on arrays this small takes torch twice as long.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pick_N: NDArray[np.int64]

    @property
    def picks(self) -> int:
        return len(self.starts) // 2

    @property
    def pack_rows(self) -> NDArray[np.int64]:
        return self.rows[: len(self.pick_N)]

    @property
    def pack_starts(self) -> NDArray[np.int64]:
        return self.starts[: self.picks]


class FeatureBatch(NamedTuple):
    """Picks as card features, in the order of `DraftModel.forward`'s arguments."""

    pack_BCF: Tensor
    pool_BPF: Tensor
    pack_mask_BC: Tensor
    pool_mask_BP: Tensor


def collate_rows(
    rows: NDArray[np.int64], pack_sizes: Sequence[int], pool_sizes: Sequence[int]
) -> RowBatch:
    """Lay out picks whose packs' rows, then whose pools' rows, follow each other in `rows`.

    Raises ValueError for a batch without picks, a pack without cards, or rows that are not as
    many as the sizes say.
    """
    if not pack_sizes or not all(pack_sizes):
        raise ValueError("a batch needs at least one pick, and a pick at least one card")
    sizes = np.array([*pack_sizes, *pool_sizes], np.int64)
    ends = sizes.cumsum()
    if ends[-1] != len(rows):
        raise ValueError(f"{len(rows)} rows for packs and pools of {ends[-1]} cards")
    starts = ends - sizes
    picks = len(pack_sizes)
    pick_N = np.arange(picks).repeat(sizes[:picks])
    return RowBatch(rows, starts, sizes, pick_N)


def collate_features(
    packs: Sequence[NDArray[np.float32]],
    pools: Sequence[NDArray[np.float32]],
    pack_slots: int = 0,
    pool_slots: int = 0,
) -> FeatureBatch:
    """Pad feature matrices (cards, F) to a batch.

    Args:
        packs, pools: one matrix a pick; a pool may have no rows.
        pack_slots, pool_slots: pad to at least that many slots; 0 trims to the longest.
    """
    if not packs:
        raise ValueError("a batch needs at least one pick")
    pack, pack_mask = _pad_features(packs, pack_slots, packs[0].shape[1])
    pool, pool_mask = _pad_features(pools, pool_slots, packs[0].shape[1])
    return FeatureBatch(pack, pool, pack_mask, pool_mask)


def _pad_features(
    hands: Sequence[NDArray[np.float32]], slots: int, width: int
) -> tuple[Tensor, Tensor]:
    slots = max(1, slots, max(len(hand) for hand in hands))
    padded = np.zeros((len(hands), slots, width), np.float32)
    mask = np.zeros((len(hands), slots), np.bool_)
    for pick, hand in enumerate(hands):
        padded[pick, : len(hand)] = hand
        mask[pick, : len(hand)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)
