"""The draft network: which card of the pack would a strong drafter take, given the pool?

Shape legend: B batch, C pack slots, P pool slots, F features, D card width, H hidden.

Notable choices:
* pack and pool are sets: sums, means and maxima only, so no order can matter;
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

    def __init__(self, config: DraftModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or DraftModelConfig()
        card_dim, hidden_dim = self.config.encoder.card_dim, self.config.hidden_dim
        self.encoder = SharedCardEncoder(self.config.encoder)
        self.context = nn.Sequential(
            nn.Linear(4 * card_dim + PROGRESS_DIM, hidden_dim),
            nn.GELU(),
            nn.Dropout(self.config.dropout),
            nn.Linear(hidden_dim, hidden_dim),
        )
        self.card_hidden = nn.Linear(card_dim, hidden_dim)
        # No bias: a constant added to every card of a pack changes nothing.
        self.card_score = nn.Linear(hidden_dim, 1, bias=False)
        self.affinity = nn.Linear(hidden_dim, card_dim)
        self.value_head = nn.Linear(hidden_dim, 1)
        # Fitted on held-out drafts after training; a buffer, so that it travels with the weights.
        self.register_buffer("inverse_temperature", torch.ones(()))

    def forward(
        self, pack: Tensor, pool: Tensor, pack_mask: Tensor, pool_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.score(self.encoder(pack), self.encoder(pool), pack_mask, pool_mask)

    def score(
        self, pack_BCD: Tensor, pool_BPD: Tensor, pack_mask_BC: Tensor, pool_mask_BP: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`forward` on cards that are encoded already: (B, C, D) and (B, P, D)."""
        pool_mask_BP = pool_mask_BP.bool()
        pool_sum_BD = pool_BPD.masked_fill(~pool_mask_BP.unsqueeze(-1), 0.0).sum(dim=1)
        return self.score_with_pool_sum(
            pack_BCD, pool_sum_BD, pack_mask_BC, pool_mask_BP.sum(dim=1)
        )

    def score_with_pool_sum(
        self, pack_BCD: Tensor, pool_sum_BD: Tensor, pack_mask_BC: Tensor, pool_size_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`score` with the pool's vectors summed by the caller: (B, D), and counted: (B,)."""
        empty_BC = ~pack_mask_BC.bool()
        context_BH = self._context(pack_BCD, pool_sum_BD, empty_BC, pool_size_B)
        hidden_BCH = nn.functional.gelu(self.card_hidden(pack_BCD) + context_BH.unsqueeze(1))
        affinity_BD1 = self.affinity(context_BH).unsqueeze(-1)
        card_dim = self.config.encoder.card_dim
        logits_BC = self.card_score(hidden_BCH).squeeze(-1)
        logits_BC = logits_BC + torch.bmm(pack_BCD, affinity_BD1).squeeze(-1) * card_dim**-0.5
        logits_BC = (logits_BC * self.inverse_temperature).masked_fill(empty_BC, -torch.inf)
        return logits_BC, self.value_head(context_BH).squeeze(-1)

    def _context(
        self, pack_BCD: Tensor, pool_sum_BD: Tensor, empty_BC: Tensor, pool_size_B: Tensor
    ) -> Tensor:
        """What is known beside the card itself: pool, rest of the pack, progress. (B, H)."""
        empty_BC1 = empty_BC.unsqueeze(-1)
        pool_size_B1 = pool_size_B.to(pack_BCD.dtype).unsqueeze(-1)
        pack_size_B1 = (~empty_BC1).sum(dim=1).to(pack_BCD.dtype)
        pool_mean_BD = pool_sum_BD / pool_size_B1.clamp(min=1.0)
        pack_mean_BD = pack_BCD.masked_fill(empty_BC1, 0.0).sum(dim=1) / pack_size_B1.clamp(min=1.0)
        pack_best_BD = pack_BCD.masked_fill(empty_BC1, -torch.inf).amax(dim=1)
        progress_B4 = torch.cat(
            [
                pool_size_B1 / POOL_MAX,
                pack_size_B1 / PACK_MAX,
                (pool_size_B1 == 0).to(pack_BCD.dtype),
                pool_size_B1.sqrt() / POOL_MAX**0.5,
            ],
            dim=-1,
        )
        # The sum over a whole draft, scaled to the size of one card vector.
        pool_scaled_BD = pool_sum_BD * POOL_MAX**-0.5
        inputs = [pool_scaled_BD, pool_mean_BD, pack_mean_BD, pack_best_BD, progress_B4]
        context: Tensor = self.context(torch.cat(inputs, dim=-1))
        return context
