"""SIGINT, SIGTERM and SIGHUP as one request to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The user asked to stop; not an `Exception`, so that no handler of errors takes it."""


class StopRequest:
    """Whether somebody asked us to stop.

    Usually the request is only noted, and the loops look at `requested`: a signal that raised
    between starting Java and writing down its pid would lose Java. Work that may be dropped
    anywhere (a download) is put under `interruptible`, where the request raises `Stopped`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._interruptible = False
        self._reloadable = False
        self._reload_requested = False
        self._had_terminal = False

    def install(self, *, reloadable: bool = False) -> None:
        """Take over the signals of this process; call it from the main thread.

        `reloadable`: SIGHUP asks for a reload, as of a daemon (see `take_reload`), unless it comes
        because the terminal was closed: then it means to stop, as everywhere.
        """
        self._reloadable = reloadable
        self._had_terminal = _has_terminal()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup and shells without job control start programs with signals ignored: leave
            # SIGHUP so, but a server that cannot be stopped with the others helps nobody.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            signal.signal(number, self._note)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise `Stopped` inside this block as soon as the request comes, or came."""
        self._interruptible = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interruptible = False

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload_requested = self._reload_requested, False
        return asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        hung_up = self._had_terminal and not _has_terminal()
        if number == signal.SIGHUP and self._reloadable and not hung_up:
            self._reload_requested = True
            return
        first, self.requested = not self.requested, True
        if first and self._interruptible:
            raise Stopped


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
