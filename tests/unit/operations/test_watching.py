"""Logs, the web ACL's log, API keys and spot training."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from infrastructure.operations import keys, logs, spot, waf
from infrastructure.operations.errors import ConfigurationError, OperationError
from infrastructure.operations.stack import Stack


def write(stack: Stack, group: str, *messages: str) -> None:
    client = stack.client("logs")
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="one")
    now = int(time.time() * 1000)
    events = [
        {"timestamp": now - 1000 + place, "message": message}
        for place, message in enumerate(messages)
    ]
    client.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)


def test_log_lines_in_order(stack: Stack) -> None:
    write(stack, "/draft-prod/gateway", "first", "second")
    shown = list(logs.lines(stack, "gateway", since_s=60))
    assert [line.partition(" ")[2] for line in shown] == ["first", "second"]


def test_old_lines_are_left_out(stack: Stack) -> None:
    write(stack, "/draft-prod/gateway", "old")
    assert list(logs.lines(stack, "gateway", since_s=0.1)) == []


def test_following_shows_each_line_once(stack: Stack) -> None:
    write(stack, "/draft-prod/gateway", "first", "second")
    following = logs.lines(stack, "gateway", since_s=60, follow=True, poll_s=0)
    shown = [next(following).partition(" ")[2] for _ in range(2)]
    client = stack.client("logs")
    client.put_log_events(
        logGroupName="/draft-prod/gateway",
        logStreamName="one",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": "third"}],
    )
    assert [*shown, next(following).partition(" ")[2]] == ["first", "second", "third"]


def test_unknown_and_missing_logs(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="OF=nginx is no log; there are torchserve"):
        list(logs.lines(stack, "nginx", 60))
    with pytest.raises(
        ConfigurationError, match="there is no log /draft-prod/gateway in us-west-2"
    ):
        list(logs.lines(stack, "gateway", 60))


def test_blocked_requests_by_rule_and_address(stack: Stack) -> None:
    def event(action: str, address: str) -> str:
        return json.dumps(
            {
                "action": action,
                "terminatingRuleId": "picks-per-address",
                "httpRequest": {"clientIp": address, "country": "DE"},
            }
        )

    write(
        stack,
        "aws-waf-logs-draft-prod",
        event("BLOCK", "203.0.113.7"),
        event("BLOCK", "203.0.113.7"),
        event("COUNT", "203.0.113.8"),
    )
    shown = list(waf.report(stack, hours=1))
    assert shown[0] == "draft-prod: 2 requests blocked in 1 h"
    assert [line.split() for line in shown[1:]] == [
        ["rule", "2", "picks-per-address"],
        ["address", "2", "203.0.113.7", "(DE)"],
    ]


@pytest.mark.parametrize("hours", [0, -1, 10_000])
def test_hours_that_cannot_be(stack: Stack, hours: float) -> None:
    with pytest.raises(ConfigurationError, match="must be more than 0 and at most 720"):
        list(waf.report(stack, hours))


@pytest.fixture
def plan(stack: Stack) -> Any:
    client = stack.client("apigateway")
    client.create_usage_plan(name="draft-prod")
    client.create_usage_plan(name="another")
    return client


def test_a_key_joins_the_plan(plan: Any, stack: Stack) -> None:
    value = keys.create(stack, "second-client")
    (key,) = plan.get_api_keys(includeValues=True)["items"]
    assert (key["name"], key["value"], key["enabled"]) == ("draft-prod-second-client", value, True)
    own = next(p for p in plan.get_usage_plans()["items"] if p["name"] == "draft-prod")
    members = plan.get_usage_plan_keys(usagePlanId=own["id"])["items"]
    assert [member["id"] for member in members] == [key["id"]]


def test_a_name_is_given_once(plan: Any, stack: Stack) -> None:
    keys.create(stack, "client")
    with pytest.raises(ConfigurationError, match="there is a key draft-prod-client already"):
        keys.create(stack, "client")
    assert len(plan.get_api_keys()["items"]) == 1


def test_a_key_is_disabled(plan: Any, stack: Stack) -> None:
    keys.create(stack, "client")
    keys.create(stack, "client-2")
    keys.disable(stack, "client")
    enabled = {key["name"]: key["enabled"] for key in plan.get_api_keys()["items"]}
    assert enabled == {"draft-prod-client": False, "draft-prod-client-2": True}
    with pytest.raises(ConfigurationError, match="there is no key draft-prod-nobody"):
        keys.disable(stack, "nobody")


@pytest.mark.parametrize("name", ["", "Client", "a b", "-x", "x" * 64])
def test_malformed_names(stack: Stack, name: str) -> None:
    with pytest.raises(ConfigurationError, match="lower-case letters, digits, hyphens"):
        keys.create(stack, name)


def test_without_a_plan_no_key_is_made(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="there are 0 usage plans"):
        keys.create(stack, "client")
    assert stack.client("apigateway").get_api_keys()["items"] == []


def test_a_dry_run_makes_no_key(
    plan: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DRY_RUN", "1")
    assert keys.main(["--env", "prod", "--name", "client"]) == 0
    assert "make API key draft-prod-client" in capsys.readouterr().out
    assert plan.get_api_keys()["items"] == []


@pytest.fixture
def queue(stack: Stack, moto_url: str) -> Any:
    """A bucket and a training queue; moto's jobs succeed at once, without Docker."""
    simple = {"batch": {"use_docker": False}}
    requests.post(f"{moto_url}/moto-api/config", json=simple, timeout=30).raise_for_status()
    where = {"LocationConstraint": stack.region}
    stack.client("s3").create_bucket(Bucket="draft-prod-1", CreateBucketConfiguration=where)
    role = stack.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")
    batch, name = stack.client("batch"), stack.queue("gpu1")
    batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", serviceRole=role["Role"]["Arn"]
    )
    machines = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(
        jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=machines
    )
    container = {"image": "training", "vcpus": 1, "memory": 128}
    batch.register_job_definition(
        jobDefinitionName=name, type="container", containerProperties=container
    )
    return batch


def test_a_job_is_submitted_with_its_variables(queue: Any, stack: Stack) -> None:
    job = spot.submit(stack, "gpu1", "mine", {"SETS": "FDN BLB", "EPOCHS": "2"})
    (described,) = queue.describe_jobs(jobs=[job])["jobs"]
    assert described["jobName"] == "mine"
    told = {each["name"]: each["value"] for each in described["container"]["environment"]}
    assert told["CHECKPOINTS"] == "s3://draft-prod-1/checkpoints/mine"
    assert (told["SETS"], told["EPOCHS"]) == ("FDN BLB", "2")


def test_a_dry_run_submits_nothing(
    queue: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DRY_RUN", "1")
    assert spot.main(["--env", "prod", "--sets", "FDN", "--run", "mine"]) == 0
    assert 'run mine on draft-prod-gpu1: SETS="FDN"' in capsys.readouterr().out
    assert queue.list_jobs(jobQueue=stack.queue("gpu1"))["jobSummaryList"] == []


def test_a_job_needs_sets(capsys: Any) -> None:
    assert spot.main(["--env", "prod", "--sets", " "]) == 1
    assert "SETS is empty" in capsys.readouterr().err


def test_no_queue_of_that_size(stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="there is no queue draft-prod-gpu8"):
        spot.submit(stack, "gpu8", "run", {})


@pytest.mark.parametrize("run", ["", "Run", "a/b", "../x"])
def test_malformed_run_names(stack: Stack, run: str) -> None:
    with pytest.raises(ConfigurationError, match="lower-case letters, digits, hyphens"):
        spot.submit(stack, "gpu1", run, {})


class Batch:
    """A job that moves through these states, one a question; moto runs jobs in containers of
    Docker.
    """

    def __init__(self, *states: str) -> None:
        self._states = list(states)

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        state = self._states.pop(0)
        job = {"status": state, "attempts": [], "statusReason": "Essential container exited"}
        return {"jobs": [job]}


def test_a_job_is_followed_to_its_end(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    write(stack, "/draft-prod/training", "step 1", "step 2")
    batch, real = Batch("RUNNABLE", "RUNNING", "SUCCEEDED"), Stack.client
    monkeypatch.setattr(
        Stack, "client", lambda self, name: batch if name == "batch" else real(self, name)
    )
    shown: list[str] = []
    spot.follow(stack, "job-1", shown.append, poll_s=0)
    assert [line.partition(" ")[2] for line in shown if "step" in line] == ["step 1", "step 2"]
    assert "draft: job job-1: running, attempt 1" in shown


def test_a_failed_job_is_an_error(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, real = Batch("FAILED"), Stack.client
    monkeypatch.setattr(
        Stack, "client", lambda self, name: batch if name == "batch" else real(self, name)
    )
    with pytest.raises(OperationError, match="job job-1 failed: Essential container exited"):
        spot.follow(stack, "job-1", lambda line: None, poll_s=0)


def test_the_weights_of_a_run_are_fetched(stack: Stack, tmp_path: Path) -> None:
    s3 = stack.client("s3")
    s3.create_bucket(
        Bucket="draft-prod-1", CreateBucketConfiguration={"LocationConstraint": stack.region}
    )
    for name, body in (("model.safetensors", b"weights"), ("meta.json", b"{}")):
        s3.put_object(Bucket="draft-prod-1", Key=f"checkpoints/mine/weights/{name}", Body=body)
    spot.fetch(stack, "mine", tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == b"weights"
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "meta.json",
        "model.safetensors",
    ]
    with pytest.raises(ConfigurationError, match="the run left no weights"):
        spot.fetch(stack, "other", tmp_path)
