"""From card features to card vectors: the same weights for every card of every set.

Shape legend: N cards, F features, H hidden, D card width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from model.features import CardEncoderConfig


class SharedCardEncoder(nn.Module):
    """Two-layer perceptron over a card's attributes, `(..., F) -> (..., D)`.

    It sees nothing but attributes and rules text, so it encodes cards that did not exist when
    it was trained. What training learnt of a single card beyond its attributes, its `identity`, is
    added before the closing LayerNorm. That keeps all vectors on one scale, which makes them safe
    to store with eight bits in the card table.
    """

    def __init__(self, config: CardEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or CardEncoderConfig()
        self.hidden = nn.Linear(self.config.input_dim, self.config.hidden_dim)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(self.config.dropout)
        self.output = nn.Linear(self.config.hidden_dim, self.config.card_dim)
        self.norm = nn.LayerNorm(self.config.card_dim)

    def forward(self, features: Tensor, identity: Tensor | None = None) -> Tensor:
        """`features` (..., F) and, for cards that have one, `identity` (..., D) to (..., D)."""
        return self.finish(self.hidden(features), identity)

    def finish(self, hidden: Tensor, identity: Tensor | None = None) -> Tensor:
        """`forward` after the first layer: (..., H) to (..., D)."""
        output = self.output(self.dropout(self.activation(hidden)))
        return cast(Tensor, self.norm(output if identity is None else output + identity))
