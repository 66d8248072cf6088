"""Bringing the archive here: from a folder or from S3, with its sha256 checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from infrastructure.errors import (
    ArchiveError,
    ArchiveNotFound,
    ArchiveUnreadable,
    ChecksumMismatch,
    DiskFullError,
    is_disk_full,
)
from infrastructure.settings import is_sha256

_CHUNK = 1 << 20
# An answer to `<key>.sha256` longer than this is not a checksum file.
_CHECKSUM_FILE_LIMIT = 4096


def fetch(model_path: str, expected_sha256: str | None, folder: Path) -> Path:
    """Return a checked copy of the archive in `folder`, where nobody else can change it.

    Args:
        model_path: a file, or `s3://bucket/key`.
        expected_sha256: what the archive must hash to; None takes it from `<model_path>.sha256`,
            which an archive in S3 must have and a local one may.
        folder: a private folder on the disk the server will use.
    """
    target = folder / "draft.mar"
    expected: str | None
    if model_path.startswith("s3://"):
        digest, expected = _from_s3(model_path, expected_sha256, target)
    else:
        digest, expected = _from_file(Path(model_path), expected_sha256, target)
    if expected is not None and digest != expected:
        target.unlink()
        raise ChecksumMismatch(
            f"{model_path} is not the archive it should be: its sha256 is {digest}, "
            f"expected {expected}. Build or upload it again together with its .sha256"
        )
    return target


def parse_checksum(text: str, name: str) -> str:
    """Return the digest in the first line of a file that sha256sum wrote.

    Raises:
        ChecksumMismatch: when `text` holds none; `name` says which file it was.
    """
    digest = next(iter(text.split()), "").lower()
    if not is_sha256(digest):
        raise ChecksumMismatch(f"{name} holds no sha256 (64 hexadecimal digits and a file name)")
    return digest


def _from_file(path: Path, expected: str | None, target: Path) -> tuple[str, str | None]:
    checksum = path.with_name(path.name + ".sha256")
    try:
        if not path.exists():
            raise ArchiveNotFound(
                f"there is no archive {path}: run `make mar`, or set MODEL_PATH to an archive"
            )
        if not path.is_file():
            raise ArchiveNotFound(f"MODEL_PATH is {path}, which is not a file")
        if expected is None and checksum.is_file():
            expected = parse_checksum(checksum.read_text(errors="replace"), str(checksum))
        with path.open("rb") as source, _writing(target) as sink:
            digest = _copy(iter(lambda: source.read(_CHUNK), b""), sink)
    except PermissionError as error:
        raise ArchiveUnreadable(f"no permission to read {error.filename}") from None
    except OSError as error:
        raise ArchiveUnreadable(f"cannot read {path}: {error.strerror or error}") from None
    return digest, expected


def _from_s3(url: str, expected: str | None, target: Path) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise ArchiveNotFound(f"MODEL_PATH is {url!r}: write it as s3://bucket/key.mar")
    with _s3_errors(url):
        # Imported here: half a second that a local archive need not pay.
        import boto3
        from botocore.config import Config

        client = boto3.session.Session().client(
            "s3", config=Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3})
        )
    if expected is None:
        expected = _s3_checksum(client, bucket, key, url)
    with _s3_errors(url):
        answer = client.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body, _writing(target) as sink:
            digest = _copy(body.iter_chunks(_CHUNK), sink)
    return digest, expected


def _s3_checksum(client: Any, bucket: str, key: str, url: str) -> str:
    try:
        with _s3_errors(f"{url}.sha256"):
            body = client.get_object(Bucket=bucket, Key=f"{key}.sha256")["Body"]
            with closing(body):
                text: bytes = body.read(_CHECKSUM_FILE_LIMIT)
    except ArchiveNotFound as error:
        raise ChecksumMismatch(
            f"{error}. An archive from S3 is not served unchecked: "
            "upload its .sha256 beside it, or set MODEL_SHA256"
        ) from None
    return parse_checksum(text.decode(errors="replace"), f"{url}.sha256")


def _copy(chunks: Iterator[bytes], sink: Any) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest()


@contextmanager
def _writing(target: Path) -> Iterator[Any]:
    """Open `target` for writing; it appears under its name only when everything is in it."""
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as sink:
            yield sink
        partial.replace(target)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"the disk of {target.parent} is full: make room there, or set TMPDIR to a folder "
                "on another disk"
            ) from None
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _s3_errors(url: str) -> Iterator[None]:
    """Turn botocore's errors into ours."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise ArchiveUnreadable(
            f"no AWS credentials for {url}: give the task a role, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
        ) from None
    except exceptions.ClientError as error:
        raise _client_error(error.response, url) from None
    except exceptions.ParamValidationError:
        raise ArchiveNotFound(f"{url} names no valid bucket and key") from None
    except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError) as error:
        raise ArchiveUnreadable(f"the download of {url} broke off: {error}") from None
    except exceptions.BotoCoreError as error:
        raise ArchiveUnreadable(f"cannot reach {url}: {error}") from None


def _client_error(response: Any, url: str) -> ArchiveError:
    bucket = url.removeprefix("s3://").partition("/")[0]
    code = str(response.get("Error", {}).get("Code", "unknown"))
    if code == "NoSuchBucket":
        return ArchiveNotFound(f"there is no bucket {bucket!r} ({url})")
    if code in {"NoSuchKey", "404"}:
        return ArchiveNotFound(f"there is no {url}")
    if code in {"AccessDenied", "403", "AllAccessDisabled"}:
        # S3 also says this for a missing key when the caller may not list the bucket.
        return ArchiveUnreadable(
            f"access to {url} is denied: the role needs s3:GetObject on it, or it does not exist"
        )
    message = response.get("Error", {}).get("Message", "")
    return ArchiveUnreadable(f"S3 refused {url}: {code} {message}".rstrip())
