"""Messages on a full disk and into a closed pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.settings import ROOT

FULL = Path("/dev/full")
SPEAK = """
import sys
from infrastructure.console import lose_what_finds_no_room
if "lossy" in sys.argv:
    lose_what_finds_no_room()
print("one", flush=True)
print("two", file=sys.stderr, flush=True)
print("✓ three")
sys.exit(7)
"""


def speak(*arguments: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", SPEAK, *arguments]
    return subprocess.run(command, cwd=ROOT, timeout=30, **streams)


def test_what_can_be_written_is_written() -> None:
    done = speak("lossy", capture_output=True)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (7, "one\n✓ three\n", b"two\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_costs_the_lines_alone() -> None:
    with FULL.open("wb") as full:
        assert speak("lossy", stdout=full, stderr=full).returncode == 7
        assert speak(stdout=full, stderr=full).returncode != 7, "or this would show nothing"


def test_a_closed_pipe_costs_the_lines_alone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert speak("lossy", stdout=writer, stderr=writer).returncode == 7
    finally:
        os.close(writer)
