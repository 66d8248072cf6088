"""Checking an archive before Java starts, and writing the operator's overrides into its copy.

TorchServe answers /ping with "Healthy" whatever it was given, so a bad archive has to be found
here. Nothing is imported from the archive and torch is not needed: what only the network can
tell (schema hash, NaN) is left to the handler's `initialize`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import yaml

from infrastructure.errors import ArchiveCorrupt, DiskFullError, is_disk_full
from infrastructure.settings import MODEL_NAME, ModelOverrides

MANIFEST = "MAR-INF/MANIFEST.json"
WEIGHTS = "model.safetensors"
META = "meta.json"
MODEL_CONFIG = "model-config.yaml"
_ZIP_MAGIC = b"PK\x03\x04"


def verify(path: Path, name: str) -> None:
    """Raise `ArchiveCorrupt` unless the archive at `path` is complete and undamaged.

    Checked are: the container and the CRC of every member, the members the server needs, the
    model's name, and the sha256 of the weights against `weights_sha256` in `meta.json`.

    Args:
        path: where the archive lies.
        name: what the operator calls it, for the message.
    """
    with path.open("rb") as file:
        magic = file.read(len(_ZIP_MAGIC))
    if magic != _ZIP_MAGIC:
        raise ArchiveCorrupt(f"{name} is not a model archive (.mar): it is no zip file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, name)
            _check_weights(archive, name)
    except zipfile.BadZipFile as error:
        raise ArchiveCorrupt(f"{name} is truncated or damaged: {error}") from None
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveCorrupt(f"{name} is damaged: {error}") from None


def _check_members(archive: zipfile.ZipFile, name: str) -> None:
    damaged = archive.testzip()
    if damaged is not None:
        raise ArchiveCorrupt(f"{name} is damaged: the checksum of {damaged} in it is wrong")
    members = set(archive.namelist())
    for member in members:
        if member.startswith("/") or ".." in Path(member).parts:
            raise ArchiveCorrupt(f"{name} holds {member!r}, which would leave its folder")
    if MANIFEST not in members:
        raise ArchiveCorrupt(f"{name} is not a model archive: there is no {MANIFEST} in it")
    model = _json_object(archive, MANIFEST, name).get("model")
    model = model if isinstance(model, dict) else {}
    if model.get("modelName") != MODEL_NAME:
        raise ArchiveCorrupt(
            f"{name} holds the model {model.get('modelName')!r}, not {MODEL_NAME!r}"
        )
    handler = str(model.get("handler", "")).partition(":")[0]
    needed = [handler, WEIGHTS, META, MODEL_CONFIG]
    missing = [member for member in needed if member not in members]
    if missing:
        raise ArchiveCorrupt(f"{name} is incomplete: there is no {', no '.join(missing)} in it")


def _check_weights(archive: zipfile.ZipFile, name: str) -> None:
    expected = _json_object(archive, META, name).get("weights_sha256")
    with archive.open(WEIGHTS) as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()  # type: ignore[arg-type]
    if digest != expected:
        raise ArchiveCorrupt(
            f"the weights in {name} are corrupt: the sha256 of {WEIGHTS} is {digest}, "
            f"{META} says {expected}"
        )


def _json_object(archive: zipfile.ZipFile, member: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(archive.read(member))
    except ValueError as error:
        raise ArchiveCorrupt(f"{member} in {name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArchiveCorrupt(f"{member} in {name} is not a JSON object")
    return value


def version(path: Path) -> str:
    """Return the version that the (verified) archive at `path` gives for its model."""
    with zipfile.ZipFile(path) as archive:
        return str(_json_object(archive, MANIFEST, path.name)["model"].get("modelVersion", ""))


def override(path: Path, overrides: ModelOverrides) -> None:
    """Write the operator's overrides into `model-config.yaml` of the archive at `path`.

    The file in the archive beats config.properties, and only the management API beats the file
    (see TorchServe's docs/configuration.md), so this is where a setting has to be made to be in
    force from the first request on.
    """
    changes = overrides.as_yaml_keys()
    if not changes:
        return
    changed = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as sink:
            for member in source.infolist():
                data = source.read(member)
                if member.filename == MODEL_CONFIG:
                    data = _changed_yaml(data, changes)
                # Stored, not deflated: it is unpacked once, a moment later.
                sink.writestr(member, data, compress_type=zipfile.ZIP_STORED)
        changed.replace(path)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"the disk of {path.parent} is full: set TMPDIR to a folder on another disk"
            ) from None
        raise
    finally:
        changed.unlink(missing_ok=True)


def _changed_yaml(data: bytes, changes: dict[str, int]) -> bytes:
    try:
        config = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ArchiveCorrupt(f"{MODEL_CONFIG} in the archive is not YAML: {error}") from None
    if not isinstance(config, dict):
        raise ArchiveCorrupt(f"{MODEL_CONFIG} in the archive is not a YAML mapping")
    return yaml.safe_dump(config | changes, sort_keys=False).encode()
