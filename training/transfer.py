"""Bringing one file here whole: resumed, retried, checked, and then under its name.

A source (`http_source`, `s3_source`) answers with bytes from some offset; everything else is here.
Beside the file `NAME` lie hidden files: `.NAME.source.json` says where it came from, its ETag and
its sha256; `.NAME.part` and `.NAME.part.json` are an unfinished download. Hidden, so that no
pattern for data files finds half of one.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from training.textfile import GZIP_MAGIC, DataError, sha256_of
from training.transfer_progress import Progress

CHUNK = 1 << 18
SNIFFED = 16
"""Bytes that tell what a file is."""
SPARE_BYTES = 256 << 20
"""To be left free on the disk."""


class TryAgainError(Exception):
    """What went wrong may pass. `wait` is how long the other side asks to wait, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class NotThereError(DataError):
    """The source has no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try. Times are in seconds."""

    attempts: int = 6
    """In a row without getting further."""
    first_wait: float = 1.0
    """Doubled with each failure, up to `longest_wait`; half of it is chance."""
    longest_wait: float = 60.0
    longest_asked: float = 900.0
    """Where a server asks for a longer wait than this, it is left alone."""
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    """Without a byte."""
    pause: float = 1.0
    """Between two files."""


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one state of a remote file from another. Empty texts where unsaid."""

    url: str
    etag: str = ""
    last_modified: str = ""

    @property
    def resumable(self) -> str:
        """What a range may be tied to: a strong ETag or a date; empty when there is neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


@dataclass(frozen=True, slots=True)
class Part:
    """An unfinished download of a version."""

    version: Version
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A file from byte `offset` on."""

    version: Version
    offset: int
    total: int | None
    """Bytes of the whole file, where the source says."""
    chunks: Iterator[bytes]


class Source(Protocol):
    """One remote file."""

    url: str

    def open(
        self, part: Part | None, known: Version | None
    ) -> AbstractContextManager[Answer | None]:
        """The file, from the part's end if it is still the same version; None when it is `known`.

        Raises TryAgainError, also while chunks are read; NotThereError; and DataError.
        """


@dataclass(frozen=True, slots=True)
class Content:
    """What a file must be."""

    sniff: Callable[[bytes], None]
    """Raises DataError when the first bytes cannot be of such a file."""
    verify: Callable[[Path], None]
    """Raises DataError when the file is damaged or something else."""


def fetch(
    source: Source, target: Path, content: Content, patience: Patience, progress: Progress
) -> bool:
    """Makes `target` the source's present file; False when it was already.

    Raises NotThereError, and DataError when it cannot be had, is not what it should be, or does not
    fit on the disk. Then `target` is what it was before.
    """
    store = _Store(source.url, target)
    known = store.known()
    resumed = _download(source, store, known, content, patience, progress)
    if resumed is None:
        return False
    try:
        content.verify(store.part)
    except DataError as error:
        store.discard()
        if not resumed:
            raise DataError(f"{source.url}: {error}") from None
        # Two halves of different files: some servers take a range of whatever they have now.
        progress.note(f"{error}; once more from the start")
        _download(source, store, None, content, patience, progress)
        try:
            content.verify(store.part)
        except DataError as again:
            store.discard()
            raise DataError(f"{source.url}: {again}") from None
    store.finish()
    return True


def _download(
    source: Source,
    store: _Store,
    known: Version | None,
    content: Content,
    patience: Patience,
    progress: Progress,
) -> bool | None:
    """Fills the store's part. Whether it was resumed; None when the file is `known`."""
    resumed, failures, furthest = False, 0, store.part_size()
    while not store.complete():
        part = store.unfinished()
        try:
            with source.open(part, known) as answer:
                if answer is None:
                    store.discard()
                    return None
                resumed |= answer.offset > 0
                _receive(answer, store, content, progress)
            break
        except TryAgainError as error:
            size = store.part_size()
            failures = 1 if size > furthest else failures + 1
            furthest = max(furthest, size)
            _wait(source.url, error, failures, patience, progress)
    return resumed


def _receive(answer: Answer, store: _Store, content: Content, progress: Progress) -> None:
    store.begin(answer)
    progress.start(answer.offset, answer.total)
    first = answer.offset == 0
    with store.append() as sink:
        for chunk in answer.chunks:
            if first and len(chunk) >= SNIFFED:  # a shorter one is judged with the whole
                try:
                    content.sniff(chunk)
                except DataError as error:
                    store.discard()
                    raise DataError(f"{store.url}: {error}") from None
                first = False
            sink(chunk)
            progress.advance(len(chunk))
    size = store.part_size()
    if answer.total is not None and size < answer.total:
        raise TryAgainError(f"it broke off after {size} of {answer.total} bytes")
    if answer.total is not None and size > answer.total:
        store.discard()
        raise TryAgainError(f"{size} bytes came instead of {answer.total}")


def _wait(
    url: str, error: TryAgainError, failures: int, patience: Patience, progress: Progress
) -> None:
    if failures >= patience.attempts:
        raise DataError(
            f"{url}: given up after {failures} attempts: {error}. What came is kept: run it again"
        ) from None
    if error.wait > patience.longest_asked:
        raise DataError(
            f"{url}: {error}; it asks to wait {error.wait:.0f} s: run it again after that"
        ) from None
    longest = min(patience.first_wait * 2 ** (failures - 1), patience.longest_wait)
    wait = max(error.wait, longest * random.uniform(0.5, 1.0))
    progress.note(f"{error}; again in {wait:.1f} s ({failures} of {patience.attempts})")
    time.sleep(wait)


class _Store:
    """The files of one download on the disk."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.target = target
        self.record = target.with_name(f".{target.name}.source.json")
        self.part = target.with_name(f".{target.name}.part")
        self.part_record = target.with_name(f".{target.name}.part.json")
        with _disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)

    def known(self) -> Version | None:
        """The version that lies here whole; None when it has another source or was changed."""
        record = _read_json(self.record)
        if record is None or record.get("url") != self.url or not self.target.is_file():
            return None
        if self.target.stat().st_size != record.get("bytes"):
            return None
        if sha256_of(self.target) != record.get("sha256"):
            return None
        version = Version(self.url, str(record["etag"]), str(record["last_modified"]))
        return version if version.etag or version.last_modified else None

    def unfinished(self) -> Part | None:
        record = _read_json(self.part_record)
        if record is None or record.get("url") != self.url or not self.part_size():
            return None
        version = Version(self.url, str(record["etag"]), str(record["last_modified"]))
        return Part(version, self.part_size()) if version.resumable else None

    def part_size(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def complete(self) -> bool:
        """Whether all bytes are here, and only the check was left to do."""
        record = _read_json(self.part_record)
        part = self.unfinished()
        return part is not None and record is not None and part.size == record.get("total")

    def begin(self, answer: Answer) -> None:
        """Prepares for bytes from `answer.offset` on."""
        part = self.unfinished()
        if answer.offset:
            if part is None or part.size != answer.offset or part.version != answer.version:
                self.discard()
                raise TryAgainError("the file has changed while it was downloaded")
        else:
            self.discard()
        if answer.total is not None:
            free = shutil.disk_usage(self.target.parent).free
            needed = answer.total - answer.offset + SPARE_BYTES
            if free < needed:
                raise DataError(
                    f"{self.target.parent}: {_megabytes(free)} free, {_megabytes(needed)} needed"
                    f" for {self.target.name}: make room, or choose another folder"
                )
        _write_json(self.part_record, {**asdict(answer.version), "total": answer.total})

    @contextlib.contextmanager
    def append(self) -> Iterator[Callable[[bytes], object]]:
        with _disk_errors(self.target):
            sink = self.part.open("ab")

        def write(chunk: bytes) -> None:
            # Only this may be a fault of the disk; errors of the network are OSErrors as well.
            with _disk_errors(self.target):
                sink.write(chunk)

        try:
            yield write
        finally:
            with _disk_errors(self.target), sink:
                sink.flush()
                os.fsync(sink.fileno())

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.part_record.unlink(missing_ok=True)

    def finish(self) -> None:
        """Gives the part its name, and notes where it is from."""
        record = _read_json(self.part_record) or {}
        with _disk_errors(self.target):
            if self.target.suffix == ".gz":
                _pack(self.part)
            values = {
                "url": self.url,
                "etag": record.get("etag", ""),
                "last_modified": record.get("last_modified", ""),
                "bytes": self.part_size(),
                "sha256": sha256_of(self.part),
                "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            # A crash between the two leaves a record that does not fit: it is downloaded again.
            self.part.replace(self.target)
            _write_json(self.record, values)
            self.part_record.unlink(missing_ok=True)


def _pack(path: Path) -> None:
    """Gzips a file that is not."""
    with path.open("rb") as source:
        if source.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            return
        source.seek(0)
        packed = path.with_name(f"{path.name}.gz")
        with gzip.open(packed, "wb", compresslevel=6) as sink:
            shutil.copyfileobj(source, sink, CHUNK)
    packed.replace(path)


def _read_json(path: Path) -> dict[str, object] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no record is the same as one that cannot be read: nothing is known
    named = {"url", "etag", "last_modified"}
    return value if isinstance(value, dict) and named <= value.keys() else None


def _write_json(path: Path, value: dict[str, object]) -> None:
    with _disk_errors(path):
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path.parent}: cannot be written: {error.strerror or error}") from None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
