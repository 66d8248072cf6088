"""Files in a folder and in S3 (a real client against moto's server), and what is told of faults."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.moto_server import moto_server
from training.storage import FolderStorage, Missing, Storage, StorageError, open_storage


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials and an endpoint as an operator sets them, and none of this machine's own."""
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "folder":
        yield open_storage(tmp_path / "deep" / "folder")
        return
    request.getfixturevalue("aws")
    bucket = boto3.resource("s3").create_bucket(Bucket="runs")
    bucket.put_object(Key="another/file", Body=b"")
    yield open_storage("s3://runs/fdn/first/")
    bucket.objects.all().delete()
    bucket.delete()


def test_files_come_back_as_they_were_put(storage: Storage) -> None:
    assert storage.names() == []
    storage.put("b/two", b"2")
    storage.put("one", b"1")
    storage.put("one", b"new")
    assert storage.names() == ["b/two", "one"]
    assert storage.get("one") == b"new"
    with pytest.raises(Missing, match=r"there is no .*three"):
        storage.get("three")


def test_what_is_deleted_leaves_its_neighbours(storage: Storage) -> None:
    for name in ("step-1/a", "step-1/b", "step-10/a", "pointer", "pointer.old"):
        storage.put(name, b"")
    for name in ("step-1", "step-1", "pointer", "pointer"):
        storage.delete(name)
    assert storage.names() == ["pointer.old", "step-10/a"]


def test_a_place_that_can_be_written_is_left_as_it_was(storage: Storage) -> None:
    storage.require_writable()
    assert storage.names() == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        open_storage(tmp_path / "file" / "folder").require_writable()


def test_a_full_disk_is_told_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(tmp_path)
    storage.put("state", b"whole")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"the disk is full.*make room"):
        storage.put("state", b"another")
    assert storage.get("state") == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_what_a_killed_process_left_is_not_seen(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.put("step-1/a", b"")
    for name in (".dying-step-1/a", "step-1/.xyz.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert storage.names() == ["step-1/a"]
    storage.delete("step-1")
    assert storage.names() == []


@pytest.mark.usefixtures("aws")
def test_a_missing_bucket_is_told() -> None:
    with pytest.raises(StorageError, match="there is no bucket 'nowhere'"):
        open_storage("s3://nowhere/prefix").require_writable()


@pytest.mark.usefixtures("aws")
def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match=r"no AWS credentials for s3://runs/x"):
        open_storage("s3://runs/x").require_writable()


@pytest.mark.usefixtures("aws")
def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=r"cannot reach s3://runs/x"):
        open_storage("s3://runs/x").names()


@pytest.mark.parametrize("address", ["s3://", "s3:///key", "gs://bucket/key"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(StorageError, match="s3://bucket/prefix"):
        open_storage(address)
