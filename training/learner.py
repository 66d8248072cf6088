"""What is trained: the model that ships, whatever else only training needs, and the loss.

The seam of the training loop. The loop knows a `Learner` by three things: called with a batch it
gives the loss; its parameters are optimized, averaged and checkpointed, whatever they are; and
`vectors` gives a set's cards as they are scored on held-out drafts. What ships is `model`, and the
identities folded into its card table.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.network import DraftModel
from training.batches import StepBatch
from training.config import TrainingConfig
from training.corpus import TrainingSet
from training.identity import NONE, CardIdentities
from training.metrics import choice_nll
from training.sparse import encode


class Learner(nn.Module):
    """Behaviour cloning: cross-entropy over the pack's cards, and the event's share of wins.

    A step's cards are encoded once from their attributes and all its picks are scored on those
    vectors, so that the encoder's cost does not grow with the picks.

    Sets are shown in one of two ways. As *known* sets, cards have their identities and nearly all
    their features, as they will have in the card table. As *new* sets they have no identity, and
    many features are hidden, so that words cannot stand for names.
    """

    def __init__(self, config: TrainingConfig, sets: Sequence[TrainingSet]) -> None:
        super().__init__()
        self.model = DraftModel(config.model)
        self.identities = CardIdentities(sets, config.model.encoder.card_dim)
        self._rows = [self.identities.rows(each.dataset.cards) for each in sets]
        self._config = config
        self.learns_value = config.value_weight > 0 and any(each.learns_value for each in sets)
        if not self.learns_value:
            # Left out of the optimizer, and of what several processes exchange.
            self.model.value_head.requires_grad_(False)

    def forward(self, batch: StepBatch) -> Tensor:
        """The share of the step's mean loss that is this batch's: over all processes they add up
        to the mean over the picks of the step."""
        vectors_XD = torch.split(self._encode(batch), list(batch.set_sizes))
        pools = [
            counts @ own_XD for counts, own_XD in zip(batch.pool_counts, vectors_XD, strict=True)
        ]
        demand_BD, value_B = self.model.demand(
            torch.cat(pools), batch.pool_size_B, batch.pack_mask_BC.sum(dim=1)
        )
        logits_BC = _pack_logits(demand_BD, vectors_XD, batch)
        loss = choice_nll(logits_BC.float(), batch.taken_BC).sum()
        if self.learns_value:
            loss = loss + self._config.value_weight * _value_loss(
                value_B.float(), batch.win_share_B
            )
        return loss / batch.picks

    @torch.inference_mode()
    def vectors(self, each: TrainingSet) -> Tensor:
        """(X, D) the set's cards, as held-out drafts are scored with."""
        identity_XD = self.identities(self.identities.rows(each.dataset.cards))
        return encode(self.model.encoder, each.cards, None, identity_XD)

    def trained(self, each: TrainingSet) -> Tensor:
        """bool (X,), which of the set's cards were trained on under their own name."""
        return self.identities.rows(each.dataset.cards) != NONE

    def _encode(self, batch: StepBatch) -> Tensor:
        rows_X = torch.cat([self._rows[index] for index in batch.sets]).to(
            batch.cards.size_X.device
        )
        if not self.training:
            return encode(self.model.encoder, batch.cards, None, self.identities(rows_X))
        config, device = self._config, rows_X.device
        new_S = torch.rand(len(batch.sets), device=device) < config.set_dropout
        sizes_S = torch.tensor(batch.set_sizes, device=device)
        new_X = torch.repeat_interleave(new_S, sizes_S, output_size=len(rows_X))
        keep_X = ~new_X & (torch.rand(len(rows_X), device=device) >= config.card_dropout)
        hidden_X = torch.where(new_X, config.feature_dropout, config.known_feature_dropout)
        identity_XD = self.identities(rows_X, keep_X)
        return encode(self.model.encoder, batch.cards, hidden_X, identity_XD)


def _pack_logits(demand_BD: Tensor, vectors_XD: Sequence[Tensor], batch: StepBatch) -> Tensor:
    """`DraftModel.score_with_pool_sum`'s logits, without their temperature: (B, C).

    All cards of a set are scored and those of the pack are picked out: a step of 4 x 512 picks
    takes 54 ms of one core, and 72 ms when the vectors of the packs' cards are gathered first.
    """
    picks = [len(counts) for counts in batch.pool_counts]
    parts, first = [], 0
    for own_BD, own_XD, pack_BC in zip(
        torch.split(demand_BD, picks),
        vectors_XD,
        torch.split(batch.pack_cards_BC, picks),
        strict=True,
    ):
        # Empty slots say 0, which may be another set's card.
        parts.append((own_BD @ own_XD.t()).gather(1, (pack_BC - first).clamp(min=0)))
        first += len(own_XD)
    return torch.cat(parts).masked_fill(~batch.pack_mask_BC, -torch.inf)


def _value_loss(value_B: Tensor, share_B: Tensor) -> Tensor:
    """Sum of the binary cross-entropies; a pick without a known result adds nothing."""
    known_B = ~share_B.isnan()
    return nn.functional.binary_cross_entropy_with_logits(
        value_B, share_B.nan_to_num(0.0), weight=known_B.to(value_B.dtype), reduction="sum"
    )


class MovingAverage:
    """Exponential moving average of a learner's weights, as a learner of its own.

    The decay grows with the steps taken, so that the first weights are soon forgotten.
    """

    def __init__(self, learner: Learner, decay: float) -> None:
        self.learner = copy.deepcopy(learner).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, learner: Learner, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        mean, values = self.learner.parameters(), learner.parameters()
        torch._foreach_lerp_(list(mean), list(values), 1 - decay)
