"""What goes on from a client to TorchServe and into the logs, and what does not."""

from __future__ import annotations

import json
import re
import socket
import uuid

import pytest
import requests

from tests.serving.server import LaunchedServer

from .gateway import BODY, HEALTH, PICK, STATS, Gateway, expect_problem

HARMFUL = {
    "describe": "True",
    "explain": "True",
    "body": "{}",
    "data": "{}",
    "content-encoding": "gzip",
    "ts_request_sequence_id": "x",
    "ts_request_sequence_start": "true",
    "url_path": "/elsewhere",
    "x-problem": "mine",
    "expect": "100-continue",
    "te": "trailers",
    "upgrade": "h2c",
    "connection": "upgrade",
    "x-http-method-override": "DELETE",
    "authorization": "Bearer x",
    "cookie": "a=b",
    "host": "169.254.169.254",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_headers_that_mean_something_to_torchserve_change_nothing(
    gateway: Gateway, name: str
) -> None:
    reply = gateway.http.post(
        gateway.url + PICK,
        data=json.dumps(BODY),
        headers={"Content-Type": "application/json", name: HARMFUL[name]},
        timeout=30,
    )
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["pick_probabilities"]) == len(BODY["pack"])


def test_all_of_them_with_an_empty_body_do_not_describe_the_model(gateway: Gateway) -> None:
    headers = {name: value for name, value in HARMFUL.items() if name != "expect"}
    reply = gateway.http.post(gateway.url + PICK, headers=headers, timeout=30)
    expect_problem(reply, 400, "empty_body")


def test_torchserve_sees_two_headers_of_a_clients(start_gateway, tmp_path) -> None:
    """A plain socket in TorchServe's place shows the request as it leaves nginx."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        ready = tmp_path / "ready"
        ready.touch()
        tmp_path.chmod(0o755)
        gateway = start_gateway(PORT=str(listener.getsockname()[1]), READY_FILE="")
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as client:
            head = "".join(f"{name}: {value}\r\n" for name, value in HARMFUL.items())
            client.sendall(
                f"POST {PICK}?x=1 HTTP/1.1\r\n{head}Content-Length: 2\r\n"
                "X-Request-Id: id-1\r\nX-Forwarded-For: 1.2.3.4\r\n"
                "Content-Type: application/json; charset=utf-8\r\n\r\n{}".encode()
            )
            upstream, _ = listener.accept()
            with upstream:
                request = upstream.recv(1 << 16).decode()
                upstream.sendall(answer)
    line, _, rest = request.partition("\r\n")
    assert line == "POST /predictions/draft?request_id=id-1 HTTP/1.1"
    head, _, body = rest.partition("\r\n\r\n")
    sent = dict(each.split(": ", 1) for each in head.split("\r\n"))
    assert body == "{}"
    assert sent == {
        "Host": "draft",
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": "2",
        "X-Request-Id": "id-1",
    }


@pytest.mark.parametrize("given", ["id-1", "a" * 64, "A.b_c-9", str(uuid.uuid4())])
def test_a_sane_request_id_is_kept(gateway: Gateway, given: str) -> None:
    assert gateway.post(X_Request_Id=given).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a&x=1", 'a"b', "ä", "../x", "a;b"])
def test_any_other_is_replaced(gateway: Gateway, given: str) -> None:
    reply = gateway.post(X_Request_Id=given.encode().decode("latin-1"))
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", PICK, 200), ("GET", HEALTH, 200), ("GET", STATS, 200), ("GET", "/nope", 404),
     ("GET", PICK, 405), ("POST", f"{PICK}?{'x' * 3000}", 414)],
)  # fmt: skip
def test_every_answer_has_one_request_id(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    given = f"test-{uuid.uuid4()}"
    reply = gateway.http.request(
        method, gateway.url + path, json=BODY, headers={"X-Request-Id": given}, timeout=30
    )
    assert reply.status_code == status
    # Two headers of the name would come as one with a comma.
    assert reply.headers["X-Request-Id"] == given
    line = gateway.logged(given)
    assert (line["status"], line["method"], line["path"]) == (status, method, path.split("?")[0])


def test_an_id_leads_from_the_answer_to_both_logs(gateway: Gateway, server: LaunchedServer) -> None:
    given = f"test-{uuid.uuid4()}"
    gateway.post(X_Request_Id=given)
    line = gateway.logged(given)
    assert line["upstream_status"] == "200"
    assert line["limit"] == "PASSED"
    assert float(line["upstream_seconds"]) <= float(line["seconds"]) + 0.001
    server.wait_for(
        lambda: f'"POST /predictions/draft?request_id={given} HTTP/1.1" 200' in server.log,
        "TorchServe's access line",
    )


def test_the_log_is_json_whatever_clients_write(gateway: Gateway) -> None:
    given = f"test-{uuid.uuid4()}"
    agent = 'evil"}\\ \t{"status":200,"agent":"'
    gateway.get('/a"b\\c?key=secret-query', X_Request_Id=given, User_Agent=agent)
    line = gateway.logged(given)
    assert line["status"] == 404
    assert line["agent"] == agent
    assert "secret-query" not in gateway.log


def test_answers_do_not_tell_what_runs_behind(gateway: Gateway) -> None:
    reply = gateway.post()
    assert reply.headers["Server"] == "nginx"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert not {"Pragma", "Expires", "X-Problem"} & reply.headers.keys()


def test_connections_are_kept(gateway: Gateway) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            assert session.post(gateway.url + PICK, json=BODY, timeout=30).ok
        (pool,) = session.get_adapter(gateway.url).poolmanager.pools._container.values()
        assert pool.num_connections == 1
