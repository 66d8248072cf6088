"""The draft network: which card of the pack would a strong drafter take, given the pool?

Shape legend: B batch, C pack slots, P pool slots, F features, D card width, H hidden.

Notable choices:
* a card's score is the product of its vector with what the pool asks for. What it is worth by
  itself is in there: what an empty pool asks for;
* the other cards of the pack are no input. Seeing their mean was worth 0.001 of top-1 on known sets
  and cost 0.005 on sets never seen (training/LOG.md);
* the pool enters as a bag of card vectors. It costs one sum per pick instead of attention over
  45 slots, which keeps a pick at a small fraction of what the server around it costs;
* masked slots are cleared before any reduction, so whatever stands in them is without effect;
* draft progress is read off the masks (cards in the pool, cards left in the pack).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from model.cards import PACK_MAX, POOL_MAX
from model.encoder import SharedCardEncoder
from model.features import CardEncoderConfig

PROGRESS_DIM = 4


@dataclass(frozen=True, slots=True)
class DraftModelConfig:
    """Sizes of the network. Raises ValueError for sizes that cannot be built."""

    encoder: CardEncoderConfig = field(default_factory=CardEncoderConfig)
    hidden_dim: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.hidden_dim < 1:
            raise ValueError(f"hidden_dim must be at least 1, not {self.hidden_dim}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")


class DraftModel(nn.Module):
    """`(pack, pool, pack_mask, pool_mask) -> (logits, value)`.

    Args of `forward`:
        pack: (B, C, F) features of the cards to choose from.
        pool: (B, P, F) features of the cards already drafted; P may be 0.
        pack_mask: (B, C), true (or 1) where a slot holds a card; at least one a row.
        pool_mask: (B, P), likewise; a row may be empty (the first pick).

    Returns:
        logits: (B, C), `-inf` in masked slots.
        value: (B,), expected share of the event's wins, in logits.
    """

    inverse_temperature: Tensor
    """(2,) factors on the logits: of packs of unknown cards, and of packs of trained cards."""

    def __init__(self, config: DraftModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or DraftModelConfig()
        card_dim, hidden_dim = self.config.encoder.card_dim, self.config.hidden_dim
        self.encoder = SharedCardEncoder(self.config.encoder)
        self.context = nn.Sequential(
            nn.Linear(2 * card_dim + PROGRESS_DIM, hidden_dim),
            nn.ReLU(),
            nn.Dropout(self.config.dropout),
        )
        self.affinity = nn.Linear(hidden_dim, card_dim)
        self.value_head = nn.Linear(hidden_dim, 1)
        # Fitted on held-out drafts after training; a buffer, so that it travels with the weights.
        self.register_buffer("inverse_temperature", torch.ones(2))

    def forward(
        self, pack: Tensor, pool: Tensor, pack_mask: Tensor, pool_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.score(self.encoder(pack), self.encoder(pool), pack_mask, pool_mask)

    def score(
        self,
        pack_BCD: Tensor,
        pool_BPD: Tensor,
        pack_mask_BC: Tensor,
        pool_mask_BP: Tensor,
        trained_share_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`forward` on cards that are encoded already: (B, C, D) and (B, P, D).

        `trained_share_B` is the share of each pack's cards that the model was trained on, from 0
        (as without it) to 1: of other cards it is less sure than it would be.
        """
        pool_mask_BP = pool_mask_BP.bool()
        pool_sum_BD = pool_BPD.masked_fill(~pool_mask_BP.unsqueeze(-1), 0.0).sum(dim=1)
        return self.score_with_pool_sum(
            pack_BCD, pool_sum_BD, pack_mask_BC, pool_mask_BP.sum(dim=1), trained_share_B
        )

    def score_with_pool_sum(
        self,
        pack_BCD: Tensor,
        pool_sum_BD: Tensor,
        pack_mask_BC: Tensor,
        pool_size_B: Tensor,
        trained_share_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`score` with the pool's vectors summed by the caller: (B, D), and counted: (B,)."""
        pack_mask_BC = pack_mask_BC.bool()
        affinity_BD, value_B = self.demand(pool_sum_BD, pool_size_B, pack_mask_BC.sum(dim=1))
        logits_BC = torch.bmm(pack_BCD, affinity_BD.unsqueeze(-1)).squeeze(-1)
        logits_BC = logits_BC * self.sharpness(trained_share_B).reshape(-1, 1)
        return logits_BC.masked_fill(~pack_mask_BC, -torch.inf), value_B

    def demand(
        self, pool_sum_BD: Tensor, pool_size_B: Tensor, pack_size_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What each pick asks of a card, (B, D), and its value, (B,).

        A card's logit, before the temperature, is the product of its vector with the first.
        """
        pool_size_B1 = pool_size_B.to(pool_sum_BD.dtype).unsqueeze(-1)
        pack_size_B1 = pack_size_B.to(pool_sum_BD.dtype).unsqueeze(-1)
        inputs = [
            pool_sum_BD * POOL_MAX**-0.5,  # of a whole draft: the size of one card vector
            pool_sum_BD / pool_size_B1.clamp(min=1.0),
            pool_size_B1 / POOL_MAX,
            pack_size_B1 / PACK_MAX,
            (pool_size_B1 == 0).to(pool_sum_BD.dtype),
            (pool_size_B1 / POOL_MAX).sqrt(),
        ]
        context_BH: Tensor = self.context(torch.cat(inputs, dim=-1))
        affinity_BD: Tensor = self.affinity(context_BH) * self.config.encoder.card_dim**-0.5
        return affinity_BD, self.value_head(context_BH).squeeze(-1)

    def sharpness(self, trained_share_B: Tensor | None = None) -> Tensor:
        """The factor on each pack's logits: (B,), or (1,) without shares."""
        unseen, known = self.inverse_temperature[0], self.inverse_temperature[1]
        if trained_share_B is None:
            return unseen.reshape(1)
        return torch.lerp(unseen, known, trained_share_B)
