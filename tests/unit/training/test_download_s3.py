"""Downloads from S3, against moto's server over HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.moto_server import moto_server
from tests.unit.training.samples import (
    draft_csv,
    scryfall_json,
    simulated_cards,
    simulated_drafts,
)
from tests.unit.training.test_download import FAST
from training.download import main

NAME = "draft_data_public.FDN.PremierDraft.csv.gz"
DRAFTS = gzip.compress(draft_csv(simulated_drafts(60)))
OTHER = gzip.compress(draft_csv(simulated_drafts(70)))
CARDS = gzip.compress(scryfall_json(simulated_cards()))
HALF = len(DRAFTS) // 2


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
    bucket = boto3.resource("s3").create_bucket(Bucket="drafts")
    bucket.put_object(Key=f"mirror/{NAME}", Body=DRAFTS)
    bucket.put_object(Key="mirror/default-cards.json.gz", Body=CARDS)
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


def run(folder: Path, prefix: str = "s3://drafts/mirror") -> int:
    cards = str(folder / "default-cards.json.gz")
    sources = ["--drafts-from", prefix, "--cards-from", "s3://drafts/mirror/"]
    return main(["--sets", "FDN", "--drafts", str(folder), "--cards", cards, *sources], FAST)


def test_files_of_a_mirror_arrive(bucket: Any, tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == DRAFTS
    assert (tmp_path / "default-cards.json.gz").read_bytes() == CARDS


def test_a_second_run_downloads_nothing_until_the_object_changes(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert capsys.readouterr().err.count("already here") == 2
    bucket.put_object(Key=f"mirror/{NAME}", Body=OTHER)
    assert run(tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == OTHER


@pytest.mark.parametrize("content", [DRAFTS, OTHER], ids=["the same", "another"])
def test_a_part_is_used_only_for_the_object_it_is_of(
    bucket: Any, tmp_path: Path, content: bytes
) -> None:
    etag = bucket.Object(f"mirror/{NAME}").e_tag
    bucket.put_object(Key=f"mirror/{NAME}", Body=content)
    record = {"url": f"s3://drafts/mirror/{NAME}", "etag": etag, "last_modified": ""}
    (tmp_path / f".{NAME}.part.json").write_text(json.dumps({**record, "total": len(DRAFTS)}))
    (tmp_path / f".{NAME}.part").write_bytes(DRAFTS[:HALF])
    assert run(tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == content


@pytest.mark.parametrize("prefix", ["s3://drafts/elsewhere", "s3://nobody/mirror"])
def test_what_is_not_there_is_named(
    bucket: Any, tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, prefix) == 1
    told = capsys.readouterr().err
    assert "set FDN has no PremierDraft file" in told
    assert f"{prefix}/{NAME}: S3 answers NoSuch" in told


def test_damaged_objects_are_refused(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put_object(Key=f"mirror/{NAME}", Body=DRAFTS[:HALF])
    assert run(tmp_path) == 1
    assert "the gzip ends early" in capsys.readouterr().err
    assert not (tmp_path / NAME).exists()


def test_missing_credentials_are_told(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert run(tmp_path) == 1
    assert "no AWS credentials" in capsys.readouterr().err
    # The fixture clears the bucket with them.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def test_an_endpoint_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert run(tmp_path) == 1
    assert "given up after 4 attempts: no answer (Could not connect" in capsys.readouterr().err
