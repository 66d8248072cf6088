"""The environments of the service: a folder of `infrastructure/envs/` with a `terraform.tfvars`."""

from __future__ import annotations

from pathlib import Path

from infrastructure.operations.errors import ConfigurationError

ENVIRONMENTS = Path(__file__).resolve().parent.parent / "envs"
VARIABLES = "terraform.tfvars"


def environment_folder(name: str) -> Path:
    """The folder of an environment. Raises ConfigurationError, which names those there are."""
    folder = ENVIRONMENTS / name
    if not name or folder.parent != ENVIRONMENTS or not (folder / VARIABLES).is_file():
        known = ", ".join(sorted(each.parent.name for each in ENVIRONMENTS.glob(f"*/{VARIABLES}")))
        raise ConfigurationError(f"ENV={name or '(empty)'} is no environment; there are {known}")
    return folder
