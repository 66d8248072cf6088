"""What a model's scores are worth: where the cards that drafters took stand, and how sure it was.

A pick is *forced* when the pack has one card left. Forced picks are always right, so every figure
says whether it counts them.

A pack may hold copies of a card. Taking any of them is the same choice: copies share one rank, that
of their score, as in the server's ranking; a card's probability is the sum over its copies. Cards
with equal scores rank in the order of the pack, as they do in the server.

Legend: N picks, C pack slots, D drafts, S bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ECE_BINS = 15
BOOTSTRAP_SAMPLES = 2000
BOOTSTRAP_SEED = 17
CONFIDENCE_LEVEL = 0.95
_BOOTSTRAP_CELLS = 1 << 22
"""Draws held at a time: 32 MB."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's logits for picks, with what was taken."""

    logits_NC: Tensor
    """-inf in empty slots."""
    taken_NC: Tensor
    """True in the slots that hold the card taken."""
    cards_NC: Tensor | None = None
    """Which card each slot holds; None when no pack holds copies but of the card taken."""

    def unforced(self) -> Scores:
        """The picks of packs with more than one card."""
        keep_N = torch.isfinite(self.logits_NC).sum(dim=1) > 1
        cards_NC = None if self.cards_NC is None else self.cards_NC[keep_N]
        return Scores(self.logits_NC[keep_N], self.taken_NC[keep_N], cards_NC)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the scores of N picks come to; all that the figures need."""

    pack_size_N: Ints
    rank_N: Ints
    """From 1: the place of the card taken among the different cards of the pack."""
    nll_N: Floats
    """Minus the natural logarithm of the probability of the card taken."""
    confidence_N: Floats
    """The probability of the card ranked first."""

    @classmethod
    def of(cls, scores: Scores) -> Outcomes:
        logits_NC = scores.logits_NC.double().numpy()
        held_NC = np.isfinite(logits_NC)
        same_NCC = _same_card(scores, held_NC)
        copies_NC = same_NCC.sum(axis=2)
        first_NC = held_NC & (same_NCC.argmax(axis=2) == np.arange(logits_NC.shape[1]))
        # Copies score alike but for rounding; the first one's score counts for all.
        logits_NC = np.where(first_NC, logits_NC, -np.inf)
        best_N = logits_NC.argmax(axis=1)
        taken_N = (scores.taken_NC.numpy() & first_NC).argmax(axis=1)
        rows_N = np.arange(len(logits_NC))
        logit_N1 = logits_NC[rows_N, taken_N][:, None]
        before_NC = np.arange(logits_NC.shape[1]) < taken_N[:, None]
        ahead_NC = (logits_NC > logit_N1) | (first_NC & before_NC & (logits_NC == logit_N1))
        shifted_NC = logits_NC - logits_NC[rows_N, best_N][:, None]
        mass_NC = np.exp(shifted_NC) * copies_NC
        total_N = mass_NC.sum(axis=1)
        nll_N = np.log(total_N) - shifted_NC[rows_N, taken_N] - np.log(copies_NC[rows_N, taken_N])
        return cls(
            pack_size_N=held_NC.sum(axis=1),
            rank_N=1 + ahead_NC.sum(axis=1),
            nll_N=nll_N,
            confidence_N=mass_NC[rows_N, best_N] / total_N,
        )

    @classmethod
    def join(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """The picks of all parts, one part after another."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )

    def select(self, keep_N: npt.NDArray[Any]) -> Outcomes:
        """The picks that an index or a mask chooses."""
        return Outcomes(**{f.name: getattr(self, f.name)[keep_N] for f in fields(self)})

    def unforced(self) -> Outcomes:
        """The picks of packs with more than one card."""
        return self.select(self.pack_size_N > 1)

    def __len__(self) -> int:
        return len(self.rank_N)


def _same_card(scores: Scores, held_NC: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N, C, C) whether two slots hold one card."""
    held_NCC: npt.NDArray[np.bool_] = held_NC[:, :, None] & held_NC[:, None, :]
    if scores.cards_NC is not None:
        cards_NC = scores.cards_NC.numpy()
        held_NCC &= cards_NC[:, :, None] == cards_NC[:, None, :]
    else:
        taken_NC = scores.taken_NC.numpy()
        itself_CC = np.eye(held_NC.shape[1], dtype=np.bool_)
        held_NCC &= itself_CC | (taken_NC[:, :, None] & taken_NC[:, None, :])
    return held_NCC


def choice_nll(logits_BC: Tensor, taken_BC: Tensor) -> Tensor:
    """(B,) minus the log of the probability of the card taken, copies together."""
    taken = logits_BC.masked_fill(~taken_BC, -torch.inf)
    return torch.logsumexp(logits_BC, dim=1) - torch.logsumexp(taken, dim=1)


def top_k(scores: Scores | Outcomes, k: int) -> float:
    """Share of the picks whose card is among the k best; NaN without picks."""
    outcomes = scores if isinstance(scores, Outcomes) else Outcomes.of(scores)
    return float((outcomes.rank_N <= k).mean()) if len(outcomes) else float("nan")


@dataclass(frozen=True, slots=True)
class Reliability:
    """Picks by the probability of the best-ranked card, in bins of equal width over [0, 1].

    A probability on the border of two bins belongs to the upper one, 1 to the last.
    """

    picks: Ints
    confidence: Floats
    """Mean probability of the bin's picks; 0 in an empty bin."""
    accuracy: Floats
    """Share of the bin's picks where the best-ranked card was taken; 0 in an empty bin."""

    @classmethod
    def of(cls, outcomes: Outcomes, bins: int = ECE_BINS) -> Reliability:
        index_N = np.minimum((outcomes.confidence_N * bins).astype(np.int64), bins - 1)
        picks = np.bincount(index_N, minlength=bins)
        some = np.maximum(picks, 1)
        return cls(
            picks,
            np.bincount(index_N, outcomes.confidence_N, bins) / some,
            np.bincount(index_N, outcomes.rank_N == 1, bins) / some,
        )

    @property
    def error(self) -> float:
        """Expected calibration error: the bins' |accuracy - confidence|, weighted by picks."""
        gaps = np.abs(self.accuracy - self.confidence) * self.picks
        return float(gaps.sum() / max(1, self.picks.sum()))


def calibration_error(scores: Scores | Outcomes, bins: int = ECE_BINS) -> float:
    """Expected calibration error (ECE) of the best-ranked card's probability."""
    outcomes = scores if isinstance(scores, Outcomes) else Outcomes.of(scores)
    return Reliability.of(outcomes, bins).error


def summarize(scores: Scores | Outcomes) -> dict[str, float | int]:
    """The figures of a set of picks. Those of unforced picks are NaN when there is none."""
    outcomes = scores if isinstance(scores, Outcomes) else Outcomes.of(scores)
    unforced = outcomes.unforced()
    some = bool(len(unforced))
    return {
        "picks": len(outcomes),
        "unforced_picks": len(unforced),
        "top1_unforced": top_k(unforced, 1),
        "top1_all": top_k(outcomes, 1),
        "top3_unforced": top_k(unforced, 3),
        "mrr_unforced": float((1 / unforced.rank_N).mean()) if some else float("nan"),
        "nll_unforced": float(unforced.nll_N.mean()) if some else float("nan"),
        "ece_unforced": calibration_error(unforced),
    }


def bootstrap_shares(
    hits_D: Floats, picks_D: Ints, seed: int, samples: int = BOOTSTRAP_SAMPLES
) -> Floats:
    """(S,) hits per pick, each over D drafts drawn with replacement.

    The unit is the draft, because the picks of one draft depend on one another. A sample without a
    pick, which takes drafts without any, counts as 0.
    """
    generator = np.random.default_rng([BOOTSTRAP_SEED, seed])
    drafts = len(hits_D)
    shares = np.empty(samples)
    step = max(1, _BOOTSTRAP_CELLS // max(1, drafts))
    for start in range(0, samples, step):
        drawn = generator.integers(0, drafts, (min(step, samples - start), drafts))
        picks = picks_D[drawn].sum(axis=1)
        shares[start : start + len(drawn)] = hits_D[drawn].sum(axis=1) / np.maximum(picks, 1)
    return shares


def interval(shares_S: Floats) -> list[float]:
    """[low, high]: the middle 95 % of the bootstrap's samples."""
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(shares_S, [tail, 1 - tail])
    return [float(low), float(high)]
