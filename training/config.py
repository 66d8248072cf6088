"""What a training run is made of: one frozen dataclass, read from a TOML recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from model.features import CardEncoderConfig
from model.network import DraftModelConfig
from training.filters import DraftFilter
from training.textfile import DataError

REPORTING = frozenset(
    {
        *("model_version", "log_every", "evaluate_every", "evaluation_picks"),
        "unseen_inverse_temperature",
    }
)
"""Fields that change what is told of a run, or follows it: a run may go on with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A recipe. Raises ValueError for values that cannot be trained with."""

    model_version: str = "0.1.0"
    """What the server reports as the model's version."""
    model: DraftModelConfig = field(default_factory=DraftModelConfig)
    filters: DraftFilter = field(default_factory=DraftFilter)
    """Which drafts to learn from."""
    hold_out: tuple[str, ...] = ()
    """Codes of sets to keep out, to measure what the model makes of sets it never saw."""
    hold_out_cards: bool = False
    """Keep out their cards, too: no pick between them, not even of a reprint in another set."""
    seed: int = 1
    steps: int = 4000
    sets_per_step: int = 4
    """Sets drawn for each step; all cards of a set are encoded once for all its picks."""
    picks_per_set: int = 256
    learning_rate: float = 2e-3
    """At its highest, after the warm-up; it falls along a half cosine to `final_rate` of that."""
    warmup_steps: int = 100
    final_rate: float = 0.02
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    set_dropout: float = 0.25
    """Probability that a set is shown as a new one: without what was learnt of its single cards."""
    card_dropout: float = 0.02
    """Likewise of a single card of the other sets."""
    feature_dropout: float = 0.3
    """Probability that a feature of a card of a new set is hidden: words must not be names."""
    known_feature_dropout: float = 0.0
    """Likewise of a card of the other sets."""
    unseen_inverse_temperature: float = 1.0
    """The factor on the logits of packs of unknown cards, where no set is held out to fit it on."""
    ema_decay: float = 0.998
    """Of the moving average of the weights, which is what is evaluated and shipped."""
    value_weight: float = 0.1
    """Of the value loss; a pick whose event has no known result adds 0 to its mean."""
    log_every: int = 100
    evaluate_every: int = 1000
    evaluation_picks: int = 400
    """Validation picks a set while training; at the end all held-out picks are used."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "sets_per_step",
            "picks_per_set",
            "log_every",
            "evaluate_every",
            "evaluation_picks",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in (
            "set_dropout",
            "card_dropout",
            "feature_dropout",
            "known_feature_dropout",
            "ema_decay",
            "final_rate",
        ):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip", "unseen_inverse_temperature"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("weight_decay", "value_weight", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")
        if not self.model_version:
            raise ValueError("model_version must not be empty")
        codes = tuple(dict.fromkeys(code.upper() for code in self.hold_out))
        object.__setattr__(self, "hold_out", codes)
        if self.hold_out_cards and not codes:
            raise ValueError("hold_out_cards needs sets to hold out: hold_out is empty")

    @classmethod
    def read(
        cls, path: Path, *, filters: Mapping[str, Any] | None = None, **overrides: Any
    ) -> TrainingConfig:
        """The recipe at `path`; keyword arguments that are not None replace its values.

        `[model]` and `[encoder]` are the sizes of the network, `[filters]` the drafts to learn
        from (`filters` replaces single keys of it). Raises DataError with the file and the key for
        anything that is not a recipe.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not TOML: {error}") from None
        values |= _given(overrides)
        try:
            tables = {name: _table(values, name) for name in ("encoder", "model", "filters")}
            encoder = _build(CardEncoderConfig, tables["encoder"])
            model = _build(DraftModelConfig, tables["model"] | {"encoder": encoder})
            chosen = _build(DraftFilter, tables["filters"] | _given(filters or {}))
            config: TrainingConfig = _build(cls, values | {"model": model, "filters": chosen})
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}") from None
        return config


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _table(values: dict[str, Any], name: str) -> dict[str, Any]:
    table = values.pop(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a table, [{name}], not {table!r}")
    return table


def _build(kind: Any, values: dict[str, Any]) -> Any:
    """`kind(**values)`, after a check that every value has the type of the field's default."""
    known = {f.name: str(f.type) for f in fields(kind)}
    values = dict(values)
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown key {name!r}; known: {', '.join(known)}")
        if known[name] == "tuple[str, ...]":
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
                raise ValueError(f"{name} must be a list of texts, not {value!r}")
            values[name] = tuple(value)
        elif known[name] == "bool" and not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, not {value!r}")
        elif kind is DraftFilter and name in ("since", "until"):
            continue  # may be TOML's own date; the filter checks it
        expected = {"int": (int,), "float": (int, float), "str": (str,)}.get(known[name])
        if expected and (isinstance(value, bool) or not isinstance(value, expected)):
            raise ValueError(f"{name} must be {known[name]}, not {value!r}")
    return kind(**values)
