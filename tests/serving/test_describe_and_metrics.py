"""What an operator sees: the model's description, its metrics, and one log line a request."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.torchserve import read_properties
from model.features import FEATURE_SCHEMA_VERSION

from .server import JSON, ROOT, LaunchedServer

PREDICT = "/predictions/draft"
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def archive_meta(archive: Path) -> dict[str, Any]:
    """meta.json of the archive that is served."""
    with zipfile.ZipFile(archive) as content:
        meta: dict[str, Any] = json.loads(content.read("meta.json"))
    return meta


def describe(server: LaunchedServer) -> dict[str, Any]:
    reply = server.http.get(
        f"{server.management_url}/models/draft", params={"customized": "true"}, timeout=30
    )
    assert reply.status_code == 200, reply.text
    (model,) = reply.json()
    return dict(model)


def metrics(server: LaunchedServer) -> dict[str, float]:
    """Samples by name, those of the draft's metrics without their labels."""
    reply = server.http.get(f"{server.metrics_url}/metrics", timeout=30)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    return {
        name: float(value)
        for name, value in re.findall(
            r'^(draft_\w+|ts_\w+)\{(?![^}]*le=")[^}]*\} (\S+)$', reply.text, re.MULTILINE
        )
    }


def post(server: LaunchedServer, body: bytes, path: str = PREDICT) -> int:
    reply = server.http.post(server.url + path, data=body, headers=JSON, timeout=30)
    return reply.status_code


def settled(server: LaunchedServer) -> dict[str, float]:
    """Samples that no request before this call will change any more."""
    samples = metrics(server)
    while True:
        time.sleep(0.2)
        earlier, samples = samples, metrics(server)
        if samples == earlier:
            return samples


def growth(server: LaunchedServer, before: dict[str, float], name: str, least: float) -> float:
    """How much a sample grew, after waiting until it grew by `least`; workers report late."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        grown = metrics(server).get(name, 0.0) - before.get(name, 0.0)
        if grown >= least:
            return grown
        assert time.monotonic() < deadline, f"{name} grew by {grown}, not by {least}"
        time.sleep(0.05)


def test_description_tells_what_is_served(
    server: LaunchedServer, archive_meta: dict[str, Any]
) -> None:
    model = describe(server)
    assert model["modelName"] == "draft"
    description = model["customizedMetadata"]
    torch_version = description.pop("torch")
    assert torch_version[0].isdecimal()
    assert description == {
        "version": model["modelVersion"],
        "weights": {
            "version": archive_meta["model_version"],
            "sha256": archive_meta["weights_sha256"],
            "git_revision": archive_meta["git_revision"],
        },
        "feature_schema": {
            "version": FEATURE_SCHEMA_VERSION,
            "hash": archive_meta["feature_schema"]["hash"],
        },
        "cards": archive_meta["cards"],
        "sets": archive_meta["sets"],
        "metrics": archive_meta["metrics"],
    }


def test_description_leaves_the_next_pick_alone(server: LaunchedServer) -> None:
    for _ in range(3):
        describe(server)
        assert post(server, b'{"pack":["Opt"]}') == 200


def test_model_config_is_in_force(server: LaunchedServer) -> None:
    config = yaml.safe_load((ROOT / "config" / "model-config.yaml").read_text(encoding="utf-8"))
    model = describe(server)
    capacity = config.pop("jobQueueSize")
    assert {key: model[key] for key in config} == config
    assert model["jobQueueStatus"]["remainingCapacity"] == capacity
    assert len(model["workers"]) == config["minWorkers"]


def test_models_can_be_neither_registered_nor_removed(server: LaunchedServer) -> None:
    register = server.http.post(
        f"{server.management_url}/models", params={"url": "draft.mar"}, timeout=30
    )
    remove = server.http.delete(f"{server.management_url}/models/draft", timeout=30)
    assert (register.status_code, remove.status_code) == (405, 405)
    assert post(server, b'{"pack":["Opt"]}') == 200


def test_management_is_not_reachable_on_the_port_for_predictions(server: LaunchedServer) -> None:
    for path in ("/models", "/models/draft", "/metrics"):
        assert server.http.get(server.url + path, timeout=30).status_code == 404


def test_no_token_is_asked(server: LaunchedServer) -> None:
    assert server.http.get(f"{server.url}/ping", timeout=30).json() == {"status": "Healthy"}


def test_addresses_of_the_file_are_loopback() -> None:
    properties = read_properties(ROOT / "config" / "config.properties")
    addresses = {key: value for key, value in properties.items() if key.endswith("_address")}
    assert len(addresses) == 5
    assert all("127.0.0.1" in address for address in addresses.values())


def test_latency_and_batches_are_counted(server: LaunchedServer) -> None:
    before = settled(server)
    for _ in range(5):
        assert post(server, b'{"pack":["Opt","Shock"]}') == 200
    # One request at a time: as many batches as requests.
    assert growth(server, before, "draft_batch_size_count", 5) == 5
    assert growth(server, before, "draft_batch_size_sum", 5) == 5
    assert growth(server, before, "draft_latency_seconds_count", 5) == 5
    assert 0 < growth(server, before, "draft_latency_seconds_sum", 1e-9) < 5
    assert growth(server, before, "ts_inference_requests_total", 5) == 5


def test_picks_of_a_review_are_counted(server: LaunchedServer) -> None:
    before = settled(server)
    assert post(server, b'{"requests":[' + b",".join([b'{"pack":["Opt"]}'] * 12) + b"]}") == 200
    assert growth(server, before, "draft_picks_per_request_count", 1) == 1
    assert growth(server, before, "draft_picks_per_request_sum", 12) == 12


def test_unknown_cards_are_counted(server: LaunchedServer) -> None:
    before = settled(server)
    assert post(server, b'{"pack":["No Such Card","Opt","No Such Card"]}') == 200
    assert growth(server, before, "draft_unknown_cards_total", 2) == 2


def test_refused_requests_are_counted_too(server: LaunchedServer) -> None:
    before = settled(server)
    assert post(server, b"[]") == 422
    assert growth(server, before, "draft_batch_size_count", 1) == 1


def test_every_metric_of_the_file_is_typed(server: LaunchedServer) -> None:
    content = yaml.safe_load((ROOT / "config" / "metrics.yaml").read_text(encoding="utf-8"))
    assert post(server, b'{"pack":["No Such Card"]}') == 200
    shown = server.http.get(f"{server.metrics_url}/metrics", timeout=30).text
    for kind, entries in content["model_metrics"].items():
        for entry in entries:
            assert f"# TYPE {entry['name']} {kind}\n" in shown


def test_latency_is_a_histogram_in_seconds(server: LaunchedServer) -> None:
    assert post(server, b'{"pack":["Opt"]}') == 200
    shown = server.http.get(f"{server.metrics_url}/metrics", timeout=30).text
    bounds = re.findall(r'^draft_latency_seconds_bucket\{.*le="([^"]+)"', shown, re.MULTILINE)
    assert bounds[0] == "0.005"
    assert bounds[-1] == "+Inf"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"pack":["Opt"]}', 200), (b"", 400), (b'{"pack":[]}', 422)],
    ids=["answered", "empty", "refused"],
)
def test_access_log_has_one_line_a_request(
    server: LaunchedServer, body: bytes, status: int
) -> None:
    """TorchServe logs several by default."""
    version = describe(server)["modelVersion"]
    mark = uuid.uuid4().hex  # TorchServe takes a path behind the version and does nothing with it
    assert post(server, body, f"{PREDICT}/{version}/{mark}") == status
    last = uuid.uuid4().hex
    assert post(server, body, f"{PREDICT}/{version}/{last}") == status
    deadline = time.monotonic() + PATIENCE_S
    while last not in server.log:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)
    (line,) = [line for line in server.log.splitlines() if mark in line]
    assert re.fullmatch(
        rf'\S+ ACCESS /127\.0\.0\.1:\d+ "POST \S+{mark} HTTP/1\.1" {status} \d+', line
    )


def test_nothing_but_access_lines_is_logged_for_requests(server: LaunchedServer) -> None:
    before = len(server.log)
    for body in (b'{"pack":["Opt"]}', b"", b"[[[", b'{"pack":["No Such Card"]}'):
        post(server, body)
    server.wait_for(lambda: server.log.count(" ACCESS ", before) >= 4, "four access lines")
    time.sleep(0.2)  # for a line too many to appear
    lines = server.log[before:].splitlines()
    assert [line for line in lines if " ACCESS " not in line] == []


def test_metrics_that_cannot_be_reported_cost_no_reply_and_are_logged(
    start_server: Callable[..., LaunchedServer], tmp_path: Path
) -> None:
    """Also the proof that a worker's error reaches the log at all."""
    for source in (ROOT / "config").glob("*.*"):
        shutil.copy(source, tmp_path)
    file = tmp_path / "metrics.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["model_metrics"]["counter"] = content["model_metrics"]["histogram"] = []
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    launched = start_server(CONFIG_DIR=str(tmp_path)).wait_until_ready()
    assert post(launched, b'{"pack":["Opt"]}') == 200
    launched.wait_for(lambda: "metrics of a batch were lost" in launched.log, "the error's line")
    launched.wait_for(lambda: "Traceback (most recent call last)" in launched.log, "its traceback")
