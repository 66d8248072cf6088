"""A run small enough to be trained in a test: a recipe, drafts that follow a rule, their cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.features import CardEncoderConfig
from model.network import DraftModelConfig
from tests.unit.training.samples import (
    CARDS,
    Row,
    draft_csv,
    scryfall_json,
    simulated_cards,
    simulated_drafts,
)
from training.config import TrainingConfig
from training.corpus import Corpus, load_corpus
from training.scryfall import CardCatalog

TINY = TrainingConfig(
    model=DraftModelConfig(
        encoder=CardEncoderConfig(text_bins=64, hidden_dim=32, card_dim=16, dropout=0.0),
        hidden_dim=32,
        dropout=0.0,
    ),
    steps=60,
    picks_per_set=64,
    warmup_steps=5,
    learning_rate=1e-2,
    feature_dropout=0.0,
    ema_decay=0.9,
    log_every=10,
    evaluate_every=20,
)

RECIPE = """
steps = 40
picks_per_set = 64
warmup_steps = 5
learning_rate = 1e-2
[model]
hidden_dim = 32
[encoder]
text_bins = 64
hidden_dim = 32
card_dim = 16
"""


def write_drafts(folder: Path, code: str, rows: list[Row], cards: Sequence[str] = CARDS) -> Path:
    """A draft file of the set `code`, called as 17Lands calls it."""
    for row in rows:
        row.cells["expansion"] = code
    path = folder / f"draft_data_public.{code}.PremierDraft.csv"
    path.write_bytes(draft_csv(rows, cards))
    return path


def write_cards(folder: Path, sets: dict[str, str] | None = None) -> Path:
    """Scryfall's file for the cards of `samples`; `sets` says where some of them were printed."""
    cards = simulated_cards()
    for card in cards:
        card["set"] = (sets or {}).get(str(card["name"]), "tst")
    path = folder / "cards.json"
    path.write_bytes(scryfall_json(cards))
    return path


def small_corpus(folder: Path, config: TrainingConfig = TINY) -> Corpus:
    """Two sets with the same cards, T0 and T1."""
    for number, drafts in enumerate((100, 80)):
        write_drafts(folder, f"T{number}", simulated_drafts(drafts, seed=number + 1))
    catalog = CardCatalog.read(write_cards(folder))
    return load_corpus(folder, [], folder / "cache", catalog, config)


def write_project(folder: Path, drafts: int = 120) -> Path:
    """A folder with drafts of TST, their cards and a recipe."""
    (folder / "recipe.toml").write_text(RECIPE)
    write_drafts(folder, "TST", simulated_drafts(drafts))
    write_cards(folder)
    return folder


def command_line(project: Path, *more: str) -> list[str]:
    """Options of `training.train` for the project."""
    paths = {
        "data": project,
        "cards": project / "cards.json",
        "recipe": project / "recipe.toml",
        "output": project / "run",
        "cache": project / "cache",
    }
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return [*options, "--threads", "1", *more]
