"""One version: of the project, its API, its change log and the weights it ships."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def test_api_changelog_and_weights_have_the_projects_version(
    root: Path, project_version: str, openapi: dict[str, Any]
) -> None:
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    meta = json.loads((root / "model" / "weights" / "meta.json").read_text(encoding="utf-8"))
    assert {
        "openapi.yaml": openapi["info"]["version"],
        "CHANGELOG.md": headings[0],
        "meta.json": meta["model_version"],
    } == dict.fromkeys(["openapi.yaml", "CHANGELOG.md", "meta.json"], project_version)
