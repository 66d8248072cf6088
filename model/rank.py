"""Scores to picks: probabilities that sum to one, and a stable order.

Shape legend: B batch, C pack slots.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.cards import Card, CardExplanation, RankedCard

PROBABILITY_DECIMALS = 8
"""Enough for a sum of 1 within 1e-7, short enough to keep a reply small."""


def tie_duplicates(logits: NDArray[np.float32], rows: Sequence[int]) -> None:
    """Give copies of one card in a pack the same score, in place.

    They get it from the network too, but matrix kernels may round equal rows differently.
    """
    if len(set(rows)) == len(rows):
        return
    first: dict[int, int] = {}
    for slot, row in enumerate(rows):
        logits[slot] = logits[first.setdefault(row, slot)]


def probabilities(logits_BC: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the pack in double precision; masked slots (`-inf`) get exactly 0.

    Raises ValueError when a row has no finite maximum: such scores must not be sent.
    """
    shifted_BC = logits_BC.astype(np.float64)
    best_B1 = shifted_BC.max(axis=1, keepdims=True)
    if not np.isfinite(best_B1).all() or np.isnan(shifted_BC).any():
        raise ValueError("the model returned scores that are not finite")
    shares_BC = np.exp(shifted_BC - best_B1)
    shares_BC /= shares_BC.sum(axis=1, keepdims=True)
    rounded: NDArray[np.float64] = shares_BC.round(PROBABILITY_DECIMALS)
    return rounded


def ranking(pack: Sequence[Card | str], shares: Sequence[float]) -> list[RankedCard]:
    """The pack's cards, best first; ties keep the order of the pack.

    Args:
        pack: the cards as the client wrote them.
        shares: their probabilities, same order.
    """
    order = sorted(range(len(shares)), key=lambda slot: -shares[slot])
    return [
        RankedCard(rank, slot, _name(pack[slot]), shares[slot])
        for rank, slot in enumerate(order, start=1)
    ]


def explanation(
    pack: Sequence[Card | str],
    with_pool: NDArray[np.float32],
    without_pool: NDArray[np.float32],
) -> list[CardExplanation]:
    """Split each score (logits of the pack's cards) into strength and synergy.

    Both are relative to the pack's average: a softmax cares for differences only.
    """
    strength = without_pool - without_pool.mean()
    synergy = with_pool - with_pool.mean() - strength
    return [
        CardExplanation(slot, _name(card), round(float(power), 4), round(float(fit), 4))
        for slot, (card, power, fit) in enumerate(zip(pack, strength, synergy, strict=True))
    ]


def _name(card: Card | str) -> str:
    return card if isinstance(card, str) else card.name
