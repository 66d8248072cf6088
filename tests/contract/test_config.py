"""config/: every key is one TorchServe knows, with a value it takes and that is safe to run.

The keys are read out of TorchServe's own classes, because it ignores what it does not know: a
misspelt `allowed_urls` would leave the default, which is any URL.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import struct
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml

from infrastructure.torchserve import read_properties
from loadtests.payloads import catalogue, encode
from model.cards import PACK_MAX, POOL_MAX, REVIEW_MAX, PickRequest

CONFIG_MANAGER = "org/pytorch/serve/util/ConfigManager.class"
MODEL_CONFIG = "org/pytorch/serve/archive/model/ModelConfig.class"

# Bytes of a constant's content by its tag (JVM specification, 4.4); tag 1 carries its length.
CONSTANT_BYTES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4}
CONSTANT_BYTES |= {15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}

# What config.properties sets; a key that is added or dropped is added or dropped here, too.
PROPERTIES = {
    "enable_envvars_config": "true",
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
    "grpc_inference_address": "127.0.0.1",
    "grpc_management_address": "127.0.0.1",
    "grpc_inference_port": "7070",
    "grpc_management_port": "7071",
    "disable_token_authorization": "true",
    "enable_model_api": "false",
    "allowed_urls": "file://.*",
    "load_models": "draft.mar",
    "install_py_dep_per_model": "false",
    "max_request_size": "1048576",
    "max_response_size": "1048576",
    "metrics_mode": "prometheus",
    "async_logging": "true",
    "blacklist_env_vars": ".*(AWS_|SECRET|TOKEN|PASSWORD).*",
}


@functools.cache
def java_strings(class_file: str) -> frozenset[str]:
    """The text constants of a class in TorchServe's jar."""
    ts = importlib.util.find_spec("ts")
    assert ts is not None
    assert ts.submodule_search_locations
    jar = Path(ts.submodule_search_locations[0]) / "frontend" / "model-server.jar"
    with zipfile.ZipFile(jar) as archive:
        content = archive.read(class_file)
    magic, _, _, count = struct.unpack_from(">IHHH", content)
    assert magic == 0xCAFEBABE
    texts, position, index = set(), 10, 1
    while index < count:
        tag = content[position]
        position += 1
        if tag == 1:
            (length,) = struct.unpack_from(">H", content, position)
            position += 2
            texts.add(content[position : position + length].decode("utf-8", "replace"))
            position += length
        else:
            position += CONSTANT_BYTES[tag]
        index += 2 if tag in (5, 6) else 1  # 64-bit constants take two places
    return frozenset(texts)


@pytest.fixture(scope="module")
def properties(root: Path) -> dict[str, str]:
    return read_properties(root / "config" / "config.properties")


@pytest.fixture(scope="module")
def model_config(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config" / "model-config.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metrics(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config" / "metrics.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def log4j(root: Path) -> ElementTree.Element:
    return ElementTree.parse(root / "config" / "log4j2.xml").getroot()


def test_properties_are_these(properties: dict[str, str]) -> None:
    assert {key: value for key, value in properties.items() if key != "vmargs"} == PROPERTIES


@pytest.mark.parametrize("key", PROPERTIES)
def test_torchserve_knows_the_key(key: str) -> None:
    assert key in java_strings(CONFIG_MANAGER)


def test_an_unknown_key_would_be_noticed() -> None:
    assert "max_requests_size" not in java_strings(CONFIG_MANAGER)


def test_no_key_is_set_twice(root: Path) -> None:
    lines = (root / "config" / "config.properties").read_text(encoding="utf-8").splitlines()
    keys = [line.split("=")[0] for line in lines if line.strip() and not line.startswith("#")]
    assert len(keys) == len(set(keys))


def test_java_gets_a_bounded_heap(properties: dict[str, str]) -> None:
    flags = properties["vmargs"].split()
    assert any(flag.startswith("-Xmx") for flag in flags)
    assert all(flag.startswith("-X") for flag in flags)


def test_request_limit_lets_a_full_review_pass_and_two_megabytes_not(
    properties: dict[str, str],
) -> None:
    cards = catalogue()
    # The longest cards of the examples, as many as a pick and a review can hold.
    cards.sort(key=lambda card: len(msgspec.json.encode(card)), reverse=True)
    pool = (cards * POOL_MAX)[:POOL_MAX]
    pick = encode(PickRequest(pack=list(cards[:PACK_MAX]), pool=list(pool)))
    review = len(b'{"requests":[]}') + REVIEW_MAX * (len(pick) + 1)
    limit = int(properties["max_request_size"])
    assert 650_000 < review <= limit
    assert limit < 2_000_000


def test_documents_give_the_request_limit(
    root: Path, properties: dict[str, str], readme: str
) -> None:
    limit = int(properties["max_request_size"])
    assert re.findall(r"^\| request body \| (\d+) bytes", readme, re.MULTILINE) == [str(limit)]
    contract = (root / "config" / "openapi.yaml").read_text(encoding="utf-8")
    for document in (readme, contract):
        figures = re.findall(r"(\d+) MiB", document)
        assert figures
        assert {int(figure) * 2**20 for figure in figures} == {limit}


def test_model_config_has_typed_keys_with_sane_values(model_config: dict[str, Any]) -> None:
    typed = {
        "minWorkers": int,
        "maxWorkers": int,
        "deviceType": str,
        "batchSize": int,
        "maxBatchDelay": int,
        "jobQueueSize": int,
        "responseTimeout": int,
        "startupTimeout": int,
        "maxRetryTimeoutInSec": int,
    }
    assert {key: type(value) for key, value in model_config.items()} == typed
    assert typed.keys() <= java_strings(MODEL_CONFIG)
    assert model_config["deviceType"] == "cpu"
    # TorchServe takes the workers from here only if both are set and agree.
    assert 0 < model_config["minWorkers"] == model_config["maxWorkers"]
    # A queue shorter than one batch could never fill it.
    assert model_config["jobQueueSize"] >= model_config["batchSize"] > 1
    assert 0 < model_config["maxBatchDelay"] <= 5


def test_metrics_lists_what_the_handler_reports(root: Path, metrics: dict[str, Any]) -> None:
    tree = ast.parse((root / "handler" / "draft_handler.py").read_text(encoding="utf-8"))
    reported = {
        pair.elts[0].value
        for pair in ast.walk(tree)
        if isinstance(pair, ast.Tuple)
        and isinstance(pair.elts[0], ast.Constant)
        and str(pair.elts[0].value).startswith("draft_")
    }
    assert len(reported) == 4
    listed = {
        metric["name"]: (kind, metric)
        for kind, entries in metrics["model_metrics"].items()
        for metric in entries
    }
    assert {name for name in listed if name.startswith("draft_")} == reported
    for name in reported:
        kind, metric = listed[name]
        # The handler decides by the same ending which kind it asks TorchServe for.
        assert kind == ("counter" if name.endswith("_total") else "histogram")
        assert metric["dimensions"] == ["ModelName", "Level"]


def test_every_metric_is_complete_and_listed_once(metrics: dict[str, Any]) -> None:
    assert metrics.keys() == {"dimensions", "ts_metrics", "model_metrics"}
    names = []
    for section in ("ts_metrics", "model_metrics"):
        for kind, entries in metrics[section].items():
            assert kind in ("counter", "gauge", "histogram")
            for metric in entries:
                assert metric.keys() == {"name", "unit", "dimensions"}
                names.append(metric["name"])
    assert len(names) == len(set(names))


def test_logs_go_to_the_console_only(log4j: ElementTree.Element) -> None:
    appenders = list(log4j.find("Appenders") or [])
    assert {appender.tag for appender in appenders} == {"Console"}
    names = {appender.get("name") for appender in appenders}
    references = {reference.get("ref") for reference in log4j.iter("AppenderRef")}
    assert references == names


def test_loggers_write_one_line_a_request(log4j: ElementTree.Element) -> None:
    loggers = {logger.get("name"): logger for logger in log4j.iter("Logger")}
    assert {name: logger.get("level") for name, logger in loggers.items()} == {
        "ACCESS_LOG": "info",
        "TS_METRICS": "off",
        "MODEL_METRICS": "off",
        # Java files whatever a worker prints to stdout under INFO, its errors as well.
        "MODEL_LOG": "info",
        "org.pytorch.serve": "warn",
        "io.netty": "error",
    }
    for logger in loggers.values():
        # Otherwise the root logger writes the line a second time.
        assert logger.get("additivity") == "false"
