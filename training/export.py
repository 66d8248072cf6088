"""A trained model -> the weights folder: the network and the vectors of every card in print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model.card_table import CardTable
from model.checkpoint import save_checkpoint
from model.features import CardFeatureExtractor
from model.network import DraftModel
from training.scoring import encoder_of
from training.scryfall import CardCatalog

BATCH = 2048


def build_table(model: DraftModel, catalog: CardCatalog, set_codes: tuple[str, ...]) -> CardTable:
    """Vectors of all cards of the catalogue.

    A name stands for one printing, and rarity depends on the printing: the one in the first of
    the training sets that has the card, else the newest.
    """
    encode = encoder_of(model, CardFeatureExtractor(model.config.encoder))
    cards = catalog.preferred(tuple(code.lower() for code in set_codes))
    vectors = [encode(cards[start : start + BATCH]) for start in range(0, len(cards), BATCH)]
    return CardTable([card.name for card in cards], torch.cat(vectors))


def export(
    folder: Path,
    model: DraftModel,
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
        model,
        build_table(model, catalog, set_codes),
        model_version=model_version,
        sets=set_codes,
        metrics=metrics,
        data=data,
        git_revision=git_revision,
    )
