"""The sparse way through the encoder is the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.encoder import SharedCardEncoder
from model.features import CardEncoderConfig
from training.sparse import SparseFeatures, encode

CONFIG = CardEncoderConfig(text_bins=64, hidden_dim=32, card_dim=16, dropout=0.5)


def random_features(cards: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(cards, CONFIG.input_dim)).astype(np.float32)
    features[generator.random(features.shape) < 0.9] = 0
    return features


def test_an_identity_is_added_to_what_the_attributes_say() -> None:
    torch.manual_seed(0)
    encoder = SharedCardEncoder(CONFIG).eval()
    features = random_features(4, 1)
    identity = torch.zeros(4, CONFIG.card_dim)
    identity[2] = torch.randn(CONFIG.card_dim)
    dense = encoder(torch.from_numpy(features), identity)
    sparse = encode(encoder, SparseFeatures.of(features), identity_XD=identity)
    torch.testing.assert_close(sparse, dense)
    alone = encoder(torch.from_numpy(features))
    others = [0, 1, 3]
    torch.testing.assert_close(dense[others], alone[others], rtol=0, atol=0)
    assert not torch.allclose(dense[2], alone[2], atol=0.1)


def test_vectors_and_gradients_are_those_of_the_dense_matrix() -> None:
    torch.manual_seed(0)
    dense, sparse = SharedCardEncoder(CONFIG).eval(), SharedCardEncoder(CONFIG).eval()
    sparse.load_state_dict(dense.state_dict())
    features = random_features(9, 1)
    features[4] = 0  # a card without any feature
    weights = torch.randn(9, CONFIG.card_dim)
    expected = dense(torch.from_numpy(features))
    found = encode(sparse, SparseFeatures.of(features))
    torch.testing.assert_close(found, expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for own, other in zip(sparse.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_parts_are_joined_in_order() -> None:
    encoder = SharedCardEncoder(CONFIG).eval()
    parts = [random_features(cards, cards) for cards in (3, 1, 5)]
    joined = SparseFeatures.join([SparseFeatures.of(part) for part in parts])
    assert len(joined) == 9
    expected = encoder(torch.from_numpy(np.concatenate(parts)))
    torch.testing.assert_close(encode(encoder, joined), expected)


def test_feature_dropout_hides_and_scales() -> None:
    encoder = SharedCardEncoder(CardEncoderConfig(64, 32, 16, 0.0))
    features = SparseFeatures.of(random_features(50, 2))
    torch.manual_seed(3)
    # Half of the features of the first 25 cards, none of the others.
    dropout = torch.where(torch.arange(50) < 25, 0.5, 0.0)
    dropped = encode(encoder, features, dropout)
    torch.manual_seed(3)
    kept = torch.rand(len(features.value_E)) >= 0.5
    first = int(features.size_X[:25].sum())
    value = torch.cat([(features.value_E * kept * 2)[:first], features.value_E[first:]])
    assert 0.4 < float((value[:first] == 0).float().mean()) < 0.6
    expected = SparseFeatures(features.feature_E, value, features.size_X)
    torch.testing.assert_close(dropped, encode(encoder, expected))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(dropped[:25], encode(encoder, features)[:25])
