"""What training learns of single cards, beyond what their attributes say.

Each distinct card of the training sets has a vector of its own, which is added to what the encoder
makes of its attributes. It takes from the encoder the burden of telling apart cards that read
alike, and at export it is folded into the card table, so that it costs nothing to serve.

A card that is met for the first time has none. So in training whole sets and single cards go
without, now and then: the encoder has to do alone, and the network learns to work with both.

Legend: X cards of the sets drawn, D card width, I distinct cards of the training sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.card_table import fold_name
from training.corpus import TrainingSet

NONE = -1


class CardIdentities(nn.Module):
    """A vector (D,) for each distinct card of the sets, by folded name; all zero at first.

    A card's printings in several sets share one. Cards whose `identity_X` is false have none.
    """

    def __init__(self, sets: Sequence[TrainingSet], card_dim: int) -> None:
        super().__init__()
        named: dict[str, str] = {}
        for each in sets:
            for name, learns in zip(each.dataset.cards, each.identity_X, strict=True):
                if learns:
                    named.setdefault(fold_name(name), name)
        self._row = {key: row for row, key in enumerate(named)}
        self.names = tuple(named.values())
        """The cards' names, as the first of their draft files writes them."""
        # One row at least: torch refuses to look nothing up in an empty table.
        self.vectors = nn.Parameter(torch.zeros(max(1, len(self._row)), card_dim))

    def __len__(self) -> int:
        """I"""
        return len(self._row)

    def rows(self, names: Sequence[str]) -> Tensor:
        """int64 (X,) rows of these cards in `vectors`, `NONE` for cards without one."""
        return torch.tensor([self._row.get(fold_name(name), NONE) for name in names])

    def forward(self, rows_X: Tensor, keep_X: Tensor | None = None) -> Tensor:
        """(X, D) the cards' vectors; zero where there is none, or where `keep_X` is false."""
        known_X = rows_X != NONE
        if keep_X is not None:
            known_X = known_X & keep_X
        found_XD = nn.functional.embedding(rows_X.clamp(min=0), self.vectors)
        return found_XD * known_X.unsqueeze(1)
