"""What Terraform itself says of the configuration, and its form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import hcl2
import pytest

from infrastructure.operations.environments import ENVIRONMENTS
from infrastructure.operations.stack import Stack

from .conftest import Terraform

INFRASTRUCTURE = ENVIRONMENTS.parent
MODULES = sorted({file.parent for file in INFRASTRUCTURE.glob("modules/**/*.tf")})
FOUR = {"main.tf", "variables.tf", "outputs.tf", "versions.tf"}


def test_format_and_validity(offline: Terraform) -> None:
    assert offline.run("fmt", "-check", "-recursive", "-diff", accept=(0, 3)).stdout == ""
    answer = json.loads(offline.run("validate", "-json").stdout)
    assert (answer["valid"], answer["warning_count"]) == (True, 0), answer["diagnostics"]


def test_terraform_own_tests(offline: Terraform) -> None:
    """infrastructure/tests/*.tftest.hcl: limits, validations and toggles, against a mocked
    provider.
    """
    done = offline.run("test", "-no-color")
    assert re.search(r"Success! [1-9][0-9]* passed, 0 failed\.", done.stdout), done.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_four_files(module: Path) -> None:
    assert {file.name for file in module.glob("*.tf")} == FOUR


@pytest.mark.parametrize("folder", [INFRASTRUCTURE, *MODULES], ids=lambda folder: folder.name)
def test_variables_and_outputs_are_typed_and_described(folder: Path) -> None:
    for name, kind, needed in (
        ("variables.tf", "variable", {"type", "description"}),
        ("outputs.tf", "output", {"value", "description"}),
    ):
        with (folder / name).open(encoding="utf-8") as file:
            blocks = hcl2.load(file).get(kind, [])
        assert blocks, f"{folder.name}/{name}"
        for block in blocks:
            for key, body in block.items():
                assert needed <= body.keys(), f"{folder.name}/{name}: {key}"
                assert body.get("type") != "any", f"{folder.name}/{name}: {key}"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_operations_know_the_names_that_terraform_gives(
    offline: Terraform, environment: str
) -> None:
    # What AWS gives, such as the usage plan's id, is not in it.
    outputs = offline.plan(environment)["output_changes"]["operations"]["after"]
    stack = Stack.of(environment, {})
    assert outputs["region"] == stack.region
    assert {outputs["cluster"], outputs["service"], outputs["task_family"]} == {stack.cluster}
    assert outputs["web_acl"] == stack.cluster
    assert outputs["waf_log_group"] == stack.waf_log_group
    assert outputs["log_groups"] == {
        name: stack.log_group(name) for name in ("gateway", "torchserve")
    }
    assert outputs["training_log"] == stack.log_group("training")
    assert outputs["queues"] == {size: stack.queue(size) for size in outputs["queues"]}
    assert outputs["job_definitions"] == outputs["queues"]


def test_countries_are_those_that_the_firewall_knows() -> None:
    text = (INFRASTRUCTURE / "variables.tf").read_text(encoding="utf-8")
    (block,) = re.findall(r"setsubtract\(var\.countries, (.*?)\]\)", text, re.DOTALL)
    client = boto3.session.Session().client("wafv2", region_name="us-west-2")
    known = client.meta.service_model.shape_for("CountryCode").enum
    assert re.findall(r"\b[A-Z]{2}\b", block) == sorted(known)
