"""The environment is read, checked and refused with the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from infrastructure.errors import SettingsError
from infrastructure.settings import ROOT, VARIABLES, ModelOverrides, Ports, Settings


def test_everything_has_a_default() -> None:
    settings = Settings.from_environment({})
    assert settings.ports == Ports(8080, 8081, 8082, 7070, 7071, 8083)
    assert settings.bind_address == "127.0.0.1"
    assert settings.model_path == str(ROOT / "build" / "draft.mar")
    assert settings.overrides.as_yaml_keys() == {}
    assert settings.config_dir == ROOT / "config"
    assert settings.limits_file == ROOT / "config" / "limits.json"
    assert settings.ready_file is None


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.from_environment(dict.fromkeys(VARIABLES, "")) == Settings.from_environment({})


def test_every_value_is_taken(tmp_path: Path) -> None:
    for name in ("config.properties", "metrics.yaml", "log4j2.xml"):
        (tmp_path / name).touch()
    settings = Settings.from_environment(
        {
            "PORT": "9000",
            "MANAGEMENT_PORT": "9001",
            "METRICS_PORT": "9002",
            "GRPC_INFERENCE_PORT": "9003",
            "GRPC_MANAGEMENT_PORT": " 9004 ",
            "BIND_ADDRESS": "0.0.0.0",
            "MODEL_PATH": "s3://bucket/key.mar",
            "MODEL_SHA256": "AB" * 32,
            "WORKERS": "3",
            "MAX_BATCH_SIZE": "7",
            "MAX_BATCH_DELAY_MS": "1",
            "JOB_QUEUE_SIZE": "50",
            "START_TIMEOUT": "5",
            "TMPDIR": str(tmp_path),
            "CONFIG_DIR": str(tmp_path),
            "STATUS_PORT": "9005",
            "LIMITS_FILE": "/some/limits.json",
            "READY_FILE": "/run/draft/ready",
            "RUN_DIR": "/run/draft",
        }
    )
    assert settings == Settings(
        ports=Ports(9000, 9001, 9002, 9003, 9004, 9005),
        bind_address="0.0.0.0",
        model_path="s3://bucket/key.mar",
        model_sha256="ab" * 32,
        overrides=ModelOverrides(3, 7, 1, 50),
        start_timeout=5,
        temp_root=tmp_path,
        config_dir=tmp_path,
        limits_file=Path("/some/limits.json"),
        ready_file=Path("/run/draft/ready"),
        run_dir=Path("/run/draft"),
    )
    assert settings.overrides.as_yaml_keys() == {
        "minWorkers": 3,
        "maxWorkers": 3,
        "batchSize": 7,
        "maxBatchDelay": 1,
        "jobQueueSize": 50,
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("METRICS_PORT", "8_082"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "1.5"),
        ("MAX_BATCH_SIZE", "²"),
        ("MAX_BATCH_DELAY_MS", "0"),
        ("MAX_BATCH_DELAY_MS", "10001"),
        ("WORKERS", "65"),
        ("JOB_QUEUE_SIZE", "many"),
        ("START_TIMEOUT", "0"),
        ("BIND_ADDRESS", "example"),
        ("BIND_ADDRESS", "::1"),
        ("BIND_ADDRESS", "127.0.0.1:80"),
        ("MODEL_SHA256", "abc"),
        ("MODEL_SHA256", "g" * 64),
        ("TMPDIR", "/no/such/folder"),
        ("CONFIG_DIR", "/no/such/folder"),
        ("STATUS_PORT", "no"),
        ("READY_FILE", "/run/a b"),
        ("READY_FILE", "/run/$x"),
        ("READY_FILE", "/run/;"),
    ],
)
def test_a_bad_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({variable: value})
    assert variable in str(caught.value)
    assert value in str(caught.value)


def test_two_servers_on_one_port_are_refused() -> None:
    with pytest.raises(SettingsError, match="PORT and MANAGEMENT_PORT are both 8081"):
        Settings.from_environment({"PORT": "8081"})


def test_localhost_is_the_loopback_address() -> None:
    assert Settings.from_environment({"BIND_ADDRESS": "localhost"}).bind_address == "127.0.0.1"
