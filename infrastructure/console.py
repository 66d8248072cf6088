"""Messages that cannot fail: a full disk or a closed pipe costs lines, never the server.

`make up` writes its log into a file. Without this a message that finds no room raises in whoever
prints it, and a supervisor that reports a crash would end by its own report.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys


class _Lossy(io.RawIOBase):
    """A file descriptor whose writes always succeed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            return os.write(self._descriptor, view)
        return len(view)


def lose_what_finds_no_room() -> None:
    """Let this process's stdout and stderr drop what cannot be written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # started with the descriptor closed
            continue
        stream.flush()
        raw = io.BufferedWriter(_Lossy(stream.fileno()))
        lossy = io.TextIOWrapper(
            raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, lossy)
