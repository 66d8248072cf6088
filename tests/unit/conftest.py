"""A small checkpoint with random weights, shared by the tests of what is built on it."""

from pathlib import Path

import pytest
import torch

from model.card_table import CardTable
from model.cards import Card
from model.checkpoint import save_checkpoint
from model.features import CardEncoderConfig, CardFeatureExtractor
from model.network import DraftModel, DraftModelConfig

CONFIG = DraftModelConfig(
    CardEncoderConfig(text_bins=64, hidden_dim=24, card_dim=16), hidden_dim=20
)

KNOWN = [
    Card(name="Llanowar Elves", mana_cost="{G}", type="Creature — Elf Druid", power=1, toughness=1),
    Card(name="Shock", mana_cost="{R}", type="Instant", oracle_text="Shock deals 2 damage."),
    Card(name="Fire // Ice", mana_cost="{1}{R} // {1}{U}", type="Instant // Instant"),
    Card(name="Déjà Vu", mana_cost="{2}{U}", type="Sorcery"),
]


def write_checkpoint(folder: Path, **changes) -> Path:
    torch.manual_seed(3)
    model = DraftModel(CONFIG).eval()
    extractor = CardFeatureExtractor(CONFIG.encoder)
    with torch.no_grad():
        vectors = model.encoder(torch.from_numpy(extractor.extract_many(KNOWN)))
    fields = {
        "model_version": "9.9.9",
        "sets": ("FDN", "BLB"),
        "metrics": {"top1": 0.5},
        "data": {"source": "none"},
        "git_revision": "0" * 40,
    }
    table = CardTable([card.name for card in KNOWN], vectors)
    save_checkpoint(folder, model, table, **(fields | changes))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder with a valid checkpoint; copy it before changing anything."""
    return write_checkpoint(tmp_path_factory.mktemp("weights"))
