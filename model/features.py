"""Cards as vectors: the one place that turns attributes into the model's input.

A vector has two parts: the structural features of `model.attributes` (cost, types, size, rarity,
keywords, effects), then the hashed rules text of `model.text`. Its names and parameters make the
schema hash, which is stored with the weights, so that weights are never run on other features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.attributes import NAMES, has_attributes, write_attributes
from model.cards import Card
from model.keywords import keyword_slot
from model.text import TEXT_PARAMETERS, normal_form, text_vector

__all__ = [
    "FEATURE_SCHEMA_VERSION",
    "STRUCTURAL_DIM",
    "CardEncoderConfig",
    "CardFeatureExtractor",
    "has_attributes",
    "schema_hash",
]

FEATURE_SCHEMA_VERSION = 1
"""Raise it when a feature's *meaning* changes; names and parameters are hashed by themselves."""

STRUCTURAL_DIM = len(NAMES)


@dataclass(frozen=True, slots=True)
class CardEncoderConfig:
    """Sizes of a card's features and of its encoding.

    `text_bins`: hashed rules-text features, half words, half pairs; `hidden_dim`: width of the
    encoder's hidden layer; `card_dim`: width of an encoded card; `dropout`: in training.
    """

    text_bins: int = 2048
    hidden_dim: int = 256
    card_dim: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, least, most in (
            ("text_bins", 2, 1 << 20),
            ("hidden_dim", 1, 1 << 16),
            ("card_dim", 1, 1 << 16),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(
                    f"{name} must be a whole number from {least} to {most}, got {value!r}"
                )
        if (
            isinstance(self.dropout, bool)
            or not isinstance(self.dropout, int | float)
            or not 0.0 <= self.dropout < 1.0
        ):
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")

    @property
    def input_dim(self) -> int:
        """F, the length of a card's feature vector."""
        return STRUCTURAL_DIM + self.text_bins


def schema_hash(version: int, names: Iterable[str], text_parameters: str) -> str:
    """SHA-256, in hexadecimal, over everything that gives a feature its place and meaning."""
    schema = {"version": version, "names": list(names), "text": text_parameters}
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=16)
def _schema(text_bins: int) -> tuple[tuple[str, ...], str]:
    word_bins = text_bins - text_bins // 2
    names = (
        *NAMES,
        *(f"word={index}" for index in range(word_bins)),
        *(f"pair={index}" for index in range(text_bins // 2)),
    )
    return names, schema_hash(FEATURE_SCHEMA_VERSION, names, TEXT_PARAMETERS)


class CardFeatureExtractor:
    """Turns cards into feature vectors of length F = `config.input_dim`. Stateless, thread-safe.

    A card may also be a mapping with `Card`'s fields, which is validated like a request's
    (msgspec.ValidationError names the field at fault).
    """

    def __init__(self, config: CardEncoderConfig | None = None) -> None:
        self.config = config if config is not None else CardEncoderConfig()
        self.feature_names, self.schema_hash = _schema(self.config.text_bins)

    def extract(self, card: Card | Mapping[str, object]) -> NDArray[np.float32]:
        """One card's features, float32 (F,)."""
        row = np.zeros(self.config.input_dim, dtype=np.float32)
        self._write(card, row)
        return row

    def extract_many(self, cards: Iterable[Card | Mapping[str, object]]) -> NDArray[np.float32]:
        """Features of N cards, float32 (N, F), in the order given."""
        listed = list(cards)
        rows = np.zeros((len(listed), self.config.input_dim), dtype=np.float32)
        for card, row in zip(listed, rows, strict=True):
            self._write(card, row)
        return rows

    def _write(self, card: Card | Mapping[str, object], row: NDArray[np.float32]) -> None:
        if not isinstance(card, Card):
            card = msgspec.convert(card, Card)
        # A card named like a keyword ("Vigilance", "Exile") does not speak of itself by that word.
        own_name = "" if keyword_slot(card.name) is not None else card.name
        normal = normal_form(card.oracle_text, own_name)
        write_attributes(card, normal, row[:STRUCTURAL_DIM])
        if normal:
            row[STRUCTURAL_DIM:] = text_vector(normal, self.config.text_bins)
