"""Recipes: what is accepted, and what each mistake is answered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from training.config import TrainingConfig
from training.textfile import DataError

Write = Callable[..., Path]
RECIPES = sorted((Path(__file__).parents[3] / "config" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_project_can_be_read(path: Path) -> None:
    assert TrainingConfig.read(path).steps >= 1


def test_values_and_overrides(write: Write) -> None:
    path = write(
        "r.toml", b"steps = 7\nseed = 3\n[model]\nhidden_dim = 32\n[encoder]\ncard_dim = 16"
    )
    config = TrainingConfig.read(path, steps=None, seed=5)
    assert (config.steps, config.seed) == (7, 5)
    assert (config.model.hidden_dim, config.model.encoder.card_dim) == (32, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"steps = ", "not TOML"),
        (b"step = 3", "unknown key 'step'"),
        (b"[model]\nwidth = 3", "unknown key 'width'"),
        (b"[encoder]\nwidth = 3", "unknown key 'width'"),
        (b'steps = "many"', "steps must be int"),
        (b"steps = true", "steps must be int"),
        (b"steps = 0", "steps must be at least 1"),
        (b"learning_rate = 0", "learning_rate must be positive"),
        (b"learning_rate = nan", "learning_rate must be positive"),
        (b"ema_decay = 1.0", r"ema_decay must be in \[0, 1\)"),
        (b"weight_decay = -1", "weight_decay must not be negative"),
        (b"[model]\nhidden_dim = 0", "hidden_dim must be at least 1"),
        (b'model_version = ""', "model_version must not be empty"),
    ],
)
def test_mistakes_are_named(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TrainingConfig.read(write("r.toml", content))


def test_a_missing_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        TrainingConfig.read(tmp_path / "absent.toml")
