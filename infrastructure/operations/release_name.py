"""What a release is called: `<version>-<git revision>`, such as 0.1.0-1a2b3c4."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from infrastructure.operations.errors import ConfigurationError

RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+-[0-9a-f]{7,40}")


def project_version(root: Path) -> str:
    """The version in pyproject.toml."""
    with (root / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


def release_name(root: Path, clean: bool = False) -> str:
    """The name of what is checked out in `root`.

    With `clean`, raises ConfigurationError when there are changes that no revision holds: an image
    made of them could never be made again.
    """
    try:
        if clean and _git(root, "status", "--porcelain", "--untracked-files=no"):
            raise ConfigurationError("there are uncommitted changes: commit them before a release")
        revision = _git(root, "rev-parse", "--short=7", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        raise ConfigurationError(
            "the git revision is unknown: run this in a clone of the repository, with git installed"
        ) from None
    return f"{project_version(root)}-{revision}"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
