"""The management API's answers are read as they are; /ping is not asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infrastructure.errors import ServerError
from infrastructure.readiness import ModelStatus, model_status


class Management(HTTPServer):
    """Answers GET /models/draft with `status` and `document`."""

    status = 200
    document: Any = None


class Answer(BaseHTTPRequestHandler):
    server: Management

    def do_GET(self) -> None:
        body = json.dumps(self.server.document).encode()
        self.send_response(self.server.status if self.path == "/models/draft" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def management() -> Iterator[Management]:
    with Management(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def model(*workers: tuple[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "modelVersion": "1.2.3",
            "workers": [{"status": status, "pid": pid} for status, pid in workers],
            "jobQueueStatus": {"remainingCapacity": 250, "pendingRequests": 6},
        }
    ]


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ((), ModelStatus("1.2.3", 0, frozenset(), 6)),
        ((("UNLOADING", -1), ("UNLOADING", 7)), ModelStatus("1.2.3", 0, frozenset({7}), 6)),
        ((("READY", 6), ("UNLOADING", 7)), ModelStatus("1.2.3", 1, frozenset({6, 7}), 6)),
        ((("READY", 6), ("READY", 7)), ModelStatus("1.2.3", 2, frozenset({6, 7}), 6)),
    ],
)
def test_ready_workers_are_counted(
    management: Management, workers: tuple[tuple[str, int], ...], expected: ModelStatus
) -> None:
    management.document = model(*workers)
    assert model_status(management.server_port) == expected


def test_nothing_is_known_while_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert model_status(port) is None


def test_a_model_that_was_not_loaded_is_an_error(management: Management) -> None:
    management.status = 404
    with pytest.raises(ServerError, match="did not load the model 'draft'"):
        model_status(management.server_port)


def test_any_other_answer_is_quoted(management: Management) -> None:
    management.status, management.document = 500, {"message": "out of luck"}
    with pytest.raises(ServerError, match=r"answered 500 .*out of luck"):
        model_status(management.server_port)
