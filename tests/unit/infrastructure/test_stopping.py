"""Signals are noted, and interrupt only what may be interrupted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from infrastructure.stopping import Stopped, StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    request = StopRequest()
    request.install()
    yield request
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted(stop: StopRequest, number: signal.Signals) -> None:
    assert not stop.requested
    os.kill(os.getpid(), number)
    assert stop.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_a_download(stop: StopRequest, number: signal.Signals) -> None:
    def download() -> None:
        with stop.interruptible():
            os.kill(os.getpid(), number)
            time.sleep(10)

    began = time.monotonic()
    with pytest.raises(Stopped):
        download()
    assert time.monotonic() - began < 5


def test_a_signal_from_before_interrupts_too(stop: StopRequest) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    began = False
    with pytest.raises(Stopped), stop.interruptible():
        began = True
    assert not began


def test_a_second_signal_does_not_interrupt_the_cleaning_up(stop: StopRequest) -> None:
    cleaned = []

    def download() -> None:
        with stop.interruptible():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                cleaned.append(True)

    with pytest.raises(Stopped):
        download()
    assert cleaned


def test_an_ignored_hangup_stays_ignored() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        request = StopRequest()
        request.install()
        os.kill(os.getpid(), signal.SIGHUP)
        assert not request.requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
