"""Text files that may be gzipped, read in pieces, with damage told plainly.

Scryfall's and 17Lands' files are hundreds of megabytes, so nothing here holds one whole.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"


class DataError(ValueError):
    """A data file that cannot be used; the message names the file and says why."""


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The file's content, unpacked when it starts as gzip does, whatever its name.

    Raises DataError for a missing or unreadable file, and, while the content is being read, for a
    gzip that is truncated or damaged.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            yield stream  # type: ignore[misc]  # GzipFile is a BinaryIO in all that matters here
    except EOFError:
        raise DataError(f"{path}: the gzip ends early; download the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip is damaged ({error}); download it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def sha256_of(path: Path) -> str:
    """The sha256 of the file as it lies on the disk (packed, if it is packed), in hex."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
