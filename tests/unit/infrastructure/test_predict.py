"""The client's answers and exit codes, against small servers of canned replies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from infrastructure import predict

PICK = {
    "recommended_pick": 0,
    "ranking": [{"rank": 1, "index": 0, "name": "Shock", "probability": 1.0}],
    "warnings": [],
}
PROBLEM = {
    "title": "A list or text is too short or too long",
    "detail": "expected at least one card",
    "code": "wrong_length",
    "path": "$.pack",
}


class Canned(HTTPServer):
    """Gives one reply to everything and keeps the last body."""

    status = 200
    reply: bytes = b""
    received: bytes = b""


class Answer(BaseHTTPRequestHandler):
    server: Canned

    def do_POST(self) -> None:
        self.server.received = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.reply)))
        self.end_headers()
        self.wfile.write(self.server.reply)

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    with Canned(("127.0.0.1", 0), Answer) as canned:
        thread = threading.Thread(target=canned.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("PORT", str(canned.server_port))
        # A proxy in the environment must not be asked for a server on this machine.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        yield canned
        canned.shutdown()
        thread.join()


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("PORT", str(free.getsockname()[1]))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "pack.json"
    path.write_text('{"pack": ["Shock"]}')
    return path


def test_the_file_is_sent_as_it_is_and_the_answer_shown(
    server: Canned, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply = json.dumps(PICK).encode()
    assert predict.main([str(pack)]) == 0
    assert server.received == pack.read_bytes()
    output = capsys.readouterr()
    assert "Shock" in output.out
    assert "100.0 %" in output.out
    assert output.err == ""


def test_a_review_shows_each_pick_and_tells_the_refused_ones(
    server: Canned, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply = json.dumps({"results": [PICK, {"error": PROBLEM}], "errors": 1}).encode()
    assert predict.main([str(pack)]) == 2
    output = capsys.readouterr().out
    assert "Pick 1 of 2" in output
    assert "refused: $.pack: expected at least one card (wrong_length)" in output


@pytest.mark.parametrize(
    ("status", "reply", "exit_code", "said"),
    [
        (422, json.dumps(PROBLEM), 2, "$.pack: expected at least one card (wrong_length)"),
        (503, '{"code": 503, "message": "no worker"}', 1, "answered 503: no worker"),
        (413, "", 2, "answered 413: without saying why"),
        (200, "<html>", 1, "answered 200"),
    ],
)
def test_errors_of_the_server_are_shown(
    server: Canned,
    pack: Path,
    capsys: pytest.CaptureFixture[str],
    status: int,
    reply: str,
    exit_code: int,
    said: str,
) -> None:
    server.status, server.reply = status, reply.encode()
    assert predict.main([str(pack)]) == exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "holds no JSON object"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_sent(
    server: Canned, pack: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    pack.write_bytes(content)
    assert predict.main([str(pack)]) == 2
    assert said in capsys.readouterr().err
    assert server.received == b""


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main(["gone.json"]) == 2
    assert "there is no file gone.json" in capsys.readouterr().err


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('{"pack": ["Shock", "Llanowar Elves"]}', ["Shock", "Llanowar Elves"]),
        ('{"requests": [{"pack": ["Shock"]}]}', ["Pick 1 of 1", "Shock"]),
    ],
)
def test_without_server_the_weights_are_used_and_it_is_said(
    weights: Path, pack: Path, capsys: pytest.CaptureFixture[str], content: str, lines: list[str]
) -> None:
    pack.write_text(content)
    assert predict.main([str(pack), "--weights", str(weights)]) == 0
    output = capsys.readouterr()
    assert all(line in output.out for line in lines)
    assert "scoring in this process" in output.err


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("content", ['{"pack": []}', '{"requests": [{"pack": [7]}]}'])
def test_without_server_a_bad_request_is_refused_all_the_same(
    weights: Path, pack: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    pack.write_text(content)
    assert predict.main([str(pack), "--weights", str(weights)]) == 2
    assert "the request is refused" in capsys.readouterr().err


@pytest.mark.usefixtures("no_server")
def test_without_server_and_weights_both_are_said(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main([str(pack), "--weights", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert "no server at http://127.0.0.1:" in error
    assert "no weights" in error


def test_a_bad_port_is_said(
    pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "http")
    assert predict.main([str(pack)]) == 1
    assert "PORT must be a whole number" in capsys.readouterr().err
