"""Figures of picks, each against a count by hand or a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import (
    ECE_BINS,
    Outcomes,
    Reliability,
    Scores,
    bootstrap_shares,
    calibration_error,
    choice_nll,
    interval,
    summarize,
    top_k,
)

MINUS = -torch.inf


def scores_of(logits: list[list[float]], picks: list[int], cards: list[list[int]]) -> Scores:
    """Scores of picks that took the card in slot `picks[n]`."""
    cards_NC = torch.tensor(cards)
    taken_NC = cards_NC == cards_NC[torch.arange(len(picks)), torch.tensor(picks)].unsqueeze(1)
    logits_NC = torch.tensor(logits)
    return Scores(logits_NC, taken_NC & torch.isfinite(logits_NC), cards_NC)


def test_figures_of_picks_counted_by_hand() -> None:
    scores = scores_of(
        [[2.0, 1.0, 0.0], [0.0, 1.0, MINUS], [5.0, MINUS, MINUS]],
        [0, 0, 0],
        [[0, 1, 2], [3, 4, 0], [5, 0, 0]],
    )
    figures = summarize(scores)
    assert (figures["picks"], figures["unforced_picks"]) == (3, 2)
    assert figures["top1_unforced"] == 0.5
    assert figures["top1_all"] == pytest.approx(2 / 3)
    assert figures["top3_unforced"] == 1.0
    assert figures["mrr_unforced"] == pytest.approx((1 + 1 / 2) / 2)
    expected = -np.log(np.exp(2) / np.exp([2, 1, 0]).sum()) - np.log(1 / (1 + np.e))
    assert figures["nll_unforced"] == pytest.approx(expected / 2)
    # Sure of the first with 0.665 and right, of the second with 0.731 and wrong.
    sure = [np.exp(2) / np.exp([2, 1, 0]).sum(), np.e / (1 + np.e)]
    assert figures["ece_unforced"] == pytest.approx((1 - sure[0] + sure[1]) / 2)


def test_copies_are_one_card() -> None:
    """Slots 0 to 2 hold one card: the card of slot 4 is third of three, not fifth of five."""
    scores = scores_of([[1.0, 1.0, 1.0, 0.5, 0.0]], [4], [[7, 7, 7, 8, 9]])
    outcomes = Outcomes.of(scores)
    assert outcomes.rank_N.tolist() == [3]
    assert top_k(scores, 3) == 1.0
    mass = 3 * math.e + math.exp(0.5) + 1
    assert outcomes.confidence_N[0] == pytest.approx(3 * math.e / mass)
    assert outcomes.nll_N[0] == pytest.approx(math.log(mass))
    assert outcomes.pack_size_N.tolist() == [5]


def test_copies_of_the_card_taken_count_together() -> None:
    scores = scores_of([[0.0, 0.0, 0.0]], [1], [[4, 4, 5]])
    assert summarize(scores)["nll_unforced"] == pytest.approx(-np.log(2 / 3))
    assert summarize(scores)["top1_unforced"] == 1.0
    without_cards = Scores(scores.logits_NC, scores.taken_NC)
    assert summarize(without_cards) == summarize(scores)


def test_copies_do_not_lift_a_card_over_a_better_one() -> None:
    """The server ranks slots: two copies at 0.3 each stand behind one card at 0.4."""
    logits = np.log([0.3, 0.3, 0.4]).tolist()
    assert Outcomes.of(scores_of([logits], [0], [[4, 4, 5]])).rank_N.tolist() == [2]


def test_equal_scores_rank_in_the_order_of_the_pack() -> None:
    scores = scores_of([[0.0, 0.0, 0.0]] * 3, [0, 1, 2], [[1, 2, 3]] * 3)
    assert Outcomes.of(scores).rank_N.tolist() == [1, 2, 3]


@st.composite
def some_picks(draw: st.DrawFn) -> tuple[list[list[float]], list[int], list[list[int]]]:
    logits, picks, cards = [], [], []
    for _ in range(draw(st.integers(1, 5))):
        pack = draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
        values = {card: draw(st.floats(-20, 20, width=32)) for card in sorted(set(pack))}
        empty = 5 - len(pack)
        logits.append([values[card] for card in pack] + [MINUS] * empty)
        cards.append(pack + [0] * empty)
        picks.append(draw(st.integers(0, len(pack) - 1)))
    return logits, picks, cards


@given(some_picks())
def test_outcomes_are_those_of_a_plain_loop(
    picks: tuple[list[list[float]], list[int], list[list[int]]],
) -> None:
    outcomes = Outcomes.of(scores_of(*picks))
    for n, (logits, pick, cards) in enumerate(zip(*picks, strict=True)):
        pack = [card for card, logit in zip(cards, logits, strict=True) if logit > MINUS]
        share: dict[int, float] = {}
        total = sum(math.exp(logit) for logit in logits)
        for card, logit in zip(pack, logits, strict=False):
            share[card] = share.get(card, 0.0) + math.exp(logit) / total
        order = sorted(dict.fromkeys(pack), key=lambda card: -logits[pack.index(card)])
        assert outcomes.pack_size_N[n] == len(pack)
        assert outcomes.rank_N[n] == 1 + order.index(pack[pick])
        assert outcomes.nll_N[n] == pytest.approx(-math.log(share[pack[pick]]), abs=1e-9)
        assert outcomes.confidence_N[n] == pytest.approx(share[order[0]])


def test_the_loss_is_the_outcomes_nll() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 6, generator=generator).double()
    cards = torch.randint(0, 4, (50, 6), generator=generator)
    taken = cards == cards[:, :1]
    # Copies get one score; the network gives it to them, here the test has to.
    logits = torch.stack(
        [row[[c.index(v) for v in c]] for row, c in zip(logits, cards.tolist(), strict=True)]
    )
    outcomes = Outcomes.of(Scores(logits, taken, cards))
    np.testing.assert_allclose(outcomes.nll_N, choice_nll(logits, taken).numpy(), atol=1e-12)


def outcomes_of(confidence: np.ndarray, right: np.ndarray) -> Outcomes:
    return Outcomes(
        pack_size_N=np.full(len(right), 9),
        rank_N=np.where(right, 1, 2),
        nll_N=np.ones(len(right)),
        confidence_N=confidence,
    )


def test_the_calibration_error_is_that_of_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    confidence = np.concatenate([generator.random(2000), [0.0, 1.0, 1 / ECE_BINS]])
    right = generator.random(len(confidence)) < confidence**1.5
    expected = 0.0
    for number in range(ECE_BINS):
        inside = [
            n
            for n, value in enumerate(confidence)
            if min(int(value * ECE_BINS), ECE_BINS - 1) == number
        ]
        if inside:
            gap = np.mean(right[inside]) - np.mean(confidence[inside])
            expected += len(inside) / len(confidence) * abs(gap)
    assert expected > 0.05
    assert calibration_error(outcomes_of(confidence, right)) == pytest.approx(expected)


def test_reliability_bins_hold_all_picks() -> None:
    bins = Reliability.of(outcomes_of(np.array([0.05, 0.5, 1.0]), np.array([False, True, True])))
    assert bins.picks.tolist() == [1] + [0] * 6 + [1] + [0] * 6 + [1]
    assert bins.confidence[7] == 0.5
    assert bins.accuracy.tolist() == [0.0] * 7 + [1.0] + [0.0] * 6 + [1.0]


def test_the_interval_of_equal_drafts_is_that_of_the_binomial() -> None:
    """400 drafts of one pick each: the interval must be p ± 1.96 sqrt(p (1 - p) / 400)."""
    hits = (np.arange(400) < 240).astype(float)
    low, high = interval(bootstrap_shares(hits, np.ones(400, np.int64), seed=1))
    half = 1.96 * math.sqrt(0.6 * 0.4 / 400)
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.006)


def test_the_interval_knows_that_picks_of_a_draft_go_together() -> None:
    """40 drafts that are right always or never are 40 facts, not 1 600."""
    hits = np.where(np.arange(40) < 24, 40.0, 0.0)
    low, high = interval(bootstrap_shares(hits, np.full(40, 40), seed=1))
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.6 * 0.4 / 40), rel=0.1)


def test_the_bootstrap_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    hits, picks = np.arange(30.0), np.full(30, 40)
    whole = bootstrap_shares(hits, picks, seed=3, samples=50)
    monkeypatch.setattr("training.metrics._BOOTSTRAP_CELLS", 100)
    np.testing.assert_array_equal(bootstrap_shares(hits, picks, seed=3, samples=50), whole)
    assert not np.array_equal(bootstrap_shares(hits, picks, seed=4, samples=50), whole)
