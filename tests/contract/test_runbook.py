"""infrastructure/README.md, held to the Makefile and to Terraform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.test_readme import between


@pytest.fixture(scope="module")
def runbook(root: Path) -> str:
    return (root / "infrastructure" / "README.md").read_text(encoding="utf-8")


def test_the_first_deploy_is_ten_commands(runbook: str) -> None:
    commands = between(runbook, "deploy").strip().splitlines()[1:-1]
    assert len(commands) == 10


def test_every_target_that_is_named_exists(root: Path, runbook: str) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):.*?## ", makefile, re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+(?:-[a-z]+)*)", runbook))
    named |= set(re.findall(r"^make ([a-z]+(?:-[a-z]+)*)", runbook, re.MULTILINE))
    assert {"plan", "apply", "deploy", "rollback", "api-key"} <= named <= targets


def test_every_alarm_has_its_line(root: Path, runbook: str) -> None:
    terraform = root / "infrastructure" / "modules" / "observability" / "main.tf"
    alarms = re.findall(
        r"^    ([a-z-]+) = \{\n      description", terraform.read_text("utf-8"), re.MULTILINE
    )
    assert len(alarms) > 5
    assert re.findall(r"^\| `([a-z-]+)` \|", between(runbook, "alarms"), re.MULTILINE) == alarms


def test_modules_are_those_of_terraform(root: Path, runbook: str) -> None:
    modules = {each.name for each in (root / "infrastructure" / "modules").iterdir()}
    assert set(re.findall(r"^\| `([a-z]+)` \|", runbook.split("## First")[0], re.M)) == modules
