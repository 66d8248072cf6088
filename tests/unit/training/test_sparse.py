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
    dropped = encode(encoder, features, feature_dropout=0.5)
    torch.manual_seed(3)
    value = torch.nn.functional.dropout(features.value_E, 0.5)
    assert 0.4 < float((value == 0).float().mean()) < 0.6
    kept = SparseFeatures(features.feature_E, value, features.size_X)
    torch.testing.assert_close(dropped, encode(encoder, kept))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(dropped, encode(encoder, features))
