"""Build and push the images: `make image`, `make push ENV=prod`.

Docker, Podman or Buildah builds them, whichever is there (CONTAINER_TOOL chooses). A push needs a
clean checkout: the tag is version and git revision, and the registry never lets a tag be moved.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infrastructure.operations.access import access
from infrastructure.operations.errors import ConfigurationError, OperationError, told
from infrastructure.operations.release_name import release_name
from infrastructure.operations.stack import Stack

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ("docker", "podman", "buildah")

DOCKERFILES = {
    "torchserve": "infrastructure/Dockerfile",
    "gateway": "infrastructure/gateway.Dockerfile",
    "training": "infrastructure/training.Dockerfile",
}
SERVING = ("torchserve", "gateway")

# Handed to the build when set: where pip finds packages, and the image to start from.
_BUILD_ARGUMENTS = ("PIP_EXTRA_INDEX_URL", "BASE_IMAGE")
_HAS_PASSWORD = re.compile(r"://[^/\s]*@")
_INFO_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Builder:
    """A program that builds, logs in, tags and pushes."""

    tool: str

    def build(self, image: str, dockerfile: str, env: Mapping[str, str]) -> list[str]:
        """The command, from the repository's root, that builds `image`, a `name:version-revision`.

        BUILD_FLAGS (words, quoted as in a shell) are added as they are, such as
        `--secret id=pip_conf,src=pip.conf`.

        Raises ConfigurationError for a PIP_EXTRA_INDEX_URL with a password in it, and for
        BUILD_FLAGS with a quote that is not closed.
        """
        if _HAS_PASSWORD.search(env.get("PIP_EXTRA_INDEX_URL", "")):
            raise ConfigurationError(
                "PIP_EXTRA_INDEX_URL holds a password, which would stay in an image's history: put "
                "it into a pip.conf, and set BUILD_FLAGS='--secret id=pip_conf,src=pip.conf'"
            )
        try:
            flags = shlex.split(env.get("BUILD_FLAGS", ""))
        except ValueError as error:
            raise ConfigurationError(f"BUILD_FLAGS cannot be read: {error}") from None
        verb = ["bud"] if self.tool == "buildah" else ["build"]
        # Podman's and Buildah's own format has no health check.
        form = [] if self.tool == "docker" else ["--format", "docker"]
        given = [name for name in _BUILD_ARGUMENTS if env.get(name)]
        arguments = [f"--build-arg={name}={env[name]}" for name in given]
        version, _, revision = image.rpartition(":")[2].partition("-")
        labels = [
            f"--label=org.opencontainers.image.version={version}",
            f"--label=org.opencontainers.image.revision={revision}",
        ]
        options = [*form, *arguments, *labels, *flags]
        return [self.tool, *verb, *options, "-f", dockerfile, "-t", image, "."]

    def login(self, registry: str) -> list[str]:
        """The command that logs in; the password comes on its standard input."""
        return [self.tool, "login", "--username", "AWS", "--password-stdin", registry]

    def tag(self, image: str, remote: str) -> list[str]:
        """The command that names an image for its registry."""
        return [self.tool, "tag", image, remote]

    def push(self, remote: str) -> list[str]:
        """The command that pushes."""
        return [self.tool, "push", remote]


def find_builder(env: Mapping[str, str] = os.environ) -> Builder:
    """The container tool to use: CONTAINER_TOOL, or the first that is there.

    A Docker client whose engine does not answer does not count. Raises ConfigurationError, naming
    what was found of each tool, when there is none.
    """
    wanted = env.get("CONTAINER_TOOL", "")
    if wanted and wanted not in TOOLS:
        raise ConfigurationError(f"CONTAINER_TOOL={wanted} is not one of {', '.join(TOOLS)}")
    lacking = {}
    for tool in (wanted,) if wanted else TOOLS:
        lacking[tool] = _lack(tool)
        if not lacking[tool]:
            return Builder(tool)
    raise ConfigurationError(
        "no container tool can be used: "
        + ", ".join(f"{tool} {lack}" for tool, lack in lacking.items())
        + "; install one of them (`make image-packages` gets Podman on Debian and Ubuntu)"
    )


def _lack(tool: str) -> str:
    """Why the tool cannot be used; empty when it can."""
    if shutil.which(tool) is None:
        return "is not installed"
    if tool == "docker":
        try:
            info = subprocess.run(["docker", "info"], capture_output=True, timeout=_INFO_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"has an engine that is silent for {_INFO_TIMEOUT_S} s"
        if info.returncode:
            return "has no engine that answers"
    return ""


def build(names: Sequence[str], release: str, dry_run: bool) -> None:
    """Build images as draft-<name>:<release>."""
    builder = find_builder()
    for name in names:
        _run(builder.build(local_name(name, release), DOCKERFILES[name], os.environ), dry_run)


def push(stack: Stack, names: Sequence[str], release: str, dry_run: bool) -> None:
    """Push built images to the stack's registry."""
    builder = find_builder()
    ecr = stack.client("ecr")
    with access("asking for the registry"):
        wanted = [stack.repository(name) for name in names]
        found = ecr.describe_repositories(repositoryNames=wanted)["repositories"]
        uris = {each["repositoryName"]: each["repositoryUri"] for each in found}
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).partition(b":")[2]
    registry = next(iter(uris.values())).partition("/")[0]
    _run(builder.login(registry), dry_run, stdin=password)
    for name in names:
        remote = f"{uris[stack.repository(name)]}:{release}"
        _run(builder.tag(local_name(name, release), remote), dry_run)
        _run(builder.push(remote), dry_run)
    if not dry_run:
        print(f"draft: pushed; next: make deploy ENV={stack.environment} RELEASE={release}")


def local_name(name: str, release: str) -> str:
    """What an image is called on this machine."""
    return f"draft-{name}:{release}"


def _run(command: Sequence[str], dry_run: bool, stdin: bytes | None = None) -> None:
    print("draft: " + shlex.join(command), flush=True)
    if dry_run:
        return
    # Docker before 23 mounts secrets only when told to use BuildKit; the other tools do not look.
    done = subprocess.run(
        command, cwd=ROOT, input=stdin, env={"DOCKER_BUILDKIT": "1", **os.environ}
    )
    if done.returncode:
        raise OperationError(f"{' '.join(command[:2])} failed; its message is above")


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.images")
    parser.add_argument("action", choices=("build", "push"))
    parser.add_argument("--env", help="environment to push to")
    parser.add_argument("--images", nargs="+", choices=tuple(DOCKERFILES), default=list(SERVING))
    parser.add_argument("--release", default="", help="tag; HEAD's version and revision by default")
    options = parser.parse_args(arguments)
    dry_run = bool(os.environ.get("DRY_RUN"))
    pushing = options.action == "push"
    release = options.release or release_name(ROOT, clean=pushing)
    if pushing:
        push(Stack.of(options.env or ""), options.images, release, dry_run)
    else:
        build(options.images, release, dry_run)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
