"""Agreement with the picks of a draft file: `python -m training.evaluate --weights DIR ...`.

A pick is *forced* when the pack has one card left; forced picks are always right, so every figure
says whether it counts them. A pack may hold copies of a card: taking any of them is the same
pick, and their probabilities add up.

Legend: N picks, C pack slots, X cards of the set, D card width.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.card_table import CardTable
from model.cards import PACK_MAX, Card
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from model.features import CardFeatureExtractor, has_attributes
from model.network import DraftModel
from training.dataset import PickDataset
from training.scryfall import CardCatalog
from training.seventeenlands import read_drafts
from training.textfile import DataError

BATCH = 2048
ECE_BINS = 15
RARITY_ORDER = {"mythic": 3, "bonus": 3, "special": 3, "rare": 2, "uncommon": 1}

Encode = Callable[[Sequence[Card]], Tensor]


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's logits for picks, with what was taken."""

    logits_NC: Tensor
    """-inf in empty slots."""
    taken_NC: Tensor
    """True in the slots that hold the card taken."""

    def unforced(self) -> Scores:
        """The picks of packs with more than one card."""
        keep_N = torch.isfinite(self.logits_NC).sum(dim=1) > 1
        return Scores(self.logits_NC[keep_N], self.taken_NC[keep_N])


@torch.inference_mode()
def score_picks(
    model: DraftModel, vectors_XD: Tensor, dataset: PickDataset, rows: npt.NDArray[np.int64]
) -> Scores:
    """The model's logits for these rows; `vectors_XD` are the set's encoded cards."""
    logits = torch.full((len(rows), PACK_MAX), -torch.inf)
    taken = torch.zeros((len(rows), PACK_MAX), dtype=torch.bool)
    for start in range(0, len(rows), BATCH):
        batch = dataset.batch(rows[start : start + BATCH])
        mask_BC = torch.from_numpy(batch.pack_mask_BC)
        logits_BC, _ = model.score_with_pool_sum(
            vectors_XD[torch.from_numpy(batch.pack_cards_BC)],
            torch.from_numpy(batch.pool_counts_BX) @ vectors_XD,
            mask_BC,
            torch.from_numpy(batch.pool_size_B),
        )
        height, width = mask_BC.shape
        logits[start : start + height, :width] = logits_BC
        taken[start : start + height, :width] = torch.from_numpy(batch.taken_BC)
    return Scores(logits, taken)


def choice_nll(logits_BC: Tensor, taken_BC: Tensor) -> Tensor:
    """(B,) minus the log of the probability of the card taken, copies together."""
    taken = logits_BC.masked_fill(~taken_BC, -torch.inf)
    return torch.logsumexp(logits_BC, dim=1) - torch.logsumexp(taken, dim=1)


def top_k(scores: Scores, k: int) -> float:
    """Share of the picks among the k best slots."""
    if not len(scores.logits_NC):
        return float("nan")
    best_NK = scores.logits_NC.topk(min(k, scores.logits_NC.shape[1]), dim=1).indices
    return float(scores.taken_NC.gather(1, best_NK).any(dim=1).double().mean())


def calibration_error(scores: Scores, bins: int = ECE_BINS) -> float:
    """Expected calibration error of the best slot's probability, in bins of equal width."""
    confidence, best = torch.softmax(scores.logits_NC.double(), dim=1).max(dim=1)
    hit = scores.taken_NC.gather(1, best.unsqueeze(1)).squeeze(1).double()
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, hit - confidence)
    return float(gap.abs().sum() / max(1, len(hit)))


def summarize(scores: Scores) -> dict[str, float | int]:
    """The figures of a set of picks."""
    unforced = scores.unforced()
    return {
        "picks": len(scores.logits_NC),
        "unforced_picks": len(unforced.logits_NC),
        "top1_unforced": top_k(unforced, 1),
        "top1_all": top_k(scores, 1),
        "top3_unforced": top_k(unforced, 3),
        "nll_unforced": float(choice_nll(unforced.logits_NC.double(), unforced.taken_NC).mean()),
        "ece_unforced": calibration_error(unforced),
    }


def baselines(dataset: PickDataset, cards: Sequence[Card | None]) -> dict[str, float]:
    """Top-1 on unforced picks of choosing at random, and of taking the highest rarity.

    Ties are broken at random; the figures are expectations, so they are exact. A card without a
    rarity counts as common.
    """
    rarity = np.array([RARITY_ORDER.get((c and c.rarity) or "", 0) for c in cards])
    batch = dataset.batch(dataset.rows(unforced=True))
    rarity_NC = np.where(batch.pack_mask_BC, rarity[batch.pack_cards_BC], -1)
    highest_NC = rarity_NC == rarity_NC.max(axis=1, keepdims=True)
    return {
        "random": float((batch.taken_BC.sum(1) / batch.pack_mask_BC.sum(1)).mean()),
        "highest_rarity": float(((batch.taken_BC & highest_NC).sum(1) / highest_NC.sum(1)).mean()),
    }


def encoder_of(model: DraftModel, extractor: CardFeatureExtractor) -> Encode:
    """Cards -> (n, D), by their attributes."""

    @torch.inference_mode()
    def encode(cards: Sequence[Card]) -> Tensor:
        return model.encoder(torch.from_numpy(extractor.extract_many(list(cards))))  # type: ignore[no-any-return]

    return encode


def card_vectors(
    cards: Sequence[Card], encode: Encode, table: CardTable | None = None
) -> tuple[Tensor, int]:
    """Vectors (X, D) of the cards, and how many the table does not know.

    With a table, cards it knows by name come from it, as they do in the server.
    """
    vectors_XD = encode(cards).clone()  # tensors made in inference mode refuse assignment
    if table is None:
        return vectors_XD, len(cards)
    rows = [table.row(card.name) for card in cards]
    for index, row in enumerate(rows):
        if row is not None:
            vectors_XD[index] = table.vectors[row]
    return vectors_XD, rows.count(None)


def evaluate_file(
    path: Path, checkpoint: Checkpoint, catalog: CardCatalog, by_attributes: bool = False
) -> dict[str, Any]:
    """All figures of one 17Lands draft file."""
    picks = read_drafts(path)
    dataset = PickDataset(picks)
    set_code = picks.expansion.lower()
    found = [catalog.find(name, (set_code,)) for name in picks.cards]
    cards = [card or Card(name=name) for card, name in zip(found, picks.cards, strict=True)]
    encode = encoder_of(checkpoint.model, checkpoint.extractor)
    vectors_XD, unknown = card_vectors(cards, encode, None if by_attributes else checkpoint.table)
    scores = score_picks(checkpoint.model, vectors_XD, dataset, dataset.rows())
    return {
        "file": path.name,
        "set": picks.expansion,
        "drafts": len(picks.draft_hash),
        "cards": len(cards),
        "cards_unknown_to_model": unknown,
        "cards_without_attributes": sum(not has_attributes(card) for card in cards),
        "rows_dropped": picks.dropped,
        **summarize(scores),
        "baselines": baselines(dataset, found),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="17Lands draft files (csv or csv.gz)")
    parser.add_argument("--weights", type=Path, default=Path("model/weights"))
    parser.add_argument("--cards", type=Path, required=True, help="Scryfall bulk JSON")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument(
        "--by-attributes",
        action="store_true",
        help="encode every card from its attributes; without it the cards that the card table"
        " knows are taken from there, as the server does",
    )
    options = parser.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(options.weights)
        catalog = CardCatalog.read(options.cards)
        results = []
        for path in options.files:
            result = evaluate_file(path, checkpoint, catalog, options.by_attributes)
            results.append(result)
            print(
                f"{result['file']}: top-1 {result['top1_unforced']:.4f} unforced,"
                f" {result['top1_all']:.4f} all ({result['drafts']} drafts,"
                f" {result['unforced_picks']} unforced picks)",
                flush=True,
            )
    except (DataError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    model = {
        "version": checkpoint.model_version,
        "weights_sha256": checkpoint.meta["weights_sha256"],
        "cards_from": "attributes" if options.by_attributes else "card table",
    }
    text = json.dumps({"files": results, "model": model}, indent=2) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
