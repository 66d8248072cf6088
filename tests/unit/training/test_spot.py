"""The spot notice, from a metadata server that behaves and misbehaves as AWS's does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from training.spot import ENDPOINT, SpotWatcher, endpoint

NOTICE = '{"action": "terminate", "time": "2026-11-25T20:00:00Z"}'


class Metadata(ThreadingHTTPServer):
    """IMDSv2: no answer without a token of its own, which expires after `token_uses` answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.notice: str | None = None
        self.token_uses = 1000
        self.tokens: list[str] = []
        self.uses = 0
        self.asked: list[str] = []
        self.broken = False
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        if self.path != "/latest/api/token" or ttl is None or not 1 <= int(ttl) <= 21600:
            self._answer(400, "")
            return
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        self.server.uses = 0
        self._answer(200, self.server.tokens[-1])

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if self.server.broken:
            self.server.released.wait(10)  # no answer until the client has given up
            return
        token = self.headers.get("X-aws-ec2-metadata-token")
        self.server.uses += 1
        if token not in self.server.tokens[-1:] or self.server.uses > self.server.token_uses:
            self._answer(401, "")
        elif self.path != "/latest/meta-data/spot/instance-action" or self.server.notice is None:
            self._answer(404, "<html>404</html>")
        else:
            self._answer(200, self.server.notice)

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


class Heard:
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.warnings: list[str] = []


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watcher(metadata: Metadata, heard: Heard) -> Iterator[SpotWatcher]:
    watcher = SpotWatcher(
        metadata.address, heard.notices.append, heard.warnings.append, 0.02, timeout_seconds=0.2
    )
    yield watcher
    if watcher.is_alive():
        watcher.close()


def wait_for(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_no_notice_is_none(metadata: Metadata, watcher: SpotWatcher) -> None:
    assert watcher.look() is None
    assert watcher.look() is None
    path = "/latest/meta-data/spot/instance-action"
    assert metadata.asked == ["PUT /latest/api/token", f"GET {path}", f"GET {path}"]


def test_a_notice_is_told_once_and_ends_the_watch(
    metadata: Metadata, watcher: SpotWatcher, heard: Heard
) -> None:
    watcher.start()
    wait_for(lambda: len(metadata.asked) > 3)
    assert heard.notices == []
    metadata.notice = NOTICE
    wait_for(lambda: not watcher.is_alive())
    assert heard.notices == [NOTICE]
    assert heard.warnings == []


def test_an_expired_token_is_replaced_at_once(metadata: Metadata, watcher: SpotWatcher) -> None:
    metadata.token_uses = 2
    assert [watcher.look() for _ in range(5)] == [None] * 5
    assert len(metadata.tokens) == 3


def test_a_server_that_does_not_answer_is_said_once_and_asked_again(
    metadata: Metadata, watcher: SpotWatcher, heard: Heard
) -> None:
    metadata.broken = True
    watcher.start()
    wait_for(lambda: sum(each.startswith("GET") for each in metadata.asked) >= 3)
    assert len(heard.warnings) == 1
    assert "no answer on spot notices" in heard.warnings[0]
    metadata.notice, metadata.broken = NOTICE, False
    wait_for(lambda: heard.notices)
    assert len(heard.warnings) == 1


def test_a_refusal_is_an_error(metadata: Metadata, watcher: SpotWatcher) -> None:
    metadata.token_uses = 0  # even a fresh token is refused
    with pytest.raises(requests.HTTPError, match="401"):
        watcher.look()


def test_no_proxy_is_asked(watcher: SpotWatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert watcher.look() is None


def test_closing_does_not_wait_for_the_next_look(metadata: Metadata, heard: Heard) -> None:
    watcher = SpotWatcher(metadata.address, heard.notices.append, heard.warnings.append, 60)
    watcher.start()
    wait_for(lambda: metadata.asked)
    started = time.monotonic()
    watcher.close()
    assert not watcher.is_alive()
    assert time.monotonic() - started < 5


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, Path]:
    """Files of a machine that is none of EC2's."""
    (tmp_path / "vendor").write_text("Some Laptop Company\n")
    return {"vendor": tmp_path / "vendor", "xen_uuid": tmp_path / "absent"}


def test_elsewhere_nothing_is_asked(elsewhere: dict[str, Path]) -> None:
    assert endpoint({}, **elsewhere) is None


@pytest.mark.parametrize(
    ("file", "content"), [("vendor", "Amazon EC2\n"), ("xen_uuid", "ec2e1916-9099-7caf\n")]
)
def test_a_machine_of_ec2_is_known(elsewhere: dict[str, Path], file: str, content: str) -> None:
    elsewhere[file].write_text(content)
    assert endpoint({}, **elsewhere) == ENDPOINT
    assert endpoint({"AWS_EC2_METADATA_DISABLED": "TRUE"}, **elsewhere) is None


def test_the_environment_names_another_server(elsewhere: dict[str, Path]) -> None:
    name = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
    assert endpoint({name: "http://localhost:1/"}, **elsewhere) == "http://localhost:1"
