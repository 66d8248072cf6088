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
    encoder: SharedCardEncoder,
    cards: SparseFeatures,
    feature_dropout: Tensor | None = None,
    identity_XD: Tensor | None = None,
) -> Tensor:
    """`encoder` on these cards, (X, D): the same as on the dense matrix.

    `feature_dropout` (X,) is each card's probability of hiding an entry; the others are scaled up,
    as `nn.functional.dropout` would do to the dense matrix.
    """
    value_E = cards.value_E
    if feature_dropout is not None:
        hidden_E = torch.repeat_interleave(feature_dropout, cards.size_X, output_size=len(value_E))
        value_E = value_E * (torch.rand_like(value_E) >= hidden_E) / (1 - hidden_E)
    start_X = torch.cumsum(cards.size_X, 0) - cards.size_X
    first_XH = nn.functional.embedding_bag(
        cards.feature_E,
        encoder.hidden.weight.t().contiguous(),  # else each entry gathers a column
        start_X,
        mode="sum",
        per_sample_weights=value_E,
    )
    return encoder.finish(first_XH + encoder.hidden.bias, identity_XD)
