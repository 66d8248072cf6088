"""An archive is copied from its folder with its sha256 checked."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.errors import (
    ArchiveNotFound,
    ArchiveUnreadable,
    ChecksumMismatch,
    DiskFullError,
)
from infrastructure.fetch import fetch, parse_checksum

CONTENT = b"archive" * 100_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mar"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def test_a_copy_is_made(source: Path, store: Path) -> None:
    assert fetch(str(source), None, store).read_bytes() == CONTENT
    assert [each.name for each in store.iterdir()] == ["draft.mar"]


def test_the_checksum_file_beside_it_is_heeded(source: Path, store: Path) -> None:
    checksum = Path(f"{source}.sha256")
    checksum.write_text(f"{DIGEST}  source.mar\n")
    fetch(str(source), None, store)
    checksum.write_text(f"{OTHER}  source.mar\n")
    with pytest.raises(ChecksumMismatch, match=f"its sha256 is {DIGEST}, expected {OTHER}"):
        fetch(str(source), None, store)
    assert not list(store.iterdir())


def test_an_expected_checksum_beats_the_file(source: Path, store: Path) -> None:
    Path(f"{source}.sha256").write_text(f"{OTHER}  source.mar\n")
    fetch(str(source), DIGEST, store)
    with pytest.raises(ChecksumMismatch):
        fetch(str(source), OTHER, store)


def test_a_missing_archive_says_how_to_get_one(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ArchiveNotFound, match=r"no archive .*gone\.mar.*make mar.*MODEL_PATH"):
        fetch(str(tmp_path / "gone.mar"), None, store)


def test_a_folder_is_no_archive(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ArchiveNotFound, match="not a file"):
        fetch(str(tmp_path), None, store)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Go on as a user who may read nothing of the test's; root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_no_permission_is_said(
    source: Path, store: Path, hidden: str, request: pytest.FixtureRequest
) -> None:
    (source if hidden == "file" else source.parent).chmod(0)
    request.addfinalizer(lambda: source.parent.chmod(0o700))
    request.getfixturevalue("nobody")
    with pytest.raises(ArchiveUnreadable, match="no permission to read"):
        fetch(str(source), None, store)


@pytest.mark.parametrize(
    "text", [f"{DIGEST}  draft.mar\n", f"{DIGEST.upper()} *draft.mar", DIGEST, f"\n{DIGEST}\n"]
)
def test_checksum_files_are_read_in_all_usual_forms(text: str) -> None:
    assert parse_checksum(text, "file") == DIGEST


@pytest.mark.parametrize("text", ["", "\n", "<html>404</html>", DIGEST[:-1], f"SHA256 {DIGEST}"])
def test_a_checksum_file_without_a_checksum_is_refused(text: str) -> None:
    with pytest.raises(ChecksumMismatch, match="file holds no sha256"):
        parse_checksum(text, "file")


@pytest.fixture
def small_file_limit(source: Path) -> Iterator[None]:
    """Let no file grow beyond 100 kB: what a full disk looks like without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_file_limit")
def test_a_full_disk_is_said_and_nothing_is_left(source: Path, store: Path) -> None:
    with pytest.raises(DiskFullError, match=r"disk of .* is full.*TMPDIR"):
        fetch(str(source), None, store)
    assert not list(store.iterdir())
