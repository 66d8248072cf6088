"""One flag for all that asks a run to stop: SIGTERM, SIGINT, and AWS taking the machine back.

The flag is read after every step; then a checkpoint is written and the program ends with
`EXIT_INTERRUPTED`, by which AWS Batch and others know to start it again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from training.spot import SpotWatcher, endpoint

EXIT_INTERRUPTED = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """The run was asked to stop, and has nothing left to store."""


class StopRequest:
    """Set by the first signal or notice within a `with` block; reading it costs nothing.

    A second SIGINT ends the program at once, as a user who presses Ctrl-C again wants it, unless
    there are several processes: torchrun and the terminal both send one.

    Args:
        processes: of this run; the first on each machine looks for the spot notice.
        local_rank: of this process on its machine.
        warn: told when the spot notice cannot be looked for.
    """

    def __init__(
        self, processes: int, local_rank: int, warn: Callable[[str], None] = lambda line: None
    ) -> None:
        self.reason: str | None = None
        self._impatience = processes == 1
        self._previous: dict[signal.Signals, object] = {}
        address = endpoint() if local_rank == 0 else None
        self._watcher = address and SpotWatcher(address, self._notified, warn)

    @property
    def is_set(self) -> bool:
        return self.reason is not None

    def raise_if_set(self) -> None:
        """Raises Interrupted: for phases after which nothing needs to be stored."""
        if self.reason is not None:
            raise Interrupted(self.reason)

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._signalled)
        if self._watcher:
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watcher:
            self._watcher.close()
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.reason is None:
            self.reason = name
            # Not print(): the signal may have come in the middle of one.
            os.write(2, f"\n{name}: stopping after this step\n".encode())
        elif number == signal.SIGINT and self._impatience:
            raise KeyboardInterrupt

    def _notified(self, notice: str) -> None:
        self.reason = self.reason or f"spot notice {notice}"
