"""Ragged packs and pools to rectangles: padding and masks.

Batches are padded to their own longest pack and pool, not to 15 and 45: late picks have short
packs, early picks short pools, and the difference is most of the arithmetic.

Shape legend: B batch, C pack slots, P pool slots, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RowBatch(NamedTuple):
    """Picks as rows of the card matrix; `padding_row` stands in the empty slots."""

    pack_rows_BC: Tensor
    pool_rows_BP: Tensor
    pack_mask_BC: Tensor
    pool_sizes_B: Tensor


class FeatureBatch(NamedTuple):
    """Picks as card features, in the order of `DraftModel.forward`'s arguments."""

    pack_BCF: Tensor
    pool_BPF: Tensor
    pack_mask_BC: Tensor
    pool_mask_BP: Tensor


def collate_rows(
    packs: Sequence[Sequence[int]], pools: Sequence[Sequence[int]], padding_row: int
) -> RowBatch:
    """Pad matrix rows to the batch's longest pack and pool (at least one pool slot)."""
    if not packs:
        raise ValueError("a batch needs at least one pick")
    pack_rows = torch.from_numpy(_pad(packs, padding_row))
    return RowBatch(
        pack_rows,
        torch.from_numpy(_pad(pools, padding_row)),
        pack_rows != padding_row,
        torch.tensor([len(pool) for pool in pools]),
    )


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


def _pad(hands: Sequence[Sequence[int]], padding_row: int) -> NDArray[np.int64]:
    slots = max(1, max(map(len, hands)))
    return np.array([[*hand, *[padding_row] * (slots - len(hand))] for hand in hands], np.int64)


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
