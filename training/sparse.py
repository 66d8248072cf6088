"""Card features as the few that are not zero.

Of some 2 000 features a card has about 40. Encoding a step's 1 200 cards from those alone takes
16 ms instead of 31, forwards and backwards, on one thread.

Legend: X cards, F features, E entries (not-zero features of all cards), D card width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.encoder import SharedCardEncoder


@dataclass(frozen=True, slots=True)
class SparseFeatures:
    """A feature matrix (X, F), row after row."""

    feature_E: Tensor
    """Which feature."""
    value_E: Tensor
    size_X: Tensor
    """Entries of each card; may be 0."""

    @classmethod
    def of(cls, features_XF: npt.NDArray[np.float32]) -> SparseFeatures:
        cards, features = np.nonzero(features_XF)
        sizes = np.bincount(cards, minlength=len(features_XF))
        return cls(
            feature_E=torch.from_numpy(features),
            value_E=torch.from_numpy(features_XF[cards, features]),
            size_X=torch.from_numpy(sizes),
        )

    @classmethod
    def join(cls, parts: Sequence[SparseFeatures]) -> SparseFeatures:
        """The cards of all parts, one part after another."""
        return cls(
            feature_E=torch.cat([part.feature_E for part in parts]),
            value_E=torch.cat([part.value_E for part in parts]),
            size_X=torch.cat([part.size_X for part in parts]),
        )

    def to(self, device: torch.device | None) -> SparseFeatures:
        return SparseFeatures(
            self.feature_E.to(device), self.value_E.to(device), self.size_X.to(device)
        )

    def __len__(self) -> int:
        return len(self.size_X)


def encode(
    encoder: SharedCardEncoder, cards: SparseFeatures, feature_dropout: float = 0.0
) -> Tensor:
    """`encoder` on these cards, (X, D): the same as on the dense matrix.

    With `feature_dropout`, each entry is hidden with that probability and the others are scaled
    up, as `nn.functional.dropout` would do to the dense matrix.
    """
    value_E = nn.functional.dropout(cards.value_E, feature_dropout, training=feature_dropout > 0)
    start_X = torch.cumsum(cards.size_X, 0) - cards.size_X
    hidden_XH = nn.functional.embedding_bag(
        cards.feature_E,
        encoder.hidden.weight.t(),
        start_X,
        mode="sum",
        per_sample_weights=value_E,
    )
    hidden_XH = encoder.dropout(encoder.activation(hidden_XH + encoder.hidden.bias))
    vectors_XD: Tensor = encoder.norm(encoder.output(hidden_XH))
    return vectors_XD
