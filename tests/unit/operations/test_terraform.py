from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infrastructure.operations import terraform
from infrastructure.operations.errors import ConfigurationError
from infrastructure.operations.terraform import OFFLINE, PROVIDER, find_plugins, stage_configuration


def test_a_stage_holds_what_terraform_reads(tmp_path: Path) -> None:
    folder = stage_configuration(tmp_path / "stage", OFFLINE)
    assert (folder / "main.tf").is_file()
    assert (folder / "modules" / "edge" / "waf" / "main.tf").is_file()
    assert (folder.parent / "config" / "limits.json").is_file()
    assert (folder / "stage_override.tf").read_text() == OFFLINE


def test_missing_limits_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform, "CONFIG", ("limits.json", "missing.json"))
    with pytest.raises(ConfigurationError, match=r"config/missing\.json: No such file"):
        stage_configuration(tmp_path / "stage", OFFLINE)


def test_a_named_folder_must_hold_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERRAFORM_PLUGIN_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="there is no registry"):
        find_plugins()
    (tmp_path / PROVIDER).mkdir(parents=True)
    assert find_plugins() == tmp_path


@pytest.mark.parametrize("action", ["apply", "destroy", "output"])
def test_without_a_backend_only_a_plan_is_possible(action: str, capsys: Any) -> None:
    assert terraform.main([action, "--env", "prod", "--release", "0.1.0-abcdef0"]) == 1
    assert "backend.hcl is missing: copy envs/backend.hcl.example there" in capsys.readouterr().err


def test_unknown_environments(capsys: Any) -> None:
    assert terraform.main(["plan", "--env", "nowhere"]) == 1
    assert "ENV=nowhere is no environment; there are dev, prod" in capsys.readouterr().err


def test_no_terraform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="terraform is not on the PATH"):
        terraform.find_terraform()
