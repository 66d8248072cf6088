"""Failures inside the service reach the client as problems: the handler's own, and lost workers."""

from __future__ import annotations

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import StartGateway
from .gateway import BODY, Gateway, expect_problem

# What the archive's recommender does with cards of these names; appended to its module.
FAULTS = """
look_up_rows = Recommender.features

def features(self, picks):
    names = {card.name for pick in picks for card in pick.pack}
    if "Raise" in names:
        raise RuntimeError("a fault of the service")
    if "Die" in names:
        import os
        os._exit(3)
    if "Sleep" in names:
        time.sleep(1)
    return look_up_rows(self, picks)

Recommender.features = features
"""


@pytest.fixture
def faulty(archive: Path, tmp_path: Path) -> Path:
    """The archive, with faults that a request can ask for."""
    path = tmp_path / "faulty.mar"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as sink:
        for member in source.infolist():
            data = source.read(member)
            if member.filename == "model/recommender.py":
                data += FAULTS.encode()
            sink.writestr(member, data)
    return path


def pick(*names: str) -> dict[str, list[str]]:
    return {"pack": [*BODY["pack"], *names]}


def test_faults_are_problems_and_the_next_request_is_served(
    start_up: StartGateway, faulty: Path
) -> None:
    gateway = start_up(MODEL_PATH=str(faulty), JOB_QUEUE_SIZE="2", MAX_BATCH_SIZE="1")
    the_handlers_own_error(gateway)
    a_full_queue(gateway)
    a_lost_worker(gateway)


def the_handlers_own_error(gateway: Gateway) -> None:
    direct = gateway.http.post(
        f"http://127.0.0.1:{gateway.ports.inference}/predictions/draft",
        json=pick("Raise"),
        timeout=30,
    )
    reply = gateway.post(body=pick("Raise"))
    expect_problem(reply, 500, "internal_error")
    assert (reply.status_code, reply.content) == (direct.status_code, direct.content)
    assert "X-Problem" not in reply.headers
    assert gateway.post().status_code == 200


def a_full_queue(gateway: Gateway) -> None:
    """One at work, two in the queue; the others are turned away at once."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: gateway.post(body=pick("Sleep")), range(8)))
    refused = [reply for reply in replies if reply.status_code != 200]
    assert 1 <= len(replies) - len(refused) <= 4
    for reply in refused:
        expect_problem(reply, 503, "overloaded")
        assert reply.headers["Retry-After"] == "2"
        assert reply.elapsed.total_seconds() < 1
    assert gateway.post().status_code == 200


def a_lost_worker(gateway: Gateway) -> None:
    reply = gateway.post(body=pick("Die"))
    body = expect_problem(reply, 500, "internal_error")
    assert "a worker was lost" in body["detail"]
    gateway.wait_for(lambda: gateway.post().status_code == 200, "another worker")
    assert json.loads(reply.content) == body
