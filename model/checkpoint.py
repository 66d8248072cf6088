"""Weights on disk: `model.safetensors` and `meta.json`, and every reason to refuse them.

`meta.json` binds the file (sha256, size), the network's sizes, the feature schema the encoder
was trained on, the data and the measured quality. Nothing is pickled, nothing is repaired:
weights that do not fit the code are refused with one message.

    CheckpointError
    ├── CheckpointNotFound     a file is missing or unreadable
    ├── CheckpointCorrupt      not JSON, not safetensors, or not the bytes that meta.json names
    ├── SchemaMismatch         trained on other features than this code extracts
    ├── TensorMismatch         a tensor is missing, too many, or of another shape
    └── NonFiniteWeights       NaN or infinity among the weights
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from model.card_table import CardTable
from model.features import FEATURE_SCHEMA_VERSION, CardEncoderConfig, CardFeatureExtractor
from model.network import DraftModel, DraftModelConfig

WEIGHTS_FILE = "model.safetensors"
META_FILE = "meta.json"
FORMAT = 2
"""2: the card table says which cards were trained on."""

_NETWORK = "network."
_TABLE = ("card_table.codes", "card_table.scale", "card_table.trained", "card_table.names")


class CheckpointError(Exception):
    """Weights that must not be served; the message says why."""


class CheckpointNotFound(CheckpointError):
    """A file of the checkpoint is missing or unreadable."""


class CheckpointCorrupt(CheckpointError):
    """A file of the checkpoint is damaged."""


class SchemaMismatch(CheckpointError):
    """The weights were trained on other features than this code extracts."""


class TensorMismatch(CheckpointError):
    """The tensors are not those of the network that meta.json describes."""


class NonFiniteWeights(CheckpointError):
    """A tensor holds NaN or infinity."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model ready to use, with what `meta.json` tells of it."""

    model: DraftModel
    table: CardTable
    extractor: CardFeatureExtractor
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_version(self) -> str:
        return str(self.meta["model_version"])

    @property
    def sets(self) -> tuple[str, ...]:
        """Codes of the sets whose drafts the model was trained on."""
        return tuple(self.meta["sets"])


def save_checkpoint(
    folder: Path,
    model: DraftModel,
    table: CardTable,
    *,
    model_version: str,
    sets: tuple[str, ...],
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    git_revision: str,
) -> None:
    """Write a checkpoint; each file appears whole or not at all, `meta.json` last.

    Args:
        sets: codes of the training sets.
        metrics: held-out quality, shown by the describe endpoint and the model card.
        data: the manifest of the training data.

    Raises NonFiniteWeights rather than replace good weights by bad ones.
    """
    codes, scale = table.quantized()
    names = "\n".join(table.names).encode()
    tensors = {_NETWORK + name: tensor for name, tensor in model.state_dict().items()}
    tensors |= dict(
        zip(
            _TABLE,
            (
                codes,
                scale,
                table.trained,
                torch.frombuffer(bytearray(names), dtype=torch.uint8),
            ),
            strict=True,
        )
    )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _require_finite(tensors)
    payload = save_tensors(tensors)
    meta = {
        "format": FORMAT,
        "model_version": model_version,
        "weights_sha256": hashlib.sha256(payload).hexdigest(),
        "weights_bytes": len(payload),
        "feature_schema": {
            "version": FEATURE_SCHEMA_VERSION,
            "hash": CardFeatureExtractor(model.config.encoder).schema_hash,
        },
        "model_config": asdict(model.config),
        "cards": len(table),
        "sets": sorted(sets),
        "metrics": dict(metrics),
        "data": dict(data),
        "git_revision": git_revision,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / WEIGHTS_FILE, payload)
    _write(folder / META_FILE, json.dumps(meta, indent=2, sort_keys=True).encode() + b"\n")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; raises a leaf of `CheckpointError` when it must not be served."""
    meta = read_meta(folder)
    config = _config(meta)
    extractor = CardFeatureExtractor(config.encoder)
    trained_on = meta["feature_schema"].get("hash")
    if trained_on != extractor.schema_hash:
        raise SchemaMismatch(
            f"{folder / META_FILE}: the weights were trained on feature schema "
            f"{str(trained_on)[:12]}…, this code extracts {extractor.schema_hash[:12]}…: "
            "retrain the model or use the release that it came with"
        )
    tensors = _read_weights(folder / WEIGHTS_FILE, meta)
    model = DraftModel(config)
    _require_same_tensors(folder / WEIGHTS_FILE, tensors, model)
    _require_finite(tensors)
    model.load_state_dict({name: tensors[_NETWORK + name] for name in model.state_dict()})
    model.eval()
    return Checkpoint(model, _read_table(folder / WEIGHTS_FILE, tensors, meta), extractor, meta)


def read_meta(folder: Path) -> dict[str, Any]:
    """`meta.json`, checked for the fields that every reader relies on."""
    path = folder / META_FILE
    try:
        meta = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointCorrupt(f"{path} is not JSON: {error}") from None
    required = {
        "format": int,
        "model_version": str,
        "weights_sha256": str,
        "weights_bytes": int,
        "feature_schema": dict,
        "model_config": dict,
        "cards": int,
        "sets": list,
        "metrics": dict,
    }
    if not isinstance(meta, dict):
        raise CheckpointCorrupt(f"{path} is not a JSON object")
    for name, kind in required.items():
        if not isinstance(meta.get(name), kind):
            raise CheckpointCorrupt(f"{path}: field {name!r} is missing or no {kind.__name__}")
    if meta["format"] != FORMAT:
        raise CheckpointCorrupt(
            f"{path} has checkpoint format {meta['format']}, this code reads {FORMAT}"
        )
    return meta


def _config(meta: Mapping[str, Any]) -> DraftModelConfig:
    try:
        fields = dict(meta["model_config"])
        return DraftModelConfig(encoder=CardEncoderConfig(**fields.pop("encoder")), **fields)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointCorrupt(f"{META_FILE}: model_config cannot be used: {error}") from None


def _read_weights(path: Path, meta: Mapping[str, Any]) -> dict[str, Tensor]:
    payload = _read(path)
    if len(payload) != meta["weights_bytes"]:
        raise CheckpointCorrupt(
            f"{path} has {len(payload)} bytes instead of {meta['weights_bytes']}: truncated or "
            "not the file that meta.json describes"
        )
    digest = hashlib.sha256(payload).hexdigest()
    if digest != meta["weights_sha256"]:
        raise CheckpointCorrupt(
            f"{path} has sha256 {digest[:12]}… instead of {meta['weights_sha256'][:12]}…: "
            "damaged or not the file that meta.json describes"
        )
    try:
        return load_tensors(payload)
    except (SafetensorError, ValueError) as error:
        raise CheckpointCorrupt(f"{path} is not a safetensors file: {error}") from None


def _require_same_tensors(path: Path, tensors: Mapping[str, Tensor], model: DraftModel) -> None:
    expected = {_NETWORK + name: tensor.shape for name, tensor in model.state_dict().items()}
    missing = sorted((expected.keys() | set(_TABLE)) - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys() - set(_TABLE))
    if missing or extra:
        what = [f"missing: {', '.join(missing)}"] * bool(missing)
        what += [f"unexpected: {', '.join(extra)}"] * bool(extra)
        raise TensorMismatch(f"{path}: {'; '.join(what)}")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise TensorMismatch(
                f"{path}: {name} has shape {tuple(tensors[name].shape)} instead of {tuple(shape)}"
            )


def _require_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NonFiniteWeights(f"tensor {name} holds NaN or infinity")


def _read_table(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> CardTable:
    codes, scale, trained, names = (tensors[name] for name in _TABLE)
    width = meta["model_config"]["encoder"]["card_dim"]
    try:
        known = bytes(names.numpy()).decode().split("\n") if len(names) else []
        if codes.shape != (meta["cards"], width) or scale.shape != (meta["cards"],):
            raise ValueError(
                f"codes {tuple(codes.shape)} and scales {tuple(scale.shape)} do not belong to "
                f"{meta['cards']} cards of width {width}"
            )
        return CardTable.from_quantized(known, codes, scale, trained)
    except ValueError as error:
        raise TensorMismatch(f"{path}: card table: {error}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointNotFound(f"{path}: {error.strerror}") from None


def _write(path: Path, payload: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
