"""Properties that every draft network must have, on random weights and random batches."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from model.encoder import SharedCardEncoder
from model.features import CardEncoderConfig
from model.network import DraftModel, DraftModelConfig

CONFIG = DraftModelConfig(
    CardEncoderConfig(text_bins=32, hidden_dim=24, card_dim=16), hidden_dim=20
)
FEATURES = CONFIG.encoder.input_dim
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}

sizes = st.lists(st.tuples(st.integers(1, 15), st.integers(0, 45)), min_size=1, max_size=6)
seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module", autouse=True)
def _deterministic():
    torch.manual_seed(7)


@pytest.fixture(scope="module")
def model() -> DraftModel:
    torch.manual_seed(7)
    return DraftModel(CONFIG).eval()


def batch(sizes, seed, pack_slots=None, pool_slots=None):
    """Random features with everything in the empty slots set to garbage."""
    generator = torch.Generator().manual_seed(seed)
    slots = pack_slots or max(pack for pack, _ in sizes)
    pool_slots = pool_slots if pool_slots is not None else max(pool for _, pool in sizes)
    pack = torch.randn(len(sizes), slots, FEATURES, generator=generator)
    pool = torch.randn(len(sizes), pool_slots, FEATURES, generator=generator)
    pack_mask = torch.arange(slots) < torch.tensor([[pack] for pack, _ in sizes])
    pool_mask = torch.arange(pool_slots) < torch.tensor([[pool] for _, pool in sizes])
    return pack, pool, pack_mask, pool_mask


def run(model, *inputs):
    with torch.no_grad():
        return model(*inputs)


@given(sizes, seeds)
@settings(deadline=None, max_examples=40)
def test_shapes_masks_and_finite_scores(model, sizes, seed):
    pack, pool, pack_mask, pool_mask = batch(sizes, seed)
    logits, value = run(model, pack, pool, pack_mask, pool_mask)
    assert logits.shape == pack_mask.shape
    assert value.shape == (len(sizes),)
    assert torch.isfinite(logits[pack_mask]).all()
    assert (logits[~pack_mask] == -torch.inf).all()
    assert torch.isfinite(value).all()


@given(sizes, seeds)
@settings(deadline=None, max_examples=40)
def test_order_of_the_pack_permutes_the_scores(model, sizes, seed):
    pack, pool, pack_mask, pool_mask = batch(sizes, seed)
    order = torch.randperm(pack.shape[1], generator=torch.Generator().manual_seed(seed))
    logits, value = run(model, pack, pool, pack_mask, pool_mask)
    shuffled, same_value = run(model, pack[:, order], pool, pack_mask[:, order], pool_mask)
    torch.testing.assert_close(shuffled, logits[:, order], **TOLERANCE)
    torch.testing.assert_close(same_value, value, **TOLERANCE)


@given(sizes, seeds)
@settings(deadline=None, max_examples=40)
def test_order_of_the_pool_never_matters(model, sizes, seed):
    pack, pool, pack_mask, pool_mask = batch(sizes, seed)
    order = torch.randperm(pool.shape[1], generator=torch.Generator().manual_seed(seed))
    expected = run(model, pack, pool, pack_mask, pool_mask)
    actual = run(model, pack, pool[:, order], pack_mask, pool_mask[:, order])
    torch.testing.assert_close(actual, expected, **TOLERANCE)


@given(sizes, seeds, st.sampled_from([0.0, 1e6, float("inf"), float("nan")]))
@settings(deadline=None, max_examples=40)
def test_padding_never_matters(model, sizes, seed, garbage):
    pack, pool, pack_mask, pool_mask = batch(sizes, seed)
    logits, value = run(model, pack, pool, pack_mask, pool_mask)
    wide_pack = torch.full((len(sizes), 15, FEATURES), garbage)
    wide_pool = torch.full((len(sizes), 45, FEATURES), garbage)
    wide_pack_mask = torch.zeros(len(sizes), 15)
    wide_pool_mask = torch.zeros(len(sizes), 45)
    wide_pack[:, : pack.shape[1]][pack_mask] = pack[pack_mask]
    wide_pool[:, : pool.shape[1]][pool_mask] = pool[pool_mask]
    wide_pack_mask[:, : pack.shape[1]] = pack_mask
    wide_pool_mask[:, : pool.shape[1]] = pool_mask
    wide, wide_value = run(model, wide_pack, wide_pool, wide_pack_mask, wide_pool_mask)
    torch.testing.assert_close(wide[:, : pack.shape[1]], logits, **TOLERANCE)
    assert (wide[:, pack.shape[1] :] == -torch.inf).all()
    torch.testing.assert_close(wide_value, value, **TOLERANCE)


@given(sizes, seeds)
@settings(deadline=None, max_examples=30)
def test_a_pick_does_not_depend_on_its_batch(model, sizes, seed):
    pack, pool, pack_mask, pool_mask = batch(sizes, seed)
    together, _ = run(model, pack, pool, pack_mask, pool_mask)
    for row in range(len(sizes)):
        one = slice(row, row + 1)
        alone, _ = run(model, pack[one], pool[one], pack_mask[one], pool_mask[one])
        torch.testing.assert_close(alone, together[one], **TOLERANCE)


@given(st.integers(1, 15), seeds)
@settings(deadline=None, max_examples=30)
def test_first_pick_with_an_empty_pool_is_finite(model, cards, seed):
    pack, _, pack_mask, _ = batch([(cards, 0)], seed)
    without = run(model, pack, torch.empty(1, 0, FEATURES), pack_mask, torch.empty(1, 0))
    masked = run(model, pack, torch.zeros(1, 45, FEATURES), pack_mask, torch.zeros(1, 45))
    assert torch.isfinite(without[0]).all()
    torch.testing.assert_close(masked, without, **TOLERANCE)


@given(st.integers(2, 15), st.integers(0, 45), seeds)
@settings(deadline=None, max_examples=30)
def test_copies_of_a_card_tie(model, cards, pool_size, seed):
    pack, pool, pack_mask, pool_mask = batch([(cards, pool_size)], seed)
    pack[0, -1] = pack[0, 0]
    logits, _ = run(model, pack, pool, pack_mask, pool_mask)
    torch.testing.assert_close(logits[0, -1], logits[0, 0], **TOLERANCE)


def test_the_pool_matters_and_other_cards_of_the_pack_do_not(model):
    pack, pool, pack_mask, pool_mask = batch([(6, 8)], 3)
    logits, _ = run(model, pack, pool, pack_mask, pool_mask)
    no_pool, _ = run(model, pack, pool, pack_mask, torch.zeros_like(pool_mask))
    other = pack.clone()
    other[0, 5] += 1.0
    other_pack, _ = run(model, other, pool, pack_mask, pool_mask)
    gaps = logits[0, 1:] - logits[0, 0]
    assert not torch.allclose(gaps, no_pool[0, 1:] - no_pool[0, 0], atol=1e-4)
    torch.testing.assert_close(other_pack[0, :5], logits[0, :5], **TOLERANCE)
    assert not torch.allclose(other_pack[0, 5], logits[0, 5], atol=1e-4)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(7)
    model = DraftModel(CONFIG).train()
    pack, pool, pack_mask, pool_mask = batch([(15, 20), (3, 0), (8, 45)], 5)
    logits, value = model(pack, pool, pack_mask, pool_mask)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])) + value.square().sum()
    loss.backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert without == []


def test_the_temperature_follows_the_share_of_trained_cards(model):
    hot = DraftModel(CONFIG).eval()
    hot.load_state_dict(model.state_dict())
    hot.inverse_temperature.copy_(torch.tensor([0.5, 0.9]))
    pack, pool, pack_mask, pool_mask = batch([(5, 3)] * 3, 11)
    with torch.no_grad():
        cards = model.encoder(pack), model.encoder(pool)
        plain, _ = model.score(*cards, pack_mask, pool_mask)
        shares = torch.tensor([0.0, 0.25, 1.0])
        scaled, _ = hot.score(*cards, pack_mask, pool_mask, shares)
        by_attributes, _ = hot(pack, pool, pack_mask, pool_mask)
    factors = torch.tensor([[0.5], [0.6], [0.9]])
    torch.testing.assert_close(scaled, plain * factors, **TOLERANCE)
    torch.testing.assert_close(by_attributes, plain * 0.5, **TOLERANCE)


def test_the_encoder_takes_any_leading_shape():
    torch.manual_seed(7)
    encoder = SharedCardEncoder(CONFIG.encoder).eval()
    cards = torch.randn(2, 3, FEATURES)
    with torch.no_grad():
        torch.testing.assert_close(encoder(cards)[1, 2], encoder(cards[1, 2]), **TOLERANCE)
        assert encoder(cards).shape == (2, 3, 16)


@pytest.mark.parametrize("fields", [{"hidden_dim": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_sizes_that_cannot_be_built_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        DraftModelConfig(**fields)
