"""The documents and configuration files under test, read once."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """config/openapi.yaml, parsed."""
    return yaml.safe_load((ROOT / "config" / "openapi.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def readme() -> str:
    """README.md."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def project_version() -> str:
    """The one version, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Every file that is, or would be, committed: what git knows and what it does not ignore."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    files = [ROOT / name for name in listing.split("\0") if name]
    return [file for file in files if file.is_file()]
