"""`make image` and `make push`, with programs on the PATH that write down what they were asked.

No registry can run here, so that a push arrives is not shown; that images are built is, by
tests/images.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infrastructure.operations.errors import ConfigurationError, OperationError
from infrastructure.operations.images import (
    DOCKERFILES,
    ROOT,
    TOOLS,
    Builder,
    find_builder,
    main,
    push,
)
from infrastructure.operations.release_name import release_name
from infrastructure.operations.stack import Stack

RELEASE = "0.1.0-1a2b3c4"
STACK = Stack("prod", "us-west-2", "draft-prod")

_TOOL = """#!{python}
import json, os, sys
fed = "" if sys.stdin.isatty() else sys.stdin.read()
call = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open({record!r}, "a") as file:
    file.write(json.dumps([call, fed, os.environ.get("DOCKER_BUILDKIT")]) + "\\n")
sys.exit({code} if {refused!r} in sys.argv else 0)
"""


class Tools:
    """Programs of a folder that is the whole PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._record = folder / "calls.jsonl"
        self._record.touch()
        git = "/usr/bin/git"
        if Path(git).exists():
            (self.folder / "git").symlink_to(git)

    def add(self, *names: str, refuse: str = "-") -> None:
        """Programs that fail when `refuse` is one of their arguments."""
        for name in names:
            program = self.folder / name
            program.write_text(
                _TOOL.format(
                    python=sys.executable, record=str(self._record), refused=refuse, code=7
                )
            )
            program.chmod(0o755)

    @property
    def calls(self) -> list[tuple[list[str], str, str | None]]:
        return [tuple(json.loads(line)) for line in self._record.read_text().splitlines()]

    @property
    def commands(self) -> list[list[str]]:
        return [command for command, _, _ in self.calls]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    found = Tools(tmp_path)
    monkeypatch.setenv("PATH", str(found.folder))
    for name in ("CONTAINER_TOOL", "BUILD_FLAGS", "PIP_EXTRA_INDEX_URL", "BASE_IMAGE", "DRY_RUN"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto's ECR with the repositories of the stack."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        for container in ("torchserve", "gateway"):
            boto3.client("ecr", region_name=STACK.region).create_repository(
                repositoryName=STACK.repository(container)
            )
        yield


@pytest.mark.parametrize("tool", TOOLS)
def test_takes_the_tool_that_is_there(tools: Tools, tool: str) -> None:
    tools.add(tool)
    assert find_builder() == Builder(tool)


def test_a_docker_client_without_an_engine_does_not_count(tools: Tools) -> None:
    tools.add("docker", refuse="info")
    tools.add("buildah")
    assert find_builder() == Builder("buildah")
    assert tools.commands == [["docker", "info"]]


def test_the_wanted_tool_is_taken_or_nothing(tools: Tools) -> None:
    tools.add("docker", "podman")
    assert find_builder({"CONTAINER_TOOL": "podman"}) == Builder("podman")
    with pytest.raises(ConfigurationError, match="buildah is not installed"):
        find_builder({"CONTAINER_TOOL": "buildah"})
    with pytest.raises(ConfigurationError, match=r"CONTAINER_TOOL=kaniko is not one of docker, "):
        find_builder({"CONTAINER_TOOL": "kaniko"})


def test_without_any_tool_the_message_says_what_was_found(
    tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("docker", refuse="info")
    assert main(["build", "--release", RELEASE]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line == (
        "draft: no container tool can be used: docker has no engine that answers, podman is not "
        "installed, buildah is not installed; install one of them (`make image-packages` gets "
        "Podman on Debian and Ubuntu)"
    )


@pytest.mark.parametrize(
    ("tool", "start"),
    [
        ("docker", ["docker", "build"]),
        ("podman", ["podman", "build", "--format", "docker"]),
        ("buildah", ["buildah", "bud", "--format", "docker"]),
    ],
)
def test_build_commands(
    tools: Tools, tool: str, start: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.add(tool)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://wheels.example/cpu")
    monkeypatch.setenv("BUILD_FLAGS", "--secret 'id=pip_conf,src=my pip.conf'")
    assert main(["build", "--release", RELEASE]) == 0
    builds = [call for call in tools.calls if call[0] != ["docker", "info"]]
    labels = [
        "--label=org.opencontainers.image.version=0.1.0",
        "--label=org.opencontainers.image.revision=1a2b3c4",
    ]
    arguments = ["--build-arg=PIP_EXTRA_INDEX_URL=https://wheels.example/cpu", *labels]
    flags = ["--secret", "id=pip_conf,src=my pip.conf"]
    assert [command for command, _, _ in builds] == [
        [*start, *arguments, *flags, "-f", DOCKERFILES[name], "-t", f"draft-{name}:{RELEASE}", "."]
        for name in ("torchserve", "gateway")
    ]
    assert {buildkit for _, _, buildkit in builds} == {"1"}


def test_a_password_does_not_get_into_an_image(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("podman")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://me:hunter2@wheels.example/cpu")
    assert main(["build", "--release", RELEASE]) == 1
    said = capsys.readouterr()
    assert "PIP_EXTRA_INDEX_URL holds a password" in said.err
    assert "hunter2" not in said.out + said.err
    assert tools.commands == []


def test_flags_with_an_open_quote(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("podman")
    monkeypatch.setenv("BUILD_FLAGS", "--secret 'id=x")
    assert main(["build", "--release", RELEASE]) == 1
    assert "BUILD_FLAGS cannot be read" in capsys.readouterr().err
    assert tools.commands == []


def test_dry_run_only_shows(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("podman")
    monkeypatch.setenv("DRY_RUN", "1")
    assert main(["build", "--release", RELEASE, "--images", "training"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("draft: podman build --format docker ")
    assert line.endswith(f"-f infrastructure/training.Dockerfile -t draft-training:{RELEASE} .")
    assert tools.commands == []


def test_a_failed_build_stops_there(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    tools.add("podman", refuse=DOCKERFILES["torchserve"])
    assert main(["build", "--release", RELEASE]) == 1
    assert capsys.readouterr().err == "draft: podman build failed; its message is above\n"
    assert len(tools.commands) == 1


def test_the_default_release_is_what_is_checked_out(tools: Tools) -> None:
    tools.add("podman")
    revision = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert main(["build", "--images", "gateway"]) == 0
    (command,) = tools.commands
    assert command[-2].endswith(f"-{revision}")


@pytest.mark.usefixtures("registry")
def test_push(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    tools.add("podman")
    push(STACK, ("torchserve", "gateway"), RELEASE, dry_run=False)
    host = f"123456789012.dkr.ecr.{STACK.region}.amazonaws.com"
    assert tools.commands == [
        ["podman", "login", "--username", "AWS", "--password-stdin", host],
        *(
            command
            for name in ("torchserve", "gateway")
            for remote in [f"{host}/draft-prod/{name}:{RELEASE}"]
            for command in (
                ["podman", "tag", f"draft-{name}:{RELEASE}", remote],
                ["podman", "push", remote],
            )
        ),
    ]
    said = capsys.readouterr().out
    (password, *others) = [fed for _, fed, _ in tools.calls]
    assert password
    assert password not in said
    assert set(others) == {""}
    assert said.splitlines()[-1] == f"draft: pushed; next: make deploy ENV=prod RELEASE={RELEASE}"


@pytest.mark.usefixtures("registry")
def test_push_dry_run(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    tools.add("podman")
    push(STACK, ("gateway",), RELEASE, dry_run=True)
    assert tools.commands == []
    shown = capsys.readouterr().out
    assert "podman login" in shown
    assert f"draft-prod/gateway:{RELEASE}" in shown
    assert "pushed" not in shown


@pytest.mark.usefixtures("registry")
def test_push_to_a_missing_repository(tools: Tools) -> None:
    tools.add("podman")
    with pytest.raises(OperationError, match=r"asking for the registry: .*draft-prod/training"):
        push(STACK, ("gateway", "training"), RELEASE, dry_run=False)
    assert tools.commands == []


def test_push_refuses_uncommitted_changes(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    assert release_name(clone, clean=True).startswith("1.2.3-")
    (clone / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n')
    with pytest.raises(ConfigurationError, match="uncommitted changes"):
        release_name(clone, clean=True)
    with pytest.raises(ConfigurationError, match="git revision is unknown"):
        release_name(tmp_path)
