"""What is trained: the model that ships, whatever else only training needs, and the loss.

The seam of the training loop. The loop knows a `Learner` by three things: called with a batch it
gives the loss; its parameters are optimized, averaged and checkpointed, whatever they are; and
`vectors` gives a set's cards as they are scored on held-out drafts. What ships is `model`.
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
from training.metrics import choice_nll
from training.sparse import encode


class Learner(nn.Module):
    """Behaviour cloning: cross-entropy over the pack's cards, and the event's share of wins.

    A step's cards are encoded once from their attributes and all its picks are scored on those
    vectors, so that the encoder's cost does not grow with the picks.
    """

    def __init__(self, config: TrainingConfig, sets: Sequence[TrainingSet]) -> None:
        super().__init__()
        self.model = DraftModel(config.model)
        self._feature_dropout = config.feature_dropout
        self._value_weight = config.value_weight
        self.learns_value = config.value_weight > 0 and any(each.learns_value for each in sets)
        if not self.learns_value:
            # Left out of the optimizer, and of what several processes exchange.
            self.model.value_head.requires_grad_(False)

    def forward(self, batch: StepBatch) -> Tensor:
        """The share of the step's mean loss that is this batch's: over all processes they add up
        to the mean over the picks of the step."""
        vectors_XD = self._encode(batch)
        pools = [
            counts @ own_XD
            for counts, own_XD in zip(
                batch.pool_counts, torch.split(vectors_XD, list(batch.set_sizes)), strict=True
            )
        ]
        logits_BC, value_B = self.model.score_with_pool_sum(
            nn.functional.embedding(batch.pack_cards_BC, vectors_XD),
            torch.cat(pools),
            batch.pack_mask_BC,
            batch.pool_size_B,
        )
        loss = choice_nll(logits_BC.float(), batch.taken_BC).sum()
        if self.learns_value:
            loss = loss + self._value_weight * _value_loss(value_B.float(), batch.win_share_B)
        return loss / batch.picks

    @torch.inference_mode()
    def vectors(self, each: TrainingSet) -> Tensor:
        """(X, D) the set's cards, as held-out drafts are scored with."""
        return encode(self.model.encoder, each.cards)

    def _encode(self, batch: StepBatch) -> Tensor:
        dropout = self._feature_dropout if self.training else 0.0
        return encode(self.model.encoder, batch.cards, dropout)


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
