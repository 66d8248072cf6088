"""Scores to picks: probabilities that sum to one, and a stable order.

Shape legend: B batch, N cards of all packs, which lie one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.cards import CardExplanation, RankedCard

PROBABILITY_DECIMALS = 8
"""Enough for a sum of 1 within 1e-7, short enough to keep a reply small."""


def tie_duplicates(logits_N: NDArray[np.float32], card_N: NDArray[np.int64]) -> None:
    """Give copies of one card in a pack the same score, in place.

    They get it from the network too, but matrix kernels may round equal rows differently.

    Args:
        logits_N: of the cards of all packs.
        card_N: a number each, which only copies in one pack share.
    """
    ordered_N = np.sort(card_N)
    if (ordered_N[1:] != ordered_N[:-1]).all():
        return
    _, first, number_N = np.unique(card_N, return_index=True, return_inverse=True)
    logits_N[:] = logits_N[first[number_N]]


def probabilities(
    logits_N: NDArray[np.float32], pick_N: NDArray[np.int64], starts_B: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Softmax over each pack, in double precision.

    Args:
        logits_N: one pack after the other.
        pick_N: the pack each belongs to, from 0.
        starts_B: where each pack starts.

    Raises ValueError when a score is not finite: such scores must not be sent.
    """
    if not np.isfinite(logits_N).all():
        raise ValueError("the model returned scores that are not finite")
    shares_N = logits_N.astype(np.float64)
    shares_N -= np.maximum.reduceat(shares_N, starts_B)[pick_N]
    np.exp(shares_N, out=shares_N)
    shares_N /= np.add.reduceat(shares_N, starts_B)[pick_N]
    return shares_N.round(PROBABILITY_DECIMALS)


def ranking(names: Sequence[str], shares: Sequence[float]) -> list[RankedCard]:
    """The pack's cards, best first; ties keep the order of the pack.

    Args:
        names: of the cards, as the client wrote them.
        shares: their probabilities, same order.
    """
    order = sorted(range(len(shares)), key=shares.__getitem__, reverse=True)
    return [
        RankedCard(rank, slot, names[slot], shares[slot])
        for rank, slot in enumerate(order, start=1)
    ]


def explanation(
    names: Sequence[str], with_pool: NDArray[np.float32], without_pool: NDArray[np.float32]
) -> list[CardExplanation]:
    """Split each score (logits of the pack's cards) into strength and synergy.

    Both are relative to the pack's average: a softmax cares for differences only.
    """
    strength = without_pool - without_pool.mean()
    synergy = with_pool - with_pool.mean() - strength
    return [
        CardExplanation(slot, name, round(float(power), 4), round(float(fit), 4))
        for slot, (name, power, fit) in enumerate(zip(names, strength, synergy, strict=True))
    ]
