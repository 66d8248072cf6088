"""How a download goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

LINE_SECONDS = 10.0


class Progress:
    """Of one file called `name`; use it as a context, so that the bar is closed."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self.name = name
        self.stream = stream or sys.stderr
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._done = 0
        self._total: int | None = None
        self._last = time.monotonic()

    def start(self, done: int, total: int | None) -> None:
        """`done` bytes are here of `total` (None: unsaid)."""
        self._done, self._total = done, total
        if not self.stream.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(
                desc=self.name, unit="B", unit_scale=True, file=self.stream, dynamic_ncols=True
            )
        self._bar.total = total
        self._bar.n = done
        self._bar.refresh()

    def advance(self, count: int) -> None:
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            of = f" of {self._total / 1e6:.1f}" if self._total else ""
            self.note(f"{self._done / 1e6:.1f}{of} MB")

    def note(self, text: str) -> None:
        """A line that stays."""
        tqdm.write(f"{self.name}: {text}", file=self.stream)
        self.stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
