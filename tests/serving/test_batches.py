"""Requests that share a batch: each gets its own answer, whatever its neighbours are.

The server of these tests waits long for a batch to fill, so that requests sent together are
answered together; its own metric proves that they were.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from infrastructure.readiness import model_status
from loadtests.payloads import catalogue, encode, unseen
from model import Card, PickRequest, Recommender

from .server import JSON, ROOT, LaunchedServer

PREDICT = "/predictions/draft"
TOLERANCE = 1e-6
BATCH = 32
PATIENCE_S = 10.0

CARDS = catalogue()
_library_lock = threading.Lock()
"""A Recommender is for one thread at a time, and some tests check from many."""
Check = Callable[[requests.Response], None]


@dataclass(frozen=True)
class Request:
    """A request with what must come back."""

    kind: str
    body: bytes
    check: Check
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    method: str = "POST"


@pytest.fixture(scope="module")
def library(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """The library in this process, with the weights of the archive the server runs."""
    folder = tmp_path_factory.mktemp("weights")
    with zipfile.ZipFile(archive) as content:
        for name in ("model.safetensors", "meta.json"):
            content.extract(name, folder)
    return Recommender.load(folder)


@pytest.fixture(scope="module")
def batching(archive: Path) -> Iterator[LaunchedServer]:
    """One worker that waits 0.3 s for 32 requests."""
    launched = LaunchedServer(
        {
            "MODEL_PATH": str(archive),
            "WORKERS": "1",
            "MAX_BATCH_SIZE": str(BATCH),
            "MAX_BATCH_DELAY_MS": "300",
        }
    )
    try:
        yield launched.wait_until_ready()
        assert launched.stop() == 0, launched.log
    finally:
        launched.close()


def batches(server: LaunchedServer) -> tuple[int, int]:
    """Batches and requests so far."""
    text = server.http.get(f"{server.metrics_url}/metrics", timeout=30).text
    found = dict(re.findall(r"^draft_batch_size_(count|sum)\{.*\} (\S+)$", text, re.MULTILINE))
    return int(float(found.get("count", 0))), int(float(found.get("sum", 0)))


def batches_since(
    server: LaunchedServer, before: tuple[int, int], requests_sent: int
) -> tuple[int, int]:
    """Batches and requests since then, after all requests sent were counted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        count, total = batches(server)
        if total - before[1] >= requests_sent:
            return count - before[0], total - before[1]
        assert time.monotonic() < deadline, f"{total - before[1]} of {requests_sent} were counted"
        time.sleep(0.05)


def send_together(server: LaunchedServer, sent: Sequence[Request]) -> list[requests.Response]:
    """Send all at once, each over a connection of its own; replies in the order of `sent`."""
    start = threading.Barrier(len(sent))

    def send(request: Request) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            start.wait()
            return session.request(
                request.method,
                server.url + PREDICT,
                data=request.body,
                headers=request.headers,
                timeout=60,
            )

    with ThreadPoolExecutor(len(sent)) as threads:
        return list(threads.map(send, sent))


def send_and_check(server: LaunchedServer, sent: Sequence[Request]) -> None:
    for request, reply in zip(sent, send_together(server, sent), strict=True):
        try:
            request.check(reply)
        except (AssertionError, LookupError, ValueError) as error:
            raise AssertionError(
                f"{request.kind}: {reply.status_code} {reply.text[:500]}\n{error}"
            ) from error


def is_problem(status: int, code: str, path: str = "$") -> Check:
    def check(reply: requests.Response) -> None:
        assert reply.status_code == status
        assert reply.headers["Content-Type"] == "application/problem+json"
        problem = reply.json()
        assert (problem["status"], problem["code"], problem["path"]) == (status, code, path)

    return check


def expect_answer(answer: dict[str, Any], pick: PickRequest, library: Recommender) -> None:
    with _library_lock:
        expected = library.recommend([pick])[0]
    assert answer["pick_probabilities"] == pytest.approx(expected.pick_probabilities, abs=TOLERANCE)
    by_place = sorted(answer["ranking"], key=lambda entry: entry["index"])
    assert [entry["name"] for entry in by_place] == [
        card if isinstance(card, str) else card.name for card in pick.pack
    ]


def some_pick(rng: random.Random, number: int) -> PickRequest:
    """A pick nobody else sends: one card of its pack bears the number."""
    pack: list[Card | str] = [*rng.sample(CARDS, rng.randint(1, 14))]
    if rng.random() < 0.3:
        pack = [unseen(card) if isinstance(card, Card) else card for card in pack]
    marked = unseen(rng.choice(CARDS))
    pack.append(Card(f"Card {number}", marked.mana_cost, marked.type, rarity=marked.rarity))
    rng.shuffle(pack)
    return PickRequest(pack=pack, pool=rng.choices(CARDS, k=rng.randint(0, 45)))


def good(rng: random.Random, number: int, library: Recommender) -> Request:
    pick = some_pick(rng, number)

    def check(reply: requests.Response) -> None:
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == "application/json"
        expect_answer(reply.json(), pick, library)

    return Request("pick", encode(pick), check)


def spoofed(rng: random.Random, number: int, library: Recommender) -> Request:
    """A good pick with a header that TorchServe uses for its own purposes."""
    request = good(rng, number, library)
    name = ("describe", "explain", "body", "data")[number % 4]
    return Request(f"{name} header", request.body, request.check, {**JSON, name: "True"})


def review(rng: random.Random, number: int, library: Recommender) -> Request:
    picks = [some_pick(rng, 1000 * number + place) for place in range(rng.randint(1, 5))]
    broken = rng.randrange(len(picks))
    items = [encode(pick) for pick in picks]
    items[broken] = json.dumps({"pack": [f"Card {number}"], f"field_{number}": 1}).encode()

    def check(reply: requests.Response) -> None:
        assert reply.status_code == 200
        answer = reply.json()
        assert answer["errors"] == 1
        for place, (pick, result) in enumerate(zip(picks, answer["results"], strict=True)):
            if place == broken:
                path = f"$.requests[{broken}].field_{number}"
                assert (result["error"]["code"], result["error"]["path"]) == (
                    "unknown_field",
                    path,
                )
            else:
                expect_answer(result, pick, library)

    return Request("review", b'{"requests":[' + b",".join(items) + b"]}", check)


def bad(rng: random.Random, number: int, library: Recommender) -> Request:
    """Broken in a way of its own: the path or the detail bears the number."""
    place = number % 10
    wrong_card = json.dumps({"pack": ["a"] * place + [number]}).encode()
    return (
        Request("no JSON", b"{" * (number + 1), is_problem(400, "invalid_json")),
        Request("empty", b"", is_problem(400, "empty_body")),
        Request("GET", b"", is_problem(400, "empty_body"), {}, "GET"),
        Request("describe without a body", b"", is_problem(400, "empty_body"),
                {**JSON, "describe": "True"}),
        Request("array", b"[]", is_problem(422, "not_an_object")),
        Request("wrong card", wrong_card, is_problem(422, "wrong_type", f"$.pack[{place}]")),
        Request("unknown field", json.dumps({"pack": ["a"], f"field_{number}": 1}).encode(),
                is_problem(422, "unknown_field", f"$.field_{number}")),
        Request("form", b"pack=Opt", is_problem(415, "unsupported_media_type"),
                {"Content-Type": "application/x-www-form-urlencoded"}),
        Request("deep", b"[" * 5000, is_problem(400, "nested_too_deeply")),
        Request("not UTF-8", b'{"pack":["\xff"]}', is_problem(400, "invalid_utf8")),
    )[number % 10]  # fmt: skip


def test_mixed_requests_in_full_batches(batching: LaunchedServer, library: Recommender) -> None:
    """Ten batches of 32: none of 320 replies is lost, swapped or harmed by another."""
    rng = random.Random(5)
    makers = (good, bad, good, review, good, bad, spoofed, good)
    status = model_status(batching.ports.management)
    for round_number in range(10):
        numbers = range(round_number * BATCH, (round_number + 1) * BATCH)
        sent = [rng.choice(makers)(rng, number, library) for number in numbers]
        before = batches(batching)
        send_and_check(batching, sent)
        count, total = batches_since(batching, before, BATCH)
        assert total == BATCH
        # Sent within the delay of one batch; a busy machine may split them a few times.
        assert count <= BATCH // 4, f"{BATCH} requests came in {count} batches"
    assert model_status(batching.ports.management) == status


def test_one_good_request_among_bad_ones(batching: LaunchedServer, library: Recommender) -> None:
    rng = random.Random(6)
    sent = [bad(rng, number, library) for number in range(BATCH - 1)]
    sent.insert(17, good(rng, 17, library))
    send_and_check(batching, sent)


def test_one_bad_request_among_good_ones(batching: LaunchedServer, library: Recommender) -> None:
    rng = random.Random(7)
    sent = [good(rng, number, library) for number in range(BATCH - 1)]
    sent.insert(0, bad(rng, 4, library))
    send_and_check(batching, sent)


def test_describe_headers_harm_no_neighbour(batching: LaunchedServer, library: Recommender) -> None:
    rng = random.Random(8)
    sent = [(spoofed if number % 2 else good)(rng, number, library) for number in range(BATCH)]
    send_and_check(batching, sent)


def test_operators_question_among_picks(batching: LaunchedServer, library: Recommender) -> None:
    """TorchServe gives its own question a batch of one, between those of the clients."""
    rng = random.Random(9)
    descriptions: list[int] = []

    def describe() -> None:
        reply = requests.get(
            f"{batching.management_url}/models/draft", params={"customized": "true"}, timeout=60
        )
        descriptions.append(len(reply.json()[0]["customizedMetadata"]))

    operator = threading.Thread(target=describe)
    operator.start()
    send_and_check(batching, [good(rng, number, library) for number in range(BATCH)])
    operator.join()
    assert descriptions == [7]


def test_many_clients_at_once(server: LaunchedServer, library: Recommender) -> None:
    """As users run it: short delay, two workers, connections kept open."""
    rng = random.Random(10)
    clients = [
        [rng.choice((good, bad, review))(rng, 100 * client + turn, library) for turn in range(15)]
        for client in range(16)
    ]

    def work(sent: list[Request]) -> int:
        with requests.Session() as session:
            session.trust_env = False
            for request in sent:
                request.check(
                    session.request(
                        request.method,
                        server.url + PREDICT,
                        data=request.body,
                        headers=request.headers,
                        timeout=60,
                    )
                )
        return len(sent)

    with ThreadPoolExecutor(len(clients)) as threads:
        assert sum(threads.map(work, clients)) == 240


def test_a_full_queue_is_told_and_passes(
    start_server: Callable[..., LaunchedServer], library: Recommender
) -> None:
    """With room for one waiting request, some of 24 are refused at once, and none is lost."""
    small = start_server(WORKERS="1", MAX_BATCH_SIZE="1", JOB_QUEUE_SIZE="1").wait_until_ready()
    rng = random.Random(11)
    picks = [some_pick(rng, number) for number in range(45)]
    body = b'{"requests":[' + b",".join(map(encode, picks)) + b"]}"
    expected = library.recommend(picks)
    document = yaml.safe_load((ROOT / "config" / "openapi.yaml").read_text(encoding="utf-8"))
    unavailable = document["components"]["responses"]["Unavailable"]["content"]
    documented = unavailable["application/json"]["examples"]["queue_full"]["value"]

    def check(reply: requests.Response) -> None:
        if reply.status_code == 503:
            assert reply.headers["Content-Type"] == "application/json"
            assert reply.json() == documented
            return
        assert reply.status_code == 200
        for result, answer in zip(reply.json()["results"], expected, strict=True):
            assert result["pick_probabilities"] == pytest.approx(
                answer.pick_probabilities, abs=TOLERANCE
            )

    sent = [Request("review", body, check)] * 24
    replies = send_together(small, sent)
    for reply in replies:
        check(reply)
    statuses = Counter(reply.status_code for reply in replies)
    assert statuses.keys() == {200, 503}
    # The queue has emptied: the same request is answered again.
    assert send_together(small, sent[:1])[0].status_code == 200
