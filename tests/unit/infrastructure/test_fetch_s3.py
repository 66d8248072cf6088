"""Archives from S3, against moto's server over HTTP and against one that breaks off."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from infrastructure.errors import ArchiveError, ArchiveNotFound, ArchiveUnreadable, ChecksumMismatch
from infrastructure.fetch import fetch
from tests.moto_server import moto_server

CONTENT = b"archive" * 300_000  # more than one chunk
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(autouse=True)
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials and an endpoint as an operator sets them, and none of this machine's own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bucket() -> Iterator[Any]:
    bucket = boto3.resource("s3").create_bucket(Bucket="models")
    bucket.put_object(Key="v1/draft.mar", Body=CONTENT)
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def test_an_archive_with_its_checksum_is_downloaded(bucket: Any, store: Path) -> None:
    bucket.put_object(Key="v1/draft.mar.sha256", Body=f"{DIGEST}  draft.mar\n".encode())
    assert fetch("s3://models/v1/draft.mar", None, store).read_bytes() == CONTENT
    assert [each.name for each in store.iterdir()] == ["draft.mar"]


def test_a_given_checksum_does_for_a_missing_one(bucket: Any, store: Path) -> None:
    assert fetch("s3://models/v1/draft.mar", DIGEST, store).read_bytes() == CONTENT


def test_without_any_checksum_it_is_refused(bucket: Any, store: Path) -> None:
    with pytest.raises(ChecksumMismatch, match=r"draft\.mar\.sha256.*MODEL_SHA256"):
        fetch("s3://models/v1/draft.mar", None, store)
    assert not list(store.iterdir())


@pytest.mark.parametrize("text", [f"{'0' * 64}  draft.mar\n", "not a checksum\n", ""])
def test_with_a_wrong_checksum_it_is_refused(bucket: Any, store: Path, text: str) -> None:
    bucket.put_object(Key="v1/draft.mar.sha256", Body=text.encode())
    with pytest.raises(ChecksumMismatch):
        fetch("s3://models/v1/draft.mar", None, store)
    assert not list(store.iterdir())


def test_a_missing_key_is_said(bucket: Any, store: Path) -> None:
    with pytest.raises(ArchiveNotFound, match=r"there is no s3://models/v2/draft\.mar"):
        fetch("s3://models/v2/draft.mar", DIGEST, store)


@pytest.mark.parametrize("expected", [None, DIGEST])
def test_a_missing_bucket_is_said(store: Path, expected: str | None) -> None:
    with pytest.raises(ArchiveError, match="there is no bucket 'nowhere'"):
        fetch("s3://nowhere/draft.mar", expected, store)


@pytest.mark.parametrize("url", ["s3://", "s3://models", "s3://models/", "s3:///key", "s3://a b/c"])
def test_an_address_without_bucket_and_key_is_refused(store: Path, url: str) -> None:
    with pytest.raises(ArchiveNotFound):
        fetch(url, DIGEST, store)


def test_missing_credentials_are_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ArchiveUnreadable, match="no AWS credentials"):
        fetch("s3://models/v1/draft.mar", DIGEST, store)


def test_an_unknown_profile_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ArchiveUnreadable, match="nobody"):
        fetch("s3://models/v1/draft.mar", DIGEST, store)


def test_a_server_that_is_not_there_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ArchiveUnreadable, match="cannot reach"):
        fetch("s3://models/v1/draft.mar", DIGEST, store)


class Misbehaving(BaseHTTPRequestHandler):
    """Denies `denied.mar`, and breaks off in the middle of everything else."""

    def do_GET(self) -> None:
        if self.path.endswith("denied.mar"):
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("misbehaving")
def test_denied_access_is_said(store: Path) -> None:
    with pytest.raises(ArchiveUnreadable, match=r"access to .* is denied.*s3:GetObject"):
        fetch("s3://models/denied.mar", DIGEST, store)


@pytest.mark.usefixtures("misbehaving")
def test_a_download_that_breaks_off_leaves_nothing(store: Path) -> None:
    with pytest.raises(ArchiveUnreadable, match="broke off"):
        fetch("s3://models/draft.mar", DIGEST, store)
    assert not list(store.iterdir())
