"""What was learnt -> the weights folder: the network and the vectors of every card in print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model.card_table import CardTable
from model.cards import Card
from model.checkpoint import save_checkpoint
from model.features import CardFeatureExtractor
from training.identity import NONE
from training.learner import Learner
from training.scryfall import CardCatalog

BATCH = 2048


@torch.inference_mode()
def build_table(learner: Learner, catalog: CardCatalog, set_codes: tuple[str, ...]) -> CardTable:
    """Vectors of all cards of the catalogue, and of cards drafted that it does not know.

    What was learnt of a card under its own name is folded into its vector. A name stands for one
    printing, and rarity depends on the printing: the one in the newest of the training sets that
    has the card, else the newest.
    """
    model, identities = learner.model, learner.identities
    extractor = CardFeatureExtractor(model.config.encoder)
    cards = catalog.preferred(catalog.newest_first(code.lower() for code in set_codes))
    cards += [Card(name=name) for name in identities.names if catalog.find(name) is None]
    rows = identities.rows([card.name for card in cards])
    vectors = [
        model.encoder(
            torch.from_numpy(extractor.extract_many(cards[start : start + BATCH])),
            identities(rows[start : start + BATCH]),
        )
        for start in range(0, len(cards), BATCH)
    ]
    return CardTable([card.name for card in cards], torch.cat(vectors), rows != NONE)


def export(
    folder: Path,
    learner: Learner,
    catalog: CardCatalog,
    *,
    set_codes: tuple[str, ...],
    model_version: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    git_revision: str,
) -> None:
    """Write the weights that the server loads; see `save_checkpoint` for the arguments."""
    save_checkpoint(
        folder,
        learner.model,
        build_table(learner, catalog, set_codes),
        model_version=model_version,
        sets=set_codes,
        metrics=metrics,
        data=data,
        git_revision=git_revision,
    )
