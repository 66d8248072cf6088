from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.operations import release
from infrastructure.operations.errors import ReleaseDamaged, ReleaseExists
from infrastructure.operations.release import POINTER, Release, publish
from infrastructure.operations.stack import Stack

ROOT = Path(__file__).parents[3]
BUCKET = "draft-prod-1"


@pytest.fixture
def s3(stack: Stack) -> Any:
    client = stack.client("s3")
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": stack.region}
    )
    return client


def make(version: str, content: bytes = b"archive") -> Release:
    digest = hashlib.sha256(content).hexdigest()
    line = f"{digest}  draft.mar\n".encode()
    return Release(version, {"draft.mar": content, "draft.mar.sha256": line})


def keys(s3: Any) -> set[str]:
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {each["Key"] for each in listed}


def pointer(s3: Any) -> Any:
    return json.loads(s3.get_object(Bucket=BUCKET, Key=POINTER)["Body"].read())


def archive(s3: Any) -> Any:
    return s3.get_object(Bucket=BUCKET, Key="models/draft/0.1.0/draft.mar")["Body"].read()


def test_a_release_is_uploaded_and_pointed_to(s3: Any) -> None:
    path = publish(s3, BUCKET, make("0.1.0"))
    assert path == f"s3://{BUCKET}/models/draft/0.1.0/draft.mar"
    assert keys(s3) == {
        "models/draft/0.1.0/draft.mar",
        "models/draft/0.1.0/draft.mar.sha256",
        POINTER,
    }
    assert pointer(s3) == {"version": "0.1.0", "key": "models/draft/0.1.0/draft.mar"}
    assert archive(s3) == b"archive"


def test_a_version_is_never_overwritten(s3: Any) -> None:
    publish(s3, BUCKET, make("0.1.0"))
    with pytest.raises(ReleaseExists, match="raise the version in pyproject"):
        publish(s3, BUCKET, make("0.1.0", b"other"))
    assert archive(s3) == b"archive"
    assert pointer(s3)["version"] == "0.1.0"


def test_the_same_release_again_changes_nothing(s3: Any) -> None:
    publish(s3, BUCKET, make("0.1.0"))
    publish(s3, BUCKET, make("0.1.0"))
    assert archive(s3) == b"archive"


def test_an_upload_that_broke_off_points_to_nothing_and_can_be_completed(s3: Any) -> None:
    broken = make("0.1.0")
    s3.put_object(Bucket=BUCKET, Key="models/draft/0.1.0/draft.mar", Body=b"archive")
    assert release.newest_version(s3, BUCKET) is None
    publish(s3, BUCKET, broken)
    assert pointer(s3)["version"] == "0.1.0"


def test_an_older_release_does_not_move_the_pointer_back(s3: Any) -> None:
    publish(s3, BUCKET, make("0.10.0"))
    publish(s3, BUCKET, make("0.9.1"))
    assert pointer(s3)["version"] == "0.10.0"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"key": "models/draft/0.1.0/draft.mar"}'])
def test_a_damaged_pointer_is_not_written_over(s3: Any, body: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=POINTER, Body=body)
    with pytest.raises(ReleaseDamaged, match="is no pointer"):
        publish(s3, BUCKET, make("0.1.0"))
    assert s3.get_object(Bucket=BUCKET, Key=POINTER)["Body"].read() == body


def test_the_real_archive(s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    archive = ROOT / "build" / "draft.mar"
    if not archive.exists():
        pytest.skip("build/draft.mar is missing: run `make mar`")
    monkeypatch.setenv("DRY_RUN", "1")
    assert release.main(["--env", "prod"]) == 0
    assert keys(s3) == set()
    monkeypatch.delenv("DRY_RUN")
    assert release.main(["--env", "prod"]) == 0
    shown = capsys.readouterr().out
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"MODEL_SHA256={digest}" in shown
    version = pointer(s3)["version"]
    manifest = s3.get_object(Bucket=BUCKET, Key=f"models/draft/{version}/manifest.json")
    assert json.loads(manifest["Body"].read())["archive"]["sha256"] == digest


def test_a_damaged_archive_is_not_released(s3: Any, tmp_path: Path, capsys: Any) -> None:
    damaged = tmp_path / "draft.mar"
    damaged.write_bytes(b"PK\x03\x04 no archive")
    card = tmp_path / "card.md"
    card.write_text("card")
    assert release.main(["--env", "prod", "--archive", str(damaged), "--card", str(card)]) == 1
    assert "truncated or damaged" in capsys.readouterr().err
    assert keys(s3) == set()


def test_a_missing_archive_is_named(tmp_path: Path, capsys: Any) -> None:
    assert release.main(["--env", "prod", "--archive", str(tmp_path / "none.mar")]) == 1
    assert "run `make mar` first" in capsys.readouterr().err
