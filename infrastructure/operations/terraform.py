"""Terraform behind Make: `python -m infrastructure.operations.terraform plan|apply|destroy --env
dev`.

An environment is a folder of `infrastructure/envs/`. With a `backend.hcl` in it (see
`backend.hcl.example`) its state is in S3 and the account is asked. Without one nothing can be
applied, but `plan` still works, offline and without credentials: it shows what would be made in an
empty account, from a copy of the configuration with a local state.

The AWS provider comes from the registry, or from the folder named by TERRAFORM_PLUGIN_DIR, or from
one found under the usual places, in the layout of a file-system mirror.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infrastructure.operations.environments import ENVIRONMENTS, VARIABLES, environment_folder
from infrastructure.operations.errors import ConfigurationError, told
from infrastructure.operations.release_name import release_name

HERE = ENVIRONMENTS.parent
ROOT = HERE.parent
CONFIG = ("limits.json", "openapi.yaml")
PROVIDER = Path("registry.terraform.io/hashicorp/aws")

# Everything but the bucket: releases, data and checkpoints outlive the stack.
DESTROYED = ("observability", "edge", "service", "training", "network")

# What a plan without an account needs: no credentials, no questions.
OFFLINE = """\
terraform {
  backend "local" {}
}

provider "aws" {
  access_key                  = "offline"
  secret_key                  = "offline"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}
"""


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.operations.terraform", description=__doc__
    )
    parser.add_argument("action", choices=("plan", "apply", "destroy", "output"))
    parser.add_argument("--env", required=True, help="a folder of infrastructure/envs/")
    parser.add_argument("--release", default="", help="tag of the images; HEAD's for a plan")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    options = parser.parse_args(arguments)
    try:
        terraform = Terraform(options.env, options.release, dry_run=options.dry_run)
        getattr(terraform, options.action)()
    except subprocess.CalledProcessError as error:
        print(f"draft: {' '.join(error.cmd[:3])} failed; its message is above", file=sys.stderr)
        return 1
    return 0


class Terraform:
    """One environment's Terraform. Raises ConfigurationError for what cannot be run."""

    def __init__(self, env: str, release: str = "", dry_run: bool = False) -> None:
        self.folder = environment_folder(env)
        self.env = env
        self.release = release
        self.dry_run = dry_run
        self.work = ROOT / "build" / "terraform" / env
        self.backend = self.folder / "backend.hcl"

    def plan(self) -> None:
        """Show what an apply would change, and keep the plan as a file."""
        if self.backend.is_file():
            self._init()
            self._run("plan", *self._variables(), f"-out={self.work / 'plan'}")
            return
        print(
            f"draft: {self.backend.relative_to(ROOT)} is missing, so this plan is offline: it "
            "shows what an empty account would get",
            flush=True,
        )
        stage = stage_configuration(self.work / "offline", OFFLINE)
        self._init(stage)
        self._run("plan", *self._variables(), f"-out={self.work / 'plan'}", chdir=stage)

    def apply(self) -> None:
        """Apply the environment; Terraform shows the changes and asks."""
        self._need_backend()
        if not self.release:
            raise ConfigurationError(
                "RELEASE is not set: it is the images' tag that `make push` printed, "
                "such as 0.1.0-1a2b3c4"
            )
        self._init()
        self._run("apply", *self._variables())

    def destroy(self) -> None:
        """Destroy everything but the bucket; Terraform shows the list and asks."""
        self._need_backend()
        self._init()
        print("draft: the bucket with releases, data and checkpoints stays", flush=True)
        self._run("destroy", *self._variables(), *(f"-target=module.{m}" for m in DESTROYED))

    def output(self) -> None:
        """Print the outputs as JSON; secrets are left out."""
        self._need_backend()
        self._init()
        self._run("output", "-json", "operations")

    def _need_backend(self) -> None:
        if not self.backend.is_file():
            raise ConfigurationError(
                f"{self.backend.relative_to(ROOT)} is missing: copy envs/backend.hcl.example there "
                "and fill it in, so that the state is kept where a team can share it"
            )

    def _variables(self) -> list[str]:
        release = self.release or release_name(ROOT)
        return [f"-var-file={self.folder / VARIABLES}", f"-var=release={release}"]

    def _init(self, chdir: Path = HERE) -> None:
        arguments = ["-input=false"]
        if chdir == HERE:
            arguments += ["-reconfigure", f"-backend-config={self.backend}"]
        self._run("init", *arguments, *plugin_arguments(), chdir=chdir, quiet=True)

    def _run(self, *arguments: str, chdir: Path = HERE, quiet: bool = False) -> None:
        command = [find_terraform(), f"-chdir={chdir}", *arguments]
        print("draft: " + " ".join(command), flush=True)
        if self.dry_run:
            return
        environment = os.environ | {"TF_DATA_DIR": str(self.work / "data"), "TF_IN_AUTOMATION": "1"}
        output = subprocess.DEVNULL if quiet else None
        self.work.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, check=True, env=environment, stdout=output)


def stage_configuration(stage: Path, override: str) -> Path:
    """Copy the configuration to `stage`/infrastructure with an override file, and return that
    folder.

    Raises ConfigurationError when the limits or the API's description are missing.
    """
    shutil.rmtree(stage, ignore_errors=True)
    folder = stage / "infrastructure"
    folder.mkdir(parents=True)
    for source in HERE.glob("*.tf"):
        shutil.copy(source, folder)
    shutil.copytree(HERE / "modules", folder / "modules")
    (stage / "config").mkdir()
    for name in CONFIG:
        try:
            shutil.copy(ROOT / "config" / name, stage / "config")
        except OSError as error:
            raise ConfigurationError(f"config/{name}: {error.strerror}") from None
    (folder / "stage_override.tf").write_text(override, encoding="utf-8")
    return folder


def find_terraform() -> str:
    """Terraform's path. Raises ConfigurationError when it is not installed."""
    found = shutil.which("terraform")
    if found is None:
        raise ConfigurationError("terraform is not on the PATH: install 1.10 or newer")
    return found


def plugin_arguments() -> list[str]:
    """How `terraform init` finds the AWS provider: a folder, or the registry."""
    folder = find_plugins()
    return [] if folder is None else [f"-plugin-dir={folder}"]


def find_plugins() -> Path | None:
    """A file-system mirror with the AWS provider, or None to use the registry.

    Raises ConfigurationError when TERRAFORM_PLUGIN_DIR names a folder without it.
    """
    named = os.environ.get("TERRAFORM_PLUGIN_DIR", "")
    if named:
        if not (Path(named) / PROVIDER).is_dir():
            raise ConfigurationError(f"TERRAFORM_PLUGIN_DIR={named}: there is no {PROVIDER} in it")
        return Path(named)
    return next((each for each in _usual_places() if (each / PROVIDER).is_dir()), None)


def _usual_places() -> Iterator[Path]:
    yield Path.home() / ".terraform.d" / "plugins"
    for parent in ("/usr/local/share/terraform", "/usr/share/terraform", "/opt"):
        try:
            yield from sorted(each for each in Path(parent).iterdir() if each.is_dir())
        except OSError:
            continue


if __name__ == "__main__":
    raise SystemExit(main())
