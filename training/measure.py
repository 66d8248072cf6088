"""A draft file's figures: each pick asked of `model.Recommender`, as the server does.

A card that the weights know by name is judged by their card table, any other by its attributes in
Scryfall's file (its printing in the draft file's set, if there is one), and one found in neither by
nothing but its being a card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.card_table import CardTable
from model.cards import Card
from model.checkpoint import Checkpoint
from model.features import has_attributes
from model.recommender import Recommender
from training.baselines import NAMES as BASELINES
from training.baselines import Floats, baseline_hits
from training.dataset import PickDataset, Split
from training.metrics import (
    ECE_BINS,
    Outcomes,
    Reliability,
    bootstrap_shares,
    interval,
    summarize,
    top_k,
)
from training.scoring import served_scores
from training.scryfall import CardCatalog
from training.seventeenlands import DraftPicks, read_drafts
from training.textfile import DataError, sha256_of

MEANS = (
    *("top1_unforced", "top1_all", "top3_unforced", "mrr_unforced", "nll_unforced"),
    *("nll_unforced_random", "ece_unforced"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One file's figures, and the bootstrap samples of its top-1 for means over files."""

    figures: dict[str, Any]
    top1_samples: Floats


class Evaluator:
    """Measures weights on draft files.

    Args:
        checkpoint: the weights.
        catalog: attributes of the cards the weights do not know, and rarities.
        split: the drafts to measure; None for all.
        ceilings: the best top-1 that can be expected, by set code.
        by_attributes: judge every card by its attributes, also those in the weights' table.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        catalog: CardCatalog,
        split: Split | None = None,
        ceilings: Mapping[str, Mapping[str, float]] | None = None,
        by_attributes: bool = False,
    ) -> None:
        if by_attributes:
            nothing = CardTable((), checkpoint.table.vectors[:0])
            checkpoint = Checkpoint(
                checkpoint.model, nothing, checkpoint.extractor, checkpoint.meta
            )
        self.recommender = Recommender(checkpoint)
        self.catalog = catalog
        self.split = split
        self.ceilings = ceilings or {}
        self.by_attributes = by_attributes
        self._sets = {code.casefold() for code in checkpoint.sets}

    def measure(self, path: Path) -> Measured:
        """All figures of one 17Lands draft file.

        Raises DataError when the file cannot be used, or has no unforced pick to measure.
        """
        digest = sha256_of(path)
        picks = read_drafts(path)
        dataset = PickDataset(picks)
        rows = dataset.rows(self.split)
        found = [self.catalog.find(name, (picks.expansion.lower(),)) for name in picks.cards]
        cards = [card or Card(name=name) for card, name in zip(found, picks.cards, strict=True)]
        unforced = np.asarray(picks.pack_size)[rows] > 1
        if not unforced.any():
            part = "" if self.split is None else f" in the {self.split.name.lower()} split"
            raise DataError(f"{path}: no pick from more than one card{part}: nothing to measure")
        try:
            scores = served_scores(self.recommender, cards, dataset, rows)
            outcomes = Outcomes.join([Outcomes.of(some) for some in scores])
        except ValueError as error:  # more unknown cards than the card cache can hold
            raise DataError(f"{path}: {error}") from None
        hits = baseline_hits(dataset, rows, found)
        samples = _top1_samples(dataset, rows, outcomes)
        drafts = len(np.unique(dataset.draft_N[rows]))
        code = picks.expansion.casefold()
        figures = {
            "file": path.name,
            "sha256": digest,
            "set": picks.expansion,
            "event_type": picks.event_type,
            "split": "all" if self.split is None else self.split.name.lower(),
            "known_set": code in self._sets,
            "drafts": drafts,
            "rows_dropped": dict(sorted(picks.dropped.items())),
            **self._cards(picks, cards, found),
            **summarize(outcomes),
            "top1_unforced_ci95": interval(samples) if drafts > 1 else [0.0, 1.0],
            "nll_unforced_random": _random_nll(dataset, rows[unforced]),
            "baselines": {name: float(hits[name][unforced].mean()) for name in BASELINES},
            "baselines_all": {name: float(hits[name].mean()) for name in BASELINES},
            "by_pack_and_pick": _by_pack_and_pick(picks, rows, outcomes, hits),
            "reliability": _reliability(outcomes.unforced()),
        }
        if code in self.ceilings:
            figures["ceiling"] = dict(self.ceilings[code])
        return Measured(figures, samples)

    def _cards(
        self, picks: DraftPicks, cards: Sequence[Card], found: Sequence[Card | None]
    ) -> dict[str, int]:
        table = self.recommender.checkpoint.table
        unknown = [card for card in cards if table.row(card.name) is None]
        return {
            "cards": len(picks.cards),
            "cards_unknown_to_model": len(unknown),
            "cards_without_attributes": sum(not has_attributes(card) for card in unknown),
            "cards_without_rarity": sum(card is None or card.rarity is None for card in found),
        }


def _top1_samples(dataset: PickDataset, rows: Any, outcomes: Outcomes) -> Floats:
    """Bootstrap samples of the unforced top-1. They depend on the drafts, not on their order."""
    unforced = outcomes.pack_size_N > 1
    draft_N = dataset.draft_N[rows]
    hashes_D = np.asarray(dataset.picks.draft_hash)
    drafts = len(hashes_D)
    picks_D = np.bincount(draft_N[unforced], minlength=drafts)
    hits_D = np.bincount(draft_N[unforced], outcomes.rank_N[unforced] == 1, drafts)
    present = np.unique(draft_N)
    present = present[np.argsort(hashes_D[present], kind="stable")]
    # The sum of the hashes wraps around at 64 bits, which is as good a seed as any.
    seed = int(hashes_D[present].sum(dtype=np.uint64))
    return bootstrap_shares(hits_D[present], picks_D[present], seed)


def _random_nll(dataset: PickDataset, rows: Any) -> float:
    """Mean -ln of the share of the pack's slots that hold the card taken."""
    total = 0.0
    for start in range(0, len(rows), 4096):
        batch = dataset.batch(rows[start : start + 4096])
        share_B = batch.taken_BC.sum(axis=1) / batch.pack_mask_BC.sum(axis=1)
        total -= float(np.log(share_B).sum())
    return total / len(rows)


def _by_pack_and_pick(
    picks: DraftPicks, rows: Any, outcomes: Outcomes, hits: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    pack_N = np.asarray(picks.pack_number)[rows].astype(np.int64)
    pick_N = np.asarray(picks.pick_number)[rows].astype(np.int64)
    result = []
    for pack, pick in np.unique(np.stack([pack_N, pick_N]), axis=1).T.tolist():
        here = (pack_N == pack) & (pick_N == pick)
        some = outcomes.select(here)
        result.append(
            {
                "pack": pack + 1,
                "pick": pick + 1,
                "picks": len(some),
                "pack_size": float(some.pack_size_N.mean()),
                "top1": top_k(some, 1),
                "top3": top_k(some, 3),
                "nll": float(some.nll_N.mean()),
                **{name: float(hits[name][here].mean()) for name in BASELINES},
            }
        )
    return result


def _reliability(outcomes: Outcomes) -> list[dict[str, Any]]:
    bins = Reliability.of(outcomes)
    return [
        {
            "from": number / ECE_BINS,
            "to": (number + 1) / ECE_BINS,
            "picks": int(bins.picks[number]),
            "confidence": float(bins.confidence[number]),
            "accuracy": float(bins.accuracy[number]),
        }
        for number in range(ECE_BINS)
    ]


def means(measured: Sequence[Measured]) -> dict[str, Any]:
    """Means over all files, those of known sets and those of unseen sets; files count alike."""
    groups = {
        "all": list(measured),
        "known": [each for each in measured if each.figures["known_set"]],
        "unseen": [each for each in measured if not each.figures["known_set"]],
    }
    return {name: _mean(group) for name, group in groups.items() if group}


def _mean(group: Sequence[Measured]) -> dict[str, Any]:
    figures = [each.figures for each in group]
    mean: dict[str, Any] = {"files": len(group)}
    for name in ("drafts", "picks", "unforced_picks"):
        mean[name] = sum(each[name] for each in figures)
    for name in MEANS:
        mean[name] = float(np.mean([each[name] for each in figures]))
    samples = np.mean([each.top1_samples for each in group], axis=0)
    several = all(each["drafts"] > 1 for each in figures)
    mean["top1_unforced_ci95"] = interval(samples) if several else [0.0, 1.0]
    for kind in ("baselines", "baselines_all"):
        mean[kind] = {
            name: float(np.mean([each[kind][name] for each in figures])) for name in BASELINES
        }
    if all("ceiling" in each for each in figures):
        ceiling = {
            name: float(np.mean([each["ceiling"][name] for each in figures]))
            for name in ("top1_unforced", "top1_all")
        }
        mean["ceiling"] = ceiling
        mean["share_of_ceiling"] = {name: mean[name] / ceiling[name] for name in ceiling}
    return mean
