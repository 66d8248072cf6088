"""Publish the archive: `make release ENV=prod`.

    models/draft/<version>/draft.mar            with the sha256 that S3 checked on arrival
    models/draft/<version>/draft.mar.sha256     what MODEL_PATH=s3://… asks for
    models/draft/<version>/MODEL_CARD.md
    models/draft/<version>/manifest.json        version, git revision, checksums, figures
    models/draft/latest.json                    which version is the newest, written last

A version is written once. S3 itself refuses the second writer of a key (If-None-Match), so two
releases at the same time cannot mix; an upload that broke off is completed by the same command, as
long as what is there is the same.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions

from infrastructure.archive import META, verify
from infrastructure.errors import ArchiveError
from infrastructure.operations.access import access
from infrastructure.operations.errors import ConfigurationError, ReleaseDamaged, ReleaseExists, told
from infrastructure.operations.release_name import project_version, release_name
from infrastructure.operations.stack import Stack

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = "models/draft"
POINTER = f"{PREFIX}/latest.json"


@dataclass(frozen=True, slots=True)
class Release:
    """What is to be published: file names and their contents."""

    version: str
    files: dict[str, bytes]

    @property
    def folder(self) -> str:
        """The prefix of the release's keys."""
        return f"{PREFIX}/{self.version}"


def collect(archive: Path, card: Path, root: Path = ROOT) -> Release:
    """Read and check everything that a release holds.

    Raises:
        ConfigurationError: a file is missing, or the archive is of another version.
        ReleaseDamaged: the archive is damaged.
    """
    try:
        content = archive.read_bytes()
        text = card.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: {error.strerror}; run `make mar` first"
        ) from None
    try:
        verify(archive, str(archive))
    except ArchiveError as error:
        raise ReleaseDamaged(str(error)) from None
    version = project_version(root)
    packed = json.loads(zipfile.ZipFile(archive).read("MAR-INF/MANIFEST.json"))
    if packed["model"]["modelVersion"] != version:
        raise ConfigurationError(
            f"{archive} is version {packed['model']['modelVersion']}, but pyproject.toml says "
            f"{version}: run `make mar`"
        )
    meta = json.loads(zipfile.ZipFile(archive).read(META))
    if meta["weights_sha256"] not in text.decode():
        raise ConfigurationError(f"{card} is the card of other weights: run `make model-card`")
    digest = hashlib.sha256(content).hexdigest()
    manifest = {
        "version": version,
        "release": release_name(root),
        "archive": {"sha256": digest, "bytes": len(content)},
        "weights_sha256": meta["weights_sha256"],
        "metrics": meta["metrics"].get("held_out", {}),
    }
    return Release(
        version,
        {
            "draft.mar": content,
            "draft.mar.sha256": f"{digest}  draft.mar\n".encode(),
            "MODEL_CARD.md": text,
            "manifest.json": (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode(),
        },
    )


def publish(s3: Any, bucket: str, release: Release) -> str:
    """Upload a release, then point to it; return the archive's s3:// path.

    Raises ReleaseExists when the version holds something else, ReleaseDamaged when what arrived is
    not what was sent.
    """
    with access(f"releasing {release.version} to {bucket}"):
        for name, content in release.files.items():
            _put_once(s3, bucket, f"{release.folder}/{name}", content)
        newest = newest_version(s3, bucket)
        if newest is None or _order(release.version) >= _order(newest):
            pointer = json.dumps({"version": release.version, "key": f"{release.folder}/draft.mar"})
            s3.put_object(
                Bucket=bucket,
                Key=POINTER,
                Body=pointer.encode(),
                ContentType="application/json",
                ChecksumAlgorithm="SHA256",
            )
    return f"s3://{bucket}/{release.folder}/draft.mar"


def newest_version(s3: Any, bucket: str) -> str | None:
    """The version that the pointer names, or None before the first release."""
    try:
        body = s3.get_object(Bucket=bucket, Key=POINTER)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    try:
        version: str = json.loads(body)["version"]
    except (ValueError, KeyError, TypeError):
        raise ReleaseDamaged(
            f"s3://{bucket}/{POINTER} is no pointer; restore an older version"
        ) from None
    return version


def _put_once(s3: Any, bucket: str, key: str, content: bytes) -> None:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*", ChecksumSHA256=digest)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in (
            "PreconditionFailed",
            "ConditionalRequestConflict",
        ):
            raise
        there = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if there != content:
            raise ReleaseExists(
                f"s3://{bucket}/{key} is there already with other content; a version is never "
                "overwritten: raise the version in pyproject.toml"
            ) from None
    stored = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    if stored != content:
        raise ReleaseDamaged(
            f"s3://{bucket}/{key} does not hold what was sent; nothing points to it"
        )


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.release")
    parser.add_argument("--env", required=True)
    parser.add_argument("--archive", type=Path, default=ROOT / "build" / "draft.mar")
    parser.add_argument("--card", type=Path, default=ROOT / "model" / "weights" / "MODEL_CARD.md")
    options = parser.parse_args(arguments)
    stack = Stack.of(options.env)
    release = collect(options.archive, options.card)
    bucket = stack.bucket()
    for name, content in release.files.items():
        print(f"draft: s3://{bucket}/{release.folder}/{name}, {len(content)} bytes")
    print(f"draft: then s3://{bucket}/{POINTER}")
    if os.environ.get("DRY_RUN"):
        return 0
    path = publish(stack.client("s3"), bucket, release)
    digest = release.files["draft.mar.sha256"].decode().partition(" ")[0]
    print(f"draft: released {release.version}\nMODEL_PATH={path}\nMODEL_SHA256={digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
