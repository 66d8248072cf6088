"""A task of both images, as Fargate runs it."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from model import PickRequest, Recommender
from tests.gateway.gateway import PICK as PICK_ROUTE

from .build import ROOT
from .conftest import PICK
from .results import LONGEST_START_S, Figures
from .sockets import HalfSent, refuses
from .task import READY_FILE, Task

CONTAINERS = ("torchserve", "gateway")
IN_FLIGHT = 4


def test_answers_as_the_library_does(task: Task) -> None:
    """The libraries in the image are stripped; the answer must be the one of those that are not."""
    answer = task.pick(PICK)
    assert answer.status_code == 200, answer.text
    library = Recommender.load(ROOT / "model" / "weights")
    (expected,) = library.recommend([msgspec.convert(PICK, PickRequest)])
    assert answer.json()["recommended_pick"] == expected.recommended_pick
    assert answer.json()["pick_probabilities"] == pytest.approx(
        list(expected.pick_probabilities), abs=1e-5
    )


def test_starts_in_time(task: Task, figures: Figures) -> None:
    first, load, cores = figures.first_answer_s, figures.load_average, os.cpu_count()
    assert first is not None
    assert load is not None
    assert cores is not None
    if first > LONGEST_START_S and load > cores:
        pytest.skip(f"{first:.1f} s, but {load:.0f} programs wanted one of {cores} cores meanwhile")
    assert first <= LONGEST_START_S


def test_memory(task: Task, figures: Figures) -> None:
    figures.torchserve_rss_bytes = task.resident_bytes("torchserve")
    figures.gateway_rss_bytes = task.resident_bytes("gateway")
    # Half of the task's memory: the rest is for batches of reviews, and for the archive in /tmp.
    assert figures.torchserve_rss_bytes + figures.gateway_rss_bytes < 2 << 30


@pytest.mark.parametrize("container", CONTAINERS)
def test_nobody_in_it_is_root_or_can_become_it(task: Task, container: str) -> None:
    assert {each.uids().real for each in task.processes(container)} == {10001}
    code, status = task.run_in(container, "cat", "/proc/1/status")
    assert code == 0
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize("container", CONTAINERS)
def test_only_the_volume_can_be_written(task: Task, container: str) -> None:
    for folder in ("/opt/draft", "/opt/venv", "/var/log", "/home", "/run", "/etc", "/"):
        code, output = task.run_in(container, "sh", "-c", f"echo > {folder}/probe")
        assert code != 0, folder
        assert "Read-only file system" in output or "Permission denied" in output, output
    code, output = task.run_in(container, "sh", "-c", "echo > /tmp/probe && rm /tmp/probe")
    assert code == 0, output
    _, mounts = task.run_in(container, "cat", "/proc/self/mounts")
    (root,) = [line.split() for line in mounts.splitlines() if line.split()[1] == "/"]
    assert "ro" in root[3].split(",")


def test_only_the_gateway_can_be_reached(task: Task) -> None:
    """TorchServe's ports, the management API among them, are on the task's loopback alone."""
    code, table = task.run_in("torchserve", "cat", "/proc/net/tcp", "/proc/net/tcp6")
    assert code == 0
    listening = {
        int(address.rpartition(":")[2], 16): address.rpartition(":")[0]
        for line in table.splitlines()
        if ": " in line
        for _, address, _, state, *_ in [line.split()]
        if state == "0A"
    }
    open_to_all = {port for port, host in listening.items() if set(host) == {"0"}}
    assert open_to_all == {8000}
    assert {8080, 8081, 8082, 8083} <= listening.keys()


def test_health_check_fails_without_a_ready_worker(new_task: Task) -> None:
    """The image's own: the gateway is there and could not answer a pick."""
    new_task.start("gateway")
    new_task.wait_until_listening()
    code, output = new_task.health("gateway")
    assert code != 0, output


def test_sigterm_loses_no_request(new_task: Task, figures: Figures) -> None:
    """ECS stops the gateway first, because it depends on torchserve, and then torchserve."""
    new_task.start("torchserve")
    new_task.wait_until_healthy("torchserve")
    new_task.start("gateway")
    new_task.wait_until_healthy("gateway")
    requests = [HalfSent(new_task.url, PICK_ROUTE, PICK) for _ in range(IN_FLIGHT)]
    stopped: list[int] = []
    stopping = threading.Thread(target=lambda: stopped.append(new_task.stop("gateway")))
    stopping.start()
    deadline = time.monotonic() + 8
    while not refuses(new_task.url):
        assert time.monotonic() < deadline, new_task.log("gateway")
        time.sleep(0.02)
    # The gateway takes nothing new any more, and these it had taken before.
    answers = [each.finish() for each in requests]
    assert [status for status, _ in answers] == [200] * IN_FLIGHT
    assert all("recommended_pick" in json.loads(body) for _, body in answers)
    stopping.join()
    assert stopped == [0], new_task.log("gateway")

    code, _ = new_task.run_in("torchserve", "test", "-e", READY_FILE)
    assert code == 0
    began = time.monotonic()
    assert new_task.stop("torchserve") == 0, new_task.log("torchserve")
    figures.stop_s = time.monotonic() - began
    assert "draft: stopped" in new_task.log("torchserve")


def test_wrong_checksum_does_not_start(new_task: Task) -> None:
    wrong = "0" * 64
    new_task.start("torchserve", MODEL_SHA256=wrong)
    assert new_task.wait_for_end("torchserve") == 1
    (line,) = new_task.log("torchserve").strip().splitlines()
    assert line.startswith("draft: ")
    assert wrong in line
    assert "sha256" in line


@pytest.fixture
def store(new_task: Task, monkeypatch: pytest.MonkeyPatch) -> Any:
    """S3 at an address that the task can reach, with the archive in it."""
    server = ThreadedMotoServer(ip_address=new_task.host, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("NO_PROXY", host)
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket="models")
    archive = ROOT / "build" / "draft.mar"
    client.upload_file(str(archive), "models", "draft/draft.mar")
    client.upload_file(f"{archive}.sha256", "models", "draft/draft.mar.sha256")
    yield client
    server.stop()


def from_s3(store: Any, task: Task) -> dict[str, str]:
    """The environment of a task whose archive is in the store."""
    return {
        "MODEL_PATH": "s3://models/draft/draft.mar",
        "AWS_ENDPOINT_URL": store.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": task.host,
    }


def test_model_from_s3(store: Any, new_task: Task) -> None:
    new_task.start("torchserve", **from_s3(store, new_task))
    new_task.start("gateway")
    new_task.wait_for_answer(PICK)
    assert new_task.pick(PICK).json()["model_version"]


def test_damaged_model_in_s3_does_not_start(store: Any, new_task: Task) -> None:
    body = (ROOT / "build" / "draft.mar").read_bytes()
    store.put_object(Bucket="models", Key="draft/draft.mar", Body=body[:-1] + b"x")
    new_task.start("torchserve", **from_s3(store, new_task))
    assert new_task.wait_for_end("torchserve") == 1
    line = new_task.log("torchserve").strip().splitlines()[-1]
    assert line.startswith("draft: ")
    assert "sha256" in line
