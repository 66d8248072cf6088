"""Small archives, right and wrong in one place each."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

WEIGHTS = b"weights" * 1000
MODEL_CONFIG = b"""
minWorkers: 2
maxWorkers: 2
batchSize: 32  # why
maxBatchDelay: 1
draft: {x: 1}
"""

MakeArchive = Callable[..., Path]


@pytest.fixture
def make_archive(tmp_path: Path) -> MakeArchive:
    """Write a complete archive, with some members replaced (or left out, for None)."""

    def make(changes: Mapping[str, bytes | None] | None = None, name: str = "some.mar") -> Path:
        manifest: dict[str, Any] = {
            "model": {
                "modelName": "draft",
                "modelVersion": "1.2.3",
                "handler": "draft_handler.py",
                "serializedFile": "model.safetensors",
            }
        }
        meta = {"weights_sha256": hashlib.sha256(WEIGHTS).hexdigest()}
        members: dict[str, bytes | None] = {
            "MAR-INF/MANIFEST.json": json.dumps(manifest).encode(),
            "draft_handler.py": b"class Handler: ...\n",
            "model.safetensors": WEIGHTS,
            "meta.json": json.dumps(meta).encode(),
            "model-config.yaml": MODEL_CONFIG,
        }
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in (members | dict(changes or {})).items():
                if content is not None:
                    archive.writestr(member, content)
        return path

    return make
