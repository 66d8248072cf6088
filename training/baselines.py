"""Choices that need no model, to hold a model's figures against.

`random`
    any card of the pack.
`highest_rarity`
    a card of the pack's highest rarity: mythic (bonus and special sheets with it), rare, uncommon,
    and the rest. A card whose rarity is not known counts with the rest.
`most_picked`
    the card with the highest pick rate: of the packs that held it, the share it was taken from.
    The rates are counted over all unforced picks of the file but those of the draft being judged,
    so no draft has a say in its own baseline. One pack with the average rate is added to each
    card's, so that a card that one other pack held does not come first or last for that alone. It
    knows the file's drafters, which no model does that has not been trained on them.

Each gives the probability that its choice is the card taken. What is equal by the rule is chosen
from at random, so the figures are expectations: exact, without a seed.

Legend: N picks, B picks at a time, C pack slots, D drafts at a time, X cards of the set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.cards import Card
from training.dataset import PickBatch, PickDataset

NAMES = ("random", "highest_rarity", "most_picked")
RARITY_ORDER = {"mythic": 3, "bonus": 3, "special": 3, "rare": 2, "uncommon": 1}
CHUNK = 4096
"""Picks at a time, more where a draft has more."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def baseline_hits(
    dataset: PickDataset, rows: npt.NDArray[np.int64], cards: Sequence[Card | None]
) -> dict[str, Floats]:
    """For each baseline, (N,) the probability that it takes what was taken in each of the rows.

    Args:
        rows: all picks of some drafts.
        cards: what is known of each card of the set, for its rarity.
    """
    rarity_X = np.array([RARITY_ORDER.get((card and card.rarity) or "", 0) for card in cards])
    rates = PickRates.count(dataset)
    hits = {name: np.zeros(len(rows)) for name in NAMES}
    for places in _whole_drafts(dataset, rows):
        chunk = rows[places]
        batch = dataset.batch(chunk)
        values = {
            "random": np.zeros(batch.pack_cards_BC.shape),
            "highest_rarity": rarity_X[batch.pack_cards_BC],
            "most_picked": rates.without_own_draft(batch, dataset.draft_N[chunk]),
        }
        for name, values_BC in values.items():
            hits[name][places] = _expected_hits(batch, values_BC)
    return hits


def _expected_hits(batch: PickBatch, values_BC: npt.NDArray[np.generic]) -> Floats:
    """(B,) the taken slots' share of the slots with the highest value."""
    known_BC = np.where(batch.pack_mask_BC, values_BC.astype(np.float64), -np.inf)
    best_BC = known_BC == known_BC.max(axis=1, keepdims=True)
    hits: Floats = (batch.taken_BC & best_BC).sum(axis=1) / best_BC.sum(axis=1)
    return hits


def _whole_drafts(dataset: PickDataset, rows: npt.NDArray[np.int64]) -> Iterator[Ints]:
    """Places in `rows` in chunks that part no draft, whatever the order of the rows."""
    order = np.argsort(dataset.draft_N[rows], kind="stable")
    draft = dataset.draft_N[rows][order]
    starts = np.flatnonzero(np.diff(draft, prepend=-1, append=-1))
    first = 0
    for end in starts[1:]:
        if end - first >= CHUNK or end == len(order):
            yield order[first:end]
            first = end


@dataclass(frozen=True, slots=True)
class PickRates:
    """How often each card of a file was there to take, and was taken, in unforced picks."""

    seen_X: Ints
    taken_X: Ints

    @classmethod
    def count(cls, dataset: PickDataset) -> PickRates:
        seen_X = np.zeros(len(dataset.cards), np.int64)
        taken_X = np.zeros(len(dataset.cards), np.int64)
        rows = dataset.rows(unforced=True)
        for start in range(0, len(rows), CHUNK):
            batch = dataset.batch(rows[start : start + CHUNK])
            one_draft_B = np.zeros(len(batch.pack_cards_BC), np.int64)
            seen_1X, taken_1X = _counts(batch, one_draft_B, len(dataset.cards))
            seen_X += seen_1X[0]
            taken_X += taken_1X[0]
        return cls(seen_X, taken_X)

    def without_own_draft(self, batch: PickBatch, draft_B: npt.NDArray[np.int64]) -> Floats:
        """(B, C) each card's pick rate in the other drafts; the batch holds whole drafts."""
        _, own_B = np.unique(draft_B, return_inverse=True)
        seen_DX, taken_DX = _counts(batch, own_B, len(self.seen_X))
        seen_DX, taken_DX = self.seen_X - seen_DX, self.taken_X - taken_DX
        average_D1 = taken_DX.sum(axis=1, keepdims=True) / np.maximum(
            seen_DX.sum(axis=1, keepdims=True), 1
        )
        rate_DX = (taken_DX + average_D1) / (seen_DX + 1)
        rates: Floats = rate_DX[own_B[:, None], batch.pack_cards_BC]
        return rates


def _counts(batch: PickBatch, draft_B: Ints, cards: int) -> tuple[Ints, Ints]:
    """(D, X) unforced packs of each draft that held the card, and those it was taken from."""
    slots = batch.pack_cards_BC.shape[1]
    same_BCC = batch.pack_cards_BC[:, :, None] == batch.pack_cards_BC[:, None, :]
    earlier_BC = (same_BCC & np.tri(slots, k=-1, dtype=np.bool_)).any(axis=2)
    unforced_B1 = batch.pack_mask_BC.sum(axis=1, keepdims=True) > 1
    # A pack counts once for a card it holds twice. Cards stand in front of the empty slots.
    once_BC = batch.pack_mask_BC & ~earlier_BC & unforced_B1
    flat_BC = draft_B[:, None] * cards + batch.pack_cards_BC
    shape = (int(draft_B.max(initial=-1)) + 1, cards)
    size = shape[0] * cards
    seen = np.bincount(flat_BC[once_BC], minlength=size)
    taken = np.bincount(flat_BC[once_BC & batch.taken_BC], minlength=size)
    return seen.reshape(shape), taken.reshape(shape)
