"""The scorer that serves, beside the network that was trained."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from model.collate import collate_rows
from model.features import CardEncoderConfig
from model.network import DraftModel, DraftModelConfig
from model.scoring import PickScorer

CARDS = 50
TRAINED = range(20)
hands = st.tuples(
    st.lists(st.integers(0, CARDS - 1), min_size=1, max_size=15),
    st.lists(st.integers(0, CARDS - 1), max_size=45),
)


@pytest.fixture(scope="module")
def model() -> DraftModel:
    torch.manual_seed(11)
    encoder = CardEncoderConfig(text_bins=32, hidden_dim=24, card_dim=16)
    model = DraftModel(DraftModelConfig(encoder, hidden_dim=20)).eval()
    model.inverse_temperature.copy_(torch.tensor([0.5, 0.9]))
    return model


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(CARDS, 16, generator=torch.Generator().manual_seed(12))


def padded(hands, slots):
    rows = torch.tensor([[*hand, *[0] * (slots - len(hand))] for hand in hands]).long()
    mask = torch.arange(slots) < torch.tensor([[len(hand)] for hand in hands])
    return rows.view(len(hands), slots), mask


def batch_of(picks):
    rows = [row for pack, _ in picks for row in pack] + [row for _, pool in picks for row in pool]
    sizes = [len(pack) for pack, _ in picks], [len(pool) for _, pool in picks]
    return collate_rows(np.array(rows, np.int64), *sizes)


@given(st.lists(hands, min_size=1, max_size=8))
@settings(max_examples=100)
def test_scores_are_those_of_the_network(model, vectors, picks):
    packs, pack_mask = padded([pack for pack, _ in picks], 15)
    pools, pool_mask = padded([pool for _, pool in picks], 45)
    share = torch.tensor([np.mean([row in TRAINED for row in pack]) for pack, _ in picks]).float()
    with torch.no_grad():
        logits, _ = model.score(vectors[packs], vectors[pools], pack_mask, pool_mask, share)
    trained = np.array([row in TRAINED for row in range(CARDS)], np.float32)
    scores = PickScorer(model).score(vectors, trained, batch_of(picks))
    torch.testing.assert_close(torch.from_numpy(scores), logits[pack_mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "pack_sizes", "pool_sizes", "wrong"),
    [
        ([], [], [], "at least one pick"),
        ([1], [1, 0], [0, 0], "at least one card"),
        ([1, 2], [1], [0], "2 rows for packs and pools of 1"),
    ],
)
def test_batches_that_cannot_be_laid_out(rows, pack_sizes, pool_sizes, wrong):
    with pytest.raises(ValueError, match=wrong):
        collate_rows(np.array(rows, np.int64), pack_sizes, pool_sizes)


def test_packs_and_pools_lie_behind_one_another():
    batch = batch_of([([7, 8, 9], [1]), ([5], []), ([3, 4], [2, 2])])
    assert batch.rows.tolist() == [7, 8, 9, 5, 3, 4, 1, 2, 2]
    assert batch.pack_rows.tolist() == [7, 8, 9, 5, 3, 4]
    assert batch.pack_starts.tolist() == [0, 3, 4]
    assert batch.pick_N.tolist() == [0, 0, 0, 1, 2, 2]
    assert batch.starts.tolist() == [0, 3, 4, 6, 7, 7]
    assert batch.sizes.tolist() == [3, 1, 2, 1, 0, 2]
