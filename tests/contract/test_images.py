"""The Dockerfiles, and what else tells of the images, agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.operations.images import DOCKERFILES
from tests.contract.test_readme import between
from tests.images.results import table
from tests.images.task import ENVIRONMENT, READY_FILE

SERVING = ("torchserve", "gateway")


def pins(root: Path, name: str) -> set[str]:
    text = (root / "config" / "requirements" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^[A-Za-z].*==.*$", text, re.MULTILINE))


def test_the_gateways_pins_are_the_servers(root: Path) -> None:
    assert pins(root, "gateway.txt") <= pins(root, "serve.txt")
    assert len(pins(root, "gateway.txt")) > 1


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(root: Path, name: str) -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [program, "--no-color", root / DOCKERFILES[name]], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_and_user_are_the_same(root: Path, name: str) -> None:
    text = (root / DOCKERFILES[name]).read_text(encoding="utf-8")
    assert "\nARG BASE_IMAGE=docker.io/library/debian:bookworm-slim\n" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert len(re.findall(r"^FROM", text, re.MULTILINE)) == text.count("FROM ${BASE_IMAGE}")


@pytest.mark.parametrize("name", SERVING)
def test_health_checks_run_the_same_program_everywhere(root: Path, name: str) -> None:
    """ECS does not look at the image's: the task definition has its own."""
    text = (root / DOCKERFILES[name]).read_text(encoding="utf-8")
    (command,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    task = (root / "infrastructure/modules/service/main.tf").read_text(encoding="utf-8")
    expected = re.findall(r'command\s+= \["CMD", (.*)\]', task)
    words = json.loads(command)
    port = {"torchserve": '"8083"', "gateway": "tostring(var.port)"}[name]
    assert ", ".join([*map(json.dumps, words[:-1]), port]) in expected


def test_results_in_the_readme_are_the_measured_ones(root: Path, readme: str) -> None:
    folder = root / "infrastructure" / "results"
    measured = json.loads((folder / "images.json").read_text(encoding="utf-8"))
    assert (folder / "images.md").read_text(encoding="utf-8") == table(measured)
    assert between(readme, "images") == table(measured)


@pytest.mark.parametrize("name", SERVING)
def test_what_is_tested_has_the_environment_of_the_task(root: Path, name: str) -> None:
    task = (root / "infrastructure/modules/service/main.tf").read_text(encoding="utf-8")
    container = re.search(rf'name\s+= "{name}"\n(.*?)portMappings', task, re.DOTALL)
    assert container
    names = set(re.findall(r"\b([A-Z][A-Z0-9_]+)\s+=", container[1]))
    # Set only where the archive is not the image's.
    assert names - {"MODEL_PATH", "MODEL_SHA256"} == ENVIRONMENT[name].keys()
    assert f'"{READY_FILE}"' in task
    assert "drain_s + 10" in task


def test_make_leaves_the_variables_of_a_build_alone(root: Path) -> None:
    """A variable that make sets itself reaches programs instead of the one that make was given."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    own = set(re.findall(r"^([A-Z_]+) *[:?]?=", makefile, re.MULTILINE))
    assert len(own) > 5
    assert own & {"BASE_IMAGE", "BUILD_FLAGS", "CONTAINER_TOOL", "PIP_EXTRA_INDEX_URL"} == set()
