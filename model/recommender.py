"""The whole library in one object: pick requests in, ranked picks out.

The stages are public, because the TorchServe handler runs them one by one over a batch:
`features` -> `collate_rows` -> `predict` -> `rank`. `recommend` is the same in one call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from msgspec import UNSET
from numpy.typing import NDArray
from torch import Tensor

from model.card_table import CardIndex
from model.cards import (
    PACK_MAX,
    POOL_MAX,
    Card,
    CardExplanation,
    PickRequest,
    PickResponse,
    PickWarning,
)
from model.checkpoint import Checkpoint, load_checkpoint
from model.collate import RowBatch, collate_rows
from model.rank import explanation, probabilities, ranking, tie_duplicates

CHUNK = 64
"""Picks scored at once. It bounds memory, and the distinct cards a call can put in the cache."""

CACHE_SIZE = CHUNK * (PACK_MAX + POOL_MAX) + 256


@dataclass(slots=True)
class Hand:
    """A pick's cards as rows of the card matrix, with what is to be said about them."""

    pack_rows: list[int]
    pool_rows: list[int]
    warnings: list[PickWarning]


class Recommender:
    """Ranks packs with one checkpoint. Not thread-safe: the card cache is shared by its calls.

    Args:
        checkpoint: a loaded model with its card table.
        version: what `PickResponse.model_version` says; the checkpoint's own by default.
    """

    def __init__(self, checkpoint: Checkpoint, version: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.version = version or checkpoint.model_version
        self.model = checkpoint.model.eval()
        self.extractor = checkpoint.extractor
        self.index = CardIndex(checkpoint.table, self._encode, CACHE_SIZE)
        self._sets = frozenset(code.casefold() for code in checkpoint.sets)

    @classmethod
    def load(cls, folder: Path | str, version: str | None = None) -> Recommender:
        """Read a weights folder; raises `CheckpointError` with the reason it is refused."""
        return cls(load_checkpoint(Path(folder)), version)

    def recommend(self, requests: Sequence[PickRequest]) -> list[PickResponse]:
        """Answer each request, in order."""
        responses: list[PickResponse] = []
        for start in range(0, len(requests), CHUNK):
            responses += self._recommend_chunk(requests[start : start + CHUNK])
        return responses

    def features(self, requests: Sequence[PickRequest]) -> list[Hand]:
        """Look cards up, encode the unknown ones (each distinct card once)."""
        cards: list[Sequence[Card | str]] = []
        for request in requests:
            cards.append(request.pack)
            cards.append(request.pool)
        rows = self.index.rows(cards)
        return [
            Hand(pack_rows, pool_rows, self._warnings(request, pack_rows, pool_rows))
            for request, pack_rows, pool_rows in zip(requests, rows[::2], rows[1::2], strict=True)
        ]

    def collate(self, hands: Sequence[Hand], with_pools: bool = True) -> RowBatch:
        """Pad hands to one batch; without pools, every pick is scored as a first pick."""
        return collate_rows(
            [hand.pack_rows for hand in hands],
            [hand.pool_rows if with_pools else [] for hand in hands],
            self.index.padding_row,
        )

    def predict(self, batch: RowBatch) -> NDArray[np.float32]:
        """Scores (B, C), `-inf` in masked slots."""
        with torch.inference_mode():
            pool_sum_BD = torch.nn.functional.embedding_bag(
                batch.pool_rows_BP,
                self.index.matrix,
                mode="sum",
                padding_idx=self.index.padding_row,
            )
            pack_BCD = torch.nn.functional.embedding(batch.pack_rows_BC, self.index.matrix)
            logits_BC, _ = self.model.score_with_pool_sum(
                pack_BCD, pool_sum_BD, batch.pack_mask_BC, batch.pool_sizes_B
            )
            scores: NDArray[np.float32] = logits_BC.numpy()
        return scores

    def rank(
        self,
        requests: Sequence[PickRequest],
        hands: Sequence[Hand],
        logits_BC: NDArray[np.float32],
        started: float,
    ) -> list[PickResponse]:
        """Scores to answers; `started` is the `time.perf_counter()` that latency counts from."""
        for logits_C, hand in zip(logits_BC, hands, strict=True):
            tie_duplicates(logits_C, hand.pack_rows)
        shares_BC = probabilities(logits_BC).tolist()
        explanations = self._explain(requests, hands, logits_BC)
        latency_ms = round((time.perf_counter() - started) * 1000, 3)
        responses = []
        for pick, (request, hand) in enumerate(zip(requests, hands, strict=True)):
            shares = shares_BC[pick][: len(request.pack)]
            ranked = ranking(request.pack, shares)
            responses.append(
                PickResponse(
                    recommended_pick=ranked[0].index,
                    pick_probabilities=shares,
                    confidence=ranked[0].probability,
                    latency_ms=latency_ms,
                    ranking=ranked,
                    warnings=hand.warnings,
                    model_version=self.version,
                    explanation=explanations.get(pick, UNSET),
                )
            )
        return responses

    def _recommend_chunk(self, requests: Sequence[PickRequest]) -> list[PickResponse]:
        started = time.perf_counter()
        hands = self.features(requests)
        return self.rank(requests, hands, self.predict(self.collate(hands)), started)

    def _encode(self, cards: Sequence[Card]) -> Tensor:
        with torch.inference_mode():
            vectors: Tensor = self.model.encoder(
                torch.from_numpy(self.extractor.extract_many(cards))
            )
        return vectors

    def _explain(
        self,
        requests: Sequence[PickRequest],
        hands: Sequence[Hand],
        logits_BC: NDArray[np.float32],
    ) -> dict[int, list[CardExplanation]]:
        """Explanations of the picks that ask for one, by their place in the batch."""
        picks = [pick for pick, request in enumerate(requests) if request.explain]
        if not picks:
            return {}
        without_pool_BC = self.predict(self.collate([hands[pick] for pick in picks], False))
        explanations = {}
        for pick, without_pool_C in zip(picks, without_pool_BC, strict=True):
            pack = requests[pick].pack
            tie_duplicates(without_pool_C, hands[pick].pack_rows)
            explanations[pick] = explanation(
                pack, logits_BC[pick, : len(pack)], without_pool_C[: len(pack)]
            )
        return explanations

    def _warnings(
        self, request: PickRequest, pack_rows: Sequence[int], pool_rows: Sequence[int]
    ) -> list[PickWarning]:
        warnings = []
        for field, rows in (("pack", pack_rows), ("pool", pool_rows)):
            if not rows or max(rows) < self.index.padding_row:
                continue
            warnings += [
                PickWarning(
                    "unknown_card",
                    f"$.{field}[{slot}]",
                    "the model does not know this name and the card has no attributes: "
                    "its score means little; send mana_cost, type, rarity and oracle_text",
                )
                for slot, row in enumerate(rows)
                if self.index.lacks_attributes(row)
            ]
        if request.set is not None and request.set.casefold() not in self._sets:
            warnings.append(
                PickWarning(
                    "set_not_in_training",
                    "$.set",
                    f"the model was not trained on the set {request.set!r}: cards are judged by "
                    "their attributes alone",
                )
            )
        expected = expected_pool_size(request)
        if expected is not None and expected != len(request.pool):
            warnings.append(
                PickWarning(
                    "pool_size_mismatch",
                    "$.pool",
                    f"pack {request.pack_number}, pick {request.pick_number} with "
                    f"{len(request.pack)} cards left comes after {expected} picks, "
                    f"but the pool holds {len(request.pool)} cards",
                )
            )
        return warnings


def expected_pool_size(request: PickRequest) -> int | None:
    """Cards drafted before a pick of that number, or None where the request does not tell.

    Packs lose one card a pick, so the opened pack had `len(pack) + pick_number - 1` cards.
    """
    if request.pack_number is None or request.pick_number is None:
        return None
    opened = len(request.pack) + request.pick_number - 1
    return (request.pack_number - 1) * opened + request.pick_number - 1
