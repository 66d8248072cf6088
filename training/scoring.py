"""The picks of a draft file through the model, in training and as the server would answer them.

Legend: N picks, B picks at a time, C pack slots, X cards of the set, D card width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.cards import PACK_MAX, Card, PickRequest
from model.features import CardFeatureExtractor
from model.network import DraftModel
from model.recommender import CHUNK, Recommender
from training.dataset import PickBatch, PickDataset
from training.metrics import Scores

BATCH = 2048

Encode = Callable[[Sequence[Card]], Tensor]


def encoder_of(model: DraftModel, extractor: CardFeatureExtractor) -> Encode:
    """Cards -> (n, D), by their attributes."""

    @torch.inference_mode()
    def encode(cards: Sequence[Card]) -> Tensor:
        return model.encoder(torch.from_numpy(extractor.extract_many(list(cards))))  # type: ignore[no-any-return]

    return encode


@torch.inference_mode()
def score_picks(
    model: DraftModel,
    vectors_XD: Tensor,
    trained_X: Tensor,
    dataset: PickDataset,
    rows: npt.NDArray[np.int64],
) -> Scores:
    """The model's logits for these rows.

    Args:
        vectors_XD: the set's encoded cards.
        trained_X: which of them the model was trained on under their own name.
    """
    logits = torch.full((len(rows), PACK_MAX), -torch.inf)
    taken = torch.zeros((len(rows), PACK_MAX), dtype=torch.bool)
    cards = torch.zeros((len(rows), PACK_MAX), dtype=torch.int64)
    for start in range(0, len(rows), BATCH):
        batch = dataset.batch(rows[start : start + BATCH])
        mask_BC = torch.from_numpy(batch.pack_mask_BC)
        pack_BC = torch.from_numpy(batch.pack_cards_BC)
        trained_BC = trained_X[pack_BC] & mask_BC
        logits_BC, _ = model.score_with_pool_sum(
            vectors_XD[pack_BC],
            torch.from_numpy(batch.pool_counts_BX) @ vectors_XD,
            mask_BC,
            torch.from_numpy(batch.pool_size_B),
            trained_BC.sum(dim=1) / mask_BC.sum(dim=1),
        )
        height, width = mask_BC.shape
        logits[start : start + height, :width] = logits_BC
        taken[start : start + height, :width] = torch.from_numpy(batch.taken_BC)
        cards[start : start + height, :width] = pack_BC
    return Scores(logits, taken, cards)


def served_scores(
    recommender: Recommender,
    cards: Sequence[Card],
    dataset: PickDataset,
    rows: npt.NDArray[np.int64],
) -> Iterator[Scores]:
    """The logits behind the server's answers to these rows, some picks at a time.

    Args:
        cards: the set's cards as a client would send them. Those that the weights know by name
            are judged by the weights' table, the others by their attributes.
    """
    for start in range(0, len(rows), CHUNK):
        batch = dataset.batch(rows[start : start + CHUNK])
        yield Scores(
            torch.from_numpy(recommender.logits(pick_requests(batch, cards))),
            torch.from_numpy(batch.taken_BC),
            torch.from_numpy(batch.pack_cards_BC),
        )


def pick_requests(batch: PickBatch, cards: Sequence[Card]) -> list[PickRequest]:
    """The picks as requests to the server."""
    sizes_B = batch.pack_mask_BC.sum(axis=1).tolist()
    requests = []
    for pack, size, counts_X in zip(
        batch.pack_cards_BC.tolist(), sizes_B, batch.pool_counts_BX, strict=True
    ):
        (held,) = np.nonzero(counts_X)
        pool = np.repeat(held, counts_X[held].astype(np.int64)).tolist()
        requests.append(
            PickRequest(pack=[cards[card] for card in pack[:size]], pool=[cards[c] for c in pool])
        )
    return requests
