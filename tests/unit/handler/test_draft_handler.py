"""The class TorchServe loads, with TorchServe's own Context and metrics cache."""

import gc
import json
import logging
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from ts.context import Context, RequestProcessor
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.metrics.metric_type_enum import MetricTypes
from ts.utils.util import list_classes_from_module

from handler import draft_handler
from handler.batch_metrics import BatchMetrics
from handler.draft_handler import STARTUP_ERROR_VARIABLE, DraftHandler
from model.checkpoint import CheckpointError

METRICS = Path(__file__).parents[3] / "config" / "metrics.yaml"
GOOD = b'{"pack": ["Shock", "Fire"], "pool": ["Nobody Knows"]}'


@pytest.fixture(autouse=True)
def _restore_process():
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    gc.unfreeze()
    torch.backends.mkldnn.set_flags(True)


def context_for(folder) -> Context:
    metrics = MetricsCacheYamlImpl(config_file_path=str(METRICS))
    metrics.initialize_cache()
    metrics.model_name = "draft"
    manifest = {"model": {"modelName": "draft", "modelVersion": "1.2.3"}}
    return Context("draft", str(folder), manifest, 8, None, "0.12.0", metrics=metrics)


def send(handler, context, *requests):
    """Requests as the worker hands them over: (parts, headers)."""
    context.request_ids = {place: f"id-{place}" for place in range(len(requests))}
    context.request_processor = [RequestProcessor(headers) for _, headers in requests]
    bodies = handler.handle([parts for parts, _ in requests], context)
    return [
        (context.get_response_status(place)[0], context.get_response_content_type(place), body)
        for place, body in enumerate(bodies)
    ]


def request(body=GOOD, **headers):
    return {"body": body}, {"body": {"content-type": "application/json"}, **headers}


@pytest.fixture
def context(weights) -> Context:
    return context_for(weights)


@pytest.fixture
def handler(context) -> DraftHandler:
    handler = DraftHandler()
    handler.initialize(context)
    return handler


def test_torchserve_finds_exactly_one_class():
    assert list_classes_from_module(draft_handler) == [DraftHandler]


def test_a_batch_gets_its_replies_in_order(handler, context):
    replies = send(handler, context, request(), request(b"{"), request())
    assert [(status, kind) for status, kind, _ in replies] == [
        (200, "application/json"),
        (400, "application/problem+json"),
        (200, "application/json"),
    ]
    assert json.loads(replies[0][2])["model_version"] == "1.2.3"
    assert all(isinstance(body, bytes) for _, _, body in replies)


def test_describe_answers_the_front_end(handler, context):
    (description,) = handler_describe(handler, context)
    assert description["version"] == "1.2.3"
    assert description["feature_schema"]["hash"] == handler.recommender.extractor.schema_hash
    assert description["metrics"] == {"top1": 0.5}
    json.dumps(description, allow_nan=False)


def handler_describe(handler, context):
    context.request_ids = {0: "id"}
    context.request_processor = [RequestProcessor({"describe": "True"})]
    return handler.handle([{}], context)


@pytest.mark.parametrize("header", ["describe", "explain", "body", "data", "requests"])
def test_headers_of_a_client_do_nothing(handler, context, header):
    marked = request()
    marked[1][header] = "True"
    alone = send(handler, context, marked)
    both = send(handler, context, marked, request())
    expected = json.loads(send(handler, context, request())[0][2])["pick_probabilities"]
    for status, _, body in [*alone, *both]:
        assert status == 200
        # Matrix kernels round by the size of the batch.
        assert json.loads(body)["pick_probabilities"] == pytest.approx(expected, abs=1e-6)


def test_the_content_type_is_found_without_a_part_type(handler, context):
    parts = {"body": GOOD}
    for name, value, status in [
        ("Content-Type", "text/csv", 415),
        ("content-type", "application/json", 200),
        ("accept", "*/*", 200),
    ]:
        assert send(handler, context, (parts, {name: value}))[0][0] == status


def test_nothing_leaves_the_handler_as_an_exception(handler, context, monkeypatch, caplog):
    def explode(*_):
        raise MemoryError("no more")

    monkeypatch.setattr(draft_handler, "encode", explode)
    replies = send(handler, context, request(), request())
    assert [status for status, _, _ in replies] == [500, 500]
    assert json.loads(replies[0][2])["code"] == "internal_error"
    assert "no more" in caplog.text


def test_metrics_are_reported_once_a_batch(handler, context, capsys):
    capsys.readouterr()
    send(handler, context, request(), request(), request(b"{"))
    handler._metrics.flush()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    values = {line.split("]")[1].split(".")[0]: line.split(":")[1].split("|")[0] for line in lines}
    assert values.keys() == {
        "draft_latency_seconds",
        "draft_batch_size",
        "draft_picks_per_request",
        "draft_unknown_cards_total",
    }
    assert values["draft_batch_size"] == "3"
    assert float(values["draft_picks_per_request"]) == pytest.approx(2 / 3)
    assert values["draft_unknown_cards_total"] == "2"
    assert 0 < float(values["draft_latency_seconds"]) < 60


def test_metrics_are_written_as_torchserve_writes_them(handler, context, capsys, caplog):
    samples = [("draft_latency_seconds", 0.25), ("draft_unknown_cards_total", 3)]
    capsys.readouterr()
    find = partial(draft_handler._metric, context.metrics)
    metrics = BatchMetrics(find, ("draft", "Model"), period=3600)
    metrics.report(samples)
    assert capsys.readouterr().out == ""
    metrics.flush()
    ours = capsys.readouterr().out.splitlines()
    with caplog.at_level(logging.INFO, logger="ts.metrics"):
        for (name, value), kind in zip(
            samples, (MetricTypes.HISTOGRAM, MetricTypes.COUNTER), strict=True
        ):
            context.metrics.get_metric(name, kind).add_or_update(value, ["draft", "Model"])
    theirs = [record.message for record in caplog.records if "draft_" in record.message]
    clock = re.compile(r",\d+$")
    assert [clock.sub("", line) for line in ours] == [clock.sub("", line) for line in theirs]
    assert all(clock.search(line) for line in ours)


def test_metrics_that_fail_cost_no_reply(handler, context, caplog):
    context.metrics = None
    assert send(handler, context, request())[0][0] == 200
    assert "metrics of a batch were lost" in caplog.text


def test_bad_weights_are_refused_with_the_reason_on_file(weights, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(weights, tmp_path / "weights"))
    (folder / "model.safetensors").write_bytes(b"")
    reason = tmp_path / "reason"
    monkeypatch.setenv(STARTUP_ERROR_VARIABLE, str(reason))
    with pytest.raises(CheckpointError):
        DraftHandler().initialize(context_for(folder))
    assert "CheckpointCorrupt: " in reason.read_text()
    assert "has 0 bytes" in reason.read_text()


def test_a_model_that_cannot_answer_is_not_served(weights, monkeypatch):
    monkeypatch.setattr(
        draft_handler.Recommender, "recommend", lambda *_: (_ for _ in ()).throw(ValueError("NaN"))
    )
    with pytest.raises(ValueError, match="NaN"):
        DraftHandler().initialize(context_for(weights))


def test_worker_threads_and_logs_are_set(handler):
    assert torch.get_num_threads() == 1
    assert not torch.backends.mkldnn.enabled
    assert gc.get_freeze_count() > len(handler.recommender.checkpoint.table)
    assert logging.getLogger().level == logging.WARNING
    assert not logging.getLogger("ts.metrics").isEnabledFor(logging.INFO)
