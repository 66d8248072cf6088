"""Terraform, staged once a session; without it or its provider the tier is skipped, loudly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infrastructure.operations.errors import OperationError
from infrastructure.operations.terraform import (
    OFFLINE,
    find_plugins,
    find_terraform,
    plugin_arguments,
    stage_configuration,
)

RELEASE = "0.1.0-abcdef0"


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in a staged copy of the configuration."""

    folder: Path
    env: Mapping[str, str]

    def run(
        self, *arguments: str, accept: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [find_terraform(), f"-chdir={self.folder}", *arguments],
            capture_output=True,
            text=True,
            env=self.env,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode not in accept:
            pytest.fail(
                f"terraform {' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            )
        return done

    def variables(self, environment: str, **values: str) -> list[str]:
        named = {"release": RELEASE} | values
        file = self.folder / "envs" / environment / "terraform.tfvars"
        return [f"-var-file={file}", *(f"-var={name}={text}" for name, text in named.items())]

    def plan(self, environment: str, **values: str) -> dict[str, Any]:
        """The plan's JSON."""
        self.run("plan", "-input=false", "-out=plan", *self.variables(environment, **values))
        shown: dict[str, Any] = json.loads(self.run("show", "-json", "plan").stdout)
        return shown


def stage(folder: Path, override: str, **env: str) -> Terraform:
    """A staged and initialised copy of the configuration."""
    here = stage_configuration(folder, override)
    source = Path(__file__).parents[2] / "infrastructure"
    for name in ("envs", "tests"):
        shutil.copytree(source / name, here / name)
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TF_"))
    }
    terraform = Terraform(
        here, inherited | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"} | env
    )
    terraform.run("init", "-input=false", "-no-color", *plugin_arguments())
    return terraform


@pytest.fixture(scope="session")
def needs_terraform() -> None:
    try:
        find_terraform()
        if find_plugins() is None:
            pytest.skip(
                "infrastructure is NOT TESTED: no folder with the AWS provider was found; set "
                "TERRAFORM_PLUGIN_DIR to one (`terraform providers mirror` makes it)"
            )
    except OperationError as error:
        pytest.skip(f"infrastructure is NOT TESTED: {error}")


@pytest.fixture(scope="session")
def offline(needs_terraform: None, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform that can plan for an empty account, without one."""
    return stage(tmp_path_factory.mktemp("offline"), OFFLINE)


@pytest.fixture(scope="session")
def production(offline: Terraform) -> dict[str, Any]:
    """The plan of `prod`, as JSON."""
    return offline.plan("prod")
