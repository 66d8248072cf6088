"""The baselines against counts by hand and plain loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.cards import Card
from tests.unit.training.samples import CARDS, Row, draft_csv, simulated_drafts
from training import baselines
from training.baselines import baseline_hits
from training.dataset import PickDataset
from training.seventeenlands import read_drafts

A, B, C, D = CARDS[:4]
Write = Callable[..., Path]
NOTHING_KNOWN = [None] * len(CARDS)


def dataset_of(write: Write, rows: list[Row]) -> PickDataset:
    return PickDataset(read_drafts(write("drafts.csv", draft_csv(rows))))


def hits_of(dataset: PickDataset, cards: list[Card | None] = NOTHING_KNOWN) -> dict:
    return baseline_hits(dataset, np.arange(len(dataset)), cards)


def test_random_is_right_once_in_as_many_cards_and_copies_count(write: Write) -> None:
    dataset = dataset_of(write, [Row([A, B, C, D], A), Row([A, A, B], A), Row([A], A)])
    assert hits_of(dataset)["random"].tolist() == [1 / 4, 2 / 3, 1.0]


def test_the_highest_rarity_shares_ties(write: Write) -> None:
    rarities = {A: "mythic", B: "rare", C: "common", D: "rare"}
    cards = [Card(name=name, rarity=rarities.get(name)) for name in sorted(CARDS)]
    dataset = dataset_of(
        write, [Row([A, B, C], A), Row([B, C, D], B), Row([B, C, D], C), Row([C, CARDS[5]], C)]
    )
    # The last pack: a common card and one of no known rarity count alike.
    assert hits_of(dataset, cards)["highest_rarity"].tolist() == [1.0, 0.5, 0.0, 0.5]


def test_a_draft_has_no_say_in_its_own_baseline(write: Write) -> None:
    """Alone in its file, a draft is judged by nothing: the choice is random."""
    alone = dataset_of(write, [Row([A, B], A), Row([A, C], A), Row([A, D], A)])
    assert hits_of(alone)["most_picked"].tolist() == [0.5] * 3
    rows = [Row([A, B], A), Row([A, C], A), Row([B, A], B, draft_id="d2")]
    two = dataset_of(write, rows)
    # The first draft sees the other take B over A; the second sees A taken twice, B never.
    assert hits_of(two)["most_picked"].tolist() == [0.0, 0.0, 0.0]


def test_forced_picks_are_no_evidence(write: Write) -> None:
    rows = [Row([A, B], A), *[Row([B], B, draft_id="d2")] * 9, Row([A, B], A, draft_id="d3")]
    assert hits_of(dataset_of(write, rows))["most_picked"][0] == 1.0


def test_pick_rates_are_those_of_a_plain_loop(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = simulated_drafts(9, seed=4)
    # Not always the strongest card, copies, and drafts whose rows alternate.
    rows = [Row([*r.pack, r.pack[-1]], r.pack[n % len(r.pack)], (), r.draft_id)
            for n, r in enumerate(rows)]  # fmt: skip
    rows = rows[::2] + rows[1::2]
    monkeypatch.setattr(baselines, "CHUNK", 20)
    found = hits_of(dataset_of(write, rows))["most_picked"]
    for number, row in enumerate(rows):
        others = [r for r in rows if r.draft_id != row.draft_id and len(r.pack) > 1]
        seen = {card: sum(card in r.pack for r in others) for card in CARDS}
        taken = {card: sum(r.pick == card for r in others) for card in CARDS}
        average = sum(taken.values()) / sum(seen.values())
        rate = {card: (taken[card] + average) / (seen[card] + 1) for card in CARDS}
        best = max(rate[card] for card in row.pack)
        slots = [card for card in row.pack if rate[card] == pytest.approx(best)]
        assert found[number] == pytest.approx(slots.count(row.pick) / len(slots))
    assert 0.2 < found.mean() < 0.8


def test_rows_may_come_in_any_order(write: Write) -> None:
    dataset = dataset_of(write, simulated_drafts(5))
    rows = np.random.default_rng(0).permutation(len(dataset))
    shuffled, ordered = baseline_hits(dataset, rows, NOTHING_KNOWN), hits_of(dataset)
    for name in baselines.NAMES:
        np.testing.assert_array_equal(shuffled[name], ordered[name][rows])
