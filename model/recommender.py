"""The whole library in one object: pick requests in, ranked picks out.

The stages are public, because the TorchServe handler runs them one by one over a batch:
`look_up` -> `features` -> `collate` -> `predict` -> `rank`. `recommend` is the same in one call.

Shape legend: B picks of a batch, N cards of all packs, M cards of all pools.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import UNSET
from numpy.typing import NDArray
from torch import Tensor

from model.card_table import CardIndex, IndexedCard
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
from model.scoring import PickScorer

CHUNK = 64
"""Picks scored at once. It bounds memory, and the distinct cards a call can put in the cache."""

CACHE_SIZE = CHUNK * (PACK_MAX + POOL_MAX) + 256


class Pick(msgspec.Struct, gc=False):
    """A pick request whose cards are looked up."""

    pack: list[IndexedCard]
    pool: list[IndexedCard]
    set: str | None = None
    pack_number: int | None = None
    pick_number: int | None = None
    explain: bool = False


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
        self.scorer = PickScorer(self.model)
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

    def logits(self, requests: Sequence[PickRequest]) -> NDArray[np.float32]:
        """The scores behind the answers, (B, C), `-inf` behind a pack's last card.

        At most `CHUNK` requests, as the cache may hold no more new cards.
        """
        picks = [self.look_up(request) for request in requests]
        batch = self.collate(picks, self.features(picks))
        pick_N, widest = batch.pick_N, max(len(pick.pack) for pick in picks)
        logits_BC = np.full((len(picks), widest), -np.inf, np.float32)
        slot_N = np.arange(len(pick_N)) - batch.pack_starts[pick_N]
        logits_BC[pick_N, slot_N] = self.predict(batch)
        return logits_BC

    def look_up(self, request: PickRequest) -> Pick:
        """The request with its cards found by name or, new ones, by their attributes."""
        look_up = self.index.look_up
        return Pick(
            [look_up(card) for card in request.pack],
            [look_up(card) for card in request.pool],
            request.set,
            request.pack_number,
            request.pick_number,
            request.explain,
        )

    def features(self, picks: Sequence[Pick]) -> NDArray[np.int64]:
        """The index's rows of all packs' cards, then of all pools' cards; encodes new cards."""
        packs, pools = (pick.pack for pick in picks), (pick.pool for pick in picks)
        return self.index.rows(list(chain(*packs, *pools)))

    def collate(self, picks: Sequence[Pick], rows: NDArray[np.int64]) -> RowBatch:
        """The picks as one batch; `rows` are their `features`."""
        return collate_rows(
            rows, [len(pick.pack) for pick in picks], [len(pick.pool) for pick in picks]
        )

    def predict(self, batch: RowBatch) -> NDArray[np.float32]:
        """Scores of the packs' cards (N,), one pack after the other; copies tie."""
        logits_N = self.scorer.score(self.index.vectors, self.index.trained, batch)
        tie_duplicates(logits_N, batch.pick_N * len(self.index.vectors) + batch.pack_rows)
        return logits_N

    def rank(
        self, picks: Sequence[Pick], batch: RowBatch, logits_N: NDArray[np.float32], started: float
    ) -> list[PickResponse]:
        """Scores to answers; `started` is the `time.perf_counter()` that latency counts from."""
        shares_N = probabilities(logits_N, batch.pick_N, batch.pack_starts)
        explanations = self._explain(picks, batch, logits_N)
        unknown = self._unknown_cards(batch)
        latency_ms = round((time.perf_counter() - started) * 1000, 3)
        shares_of_all = shares_N.tolist()
        responses = []
        end = 0
        for number, pick in enumerate(picks):
            start, end = end, end + len(pick.pack)
            shares = shares_of_all[start:end]
            ranked = ranking([card.name for card in pick.pack], shares)
            responses.append(
                PickResponse(
                    ranked[0].index,
                    shares,
                    ranked[0].probability,
                    latency_ms,
                    ranked,
                    unknown.get(number, []) + self._warnings(pick),
                    self.version,
                    explanations.get(number, UNSET),
                )
            )
        return responses

    def _recommend_chunk(self, requests: Sequence[PickRequest]) -> list[PickResponse]:
        started = time.perf_counter()
        picks = [self.look_up(request) for request in requests]
        batch = self.collate(picks, self.features(picks))
        return self.rank(picks, batch, self.predict(batch), started)

    def _encode(self, cards: Sequence[Card]) -> Tensor:
        with torch.inference_mode():
            vectors: Tensor = self.model.encoder(
                torch.from_numpy(self.extractor.extract_many(cards))
            )
        return vectors

    def _explain(
        self, picks: Sequence[Pick], batch: RowBatch, logits_N: NDArray[np.float32]
    ) -> dict[int, list[CardExplanation]]:
        """Explanations of the picks that ask for one, by their place in the batch."""
        if not any(pick.explain for pick in picks):
            return {}
        # The same packs as first picks.
        sizes = [len(pick.pack) for pick in picks]
        without_pool_N = self.predict(collate_rows(batch.pack_rows, sizes, [0] * len(sizes)))
        explanations = {}
        for number, start in enumerate(batch.pack_starts.tolist()):
            if picks[number].explain:
                cards = slice(start, start + sizes[number])
                names = [card.name for card in picks[number].pack]
                explanations[number] = explanation(names, logits_N[cards], without_pool_N[cards])
        return explanations

    def _unknown_cards(self, batch: RowBatch) -> dict[int, list[PickWarning]]:
        """Warnings of cards that nothing is known of, by the pick's place in the batch."""
        warnings: dict[int, list[PickWarning]] = {}
        starts = batch.starts
        for place in np.flatnonzero(self.index.lacks_attributes(batch.rows)).tolist():
            # A pool without cards starts where the next one does, hence "right".
            hand = int(np.searchsorted(starts, place, "right")) - 1
            field = "pack" if place < len(batch.pick_N) else "pool"
            warnings.setdefault(hand % batch.picks, []).append(
                PickWarning(
                    "unknown_card",
                    f"$.{field}[{place - starts[hand]}]",
                    "the model does not know this name and the card has no attributes: "
                    "its score means little; send mana_cost, type, rarity and oracle_text",
                )
            )
        return warnings

    def _warnings(self, pick: Pick) -> list[PickWarning]:
        """What does not fit the pick's context."""
        warnings = []
        if pick.set is not None and pick.set.casefold() not in self._sets:
            warnings.append(
                PickWarning(
                    "set_not_in_training",
                    "$.set",
                    f"the model was not trained on the set {pick.set!r}: cards are judged by "
                    "their attributes alone",
                )
            )
        expected = expected_pool_size(pick)
        if expected is not None and expected != len(pick.pool):
            warnings.append(
                PickWarning(
                    "pool_size_mismatch",
                    "$.pool",
                    f"pack {pick.pack_number}, pick {pick.pick_number} with "
                    f"{len(pick.pack)} cards left comes after {expected} picks, "
                    f"but the pool holds {len(pick.pool)} cards",
                )
            )
        return warnings


def expected_pool_size(request: Pick | PickRequest) -> int | None:
    """Cards drafted before a pick of that number, or None where the request does not tell.

    Packs lose one card a pick, so the opened pack had `len(pack) + pick_number - 1` cards.
    """
    if request.pack_number is None or request.pick_number is None:
        return None
    opened = len(request.pack) + request.pick_number - 1
    return (request.pack_number - 1) * opened + request.pick_number - 1
