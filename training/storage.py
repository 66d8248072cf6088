"""Where checkpoints lie: a folder, or a prefix in S3. Files are whole or not there.

    storage = open_storage("runs/fdn/checkpoints")
    storage = open_storage("s3://bucket/prefix")

Names are relative, with `/` between folders. All that can go wrong comes as `StorageError`, with
the address and what can be done.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class StorageError(Exception):
    """A place that cannot be read or written; the message says which and why."""


class Missing(StorageError):
    """There is no file of that name."""


class Storage(ABC):
    """Files by name. Every method raises StorageError."""

    address: str

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Write a file; readers see the old one or the new one, never a part."""

    @abstractmethod
    def get(self, name: str) -> bytes:
        """A file's content. Raises Missing when there is none."""

    @abstractmethod
    def names(self) -> list[str]:
        """All files, sorted."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file, or a folder and all in it; it may be gone already."""

    def require_writable(self) -> None:
        """Raises StorageError now rather than at the first checkpoint."""
        self.put("writable/probe", b"")
        self.delete("writable")


class FolderStorage(Storage):
    """Files below a folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = str(folder)

    def put(self, name: str, content: bytes) -> None:
        path = self._folder / name
        with self._errors(f"{path} cannot be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
                _sync_folder(path.parent)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    def get(self, name: str) -> bytes:
        path = self._folder / name
        with self._errors(f"{path} cannot be read"):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                raise Missing(f"there is no {path}") from None

    def names(self) -> list[str]:
        with self._errors(f"{self._folder} cannot be read"):
            files = (path for path in self._folder.rglob("*") if path.is_file())
            names = (path.relative_to(self._folder).as_posix() for path in files)
            # A process that was killed may leave half a file or folder, under such a name.
            return sorted(name for name in names if not re.search(r"(^|/)\.", name))

    def delete(self, name: str) -> None:
        path = self._folder / name
        with self._errors(f"{path} cannot be removed"):
            if path.is_file():
                path.unlink()
                return
            try:
                # Under its name a checkpoint is whole; half of one must not be found under it.
                dying = path.with_name(f".dying-{path.name}")
                shutil.rmtree(dying, ignore_errors=True)
                path.rename(dying)
                shutil.rmtree(dying)
            except FileNotFoundError:
                return

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(
                    f"{what}: the disk is full. Nothing that was whole is lost; make room and "
                    "start again to go on"
                ) from None
            raise StorageError(f"{what}: {error.strerror or error}") from None


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot, and say so
    finally:
        os.close(handle)


class S3Storage(Storage):
    """Objects below a prefix of a bucket; S3 shows an object only when it is whole."""

    def __init__(self, address: str) -> None:
        self._bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not self._bucket:
            raise StorageError(f"{address!r} names no bucket: write s3://bucket/prefix")
        prefix = prefix.strip("/")
        self.address = f"s3://{self._bucket}/{prefix}"
        self._prefix = f"{prefix}/" if prefix else ""
        with self._errors(""):
            # Imported here: half a second that a folder need not pay.
            import boto3
            from botocore.config import Config

            self._client: Any = boto3.session.Session().client(
                "s3",
                config=Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 5}),
            )

    def put(self, name: str, content: bytes) -> None:
        with self._errors(name):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def get(self, name: str) -> bytes:
        with self._errors(name):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            content: bytes = answer["Body"].read()
            return content

    def names(self) -> list[str]:
        return self._names_from("")

    def delete(self, name: str) -> None:
        # By name, so that of a checkpoint `state.json` goes first: without it there is none.
        for each in self._names_from(name):
            if each == name or each.startswith(f"{name}/"):
                with self._errors(each):
                    self._client.delete_object(Bucket=self._bucket, Key=self._prefix + each)

    def _names_from(self, start: str) -> list[str]:
        with self._errors(start):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + start
            )
            keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return sorted(key.removeprefix(self._prefix) for key in keys)

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        from botocore import exceptions

        place = f"{self.address}/{name}".rstrip("/")
        try:
            yield
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            raise StorageError(
                f"no AWS credentials for {place}: give the job a role, or set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
            ) from None
        except exceptions.ClientError as error:
            raise self._client_error(error.response.get("Error", {}), place) from None
        except exceptions.ParamValidationError:
            raise StorageError(f"{place} names no valid bucket and prefix") from None
        except exceptions.BotoCoreError as error:
            raise StorageError(f"cannot reach {place}: {error}") from None

    def _client_error(self, error: dict[str, Any], place: str) -> StorageError:
        code = str(error.get("Code", "unknown"))
        if code == "NoSuchBucket":
            return StorageError(f"there is no bucket {self._bucket!r} ({place})")
        if code in ("NoSuchKey", "404"):
            return Missing(f"there is no {place}")
        if code in ("AccessDenied", "403"):
            return StorageError(
                f"access to {place} is denied: the role needs s3:GetObject, s3:PutObject, "
                "s3:DeleteObject and s3:ListBucket"
            )
        return StorageError(f"S3 refused {place}: {code} {error.get('Message', '')}".rstrip())


def open_storage(address: str | Path) -> Storage:
    """The folder or, for `s3://bucket/prefix`, the prefix. Raises StorageError."""
    text = str(address)
    if text.startswith("s3://"):
        return S3Storage(text)
    if "://" in text:
        raise StorageError(f"{text!r}: checkpoints go to a folder or to s3://bucket/prefix")
    return FolderStorage(Path(text))
