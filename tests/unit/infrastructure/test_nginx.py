"""Finding nginx, and what is said when there is none that will do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infrastructure.errors import NginxError
from infrastructure.gateway import nginx
from infrastructure.gateway.nginx import find_nginx, whole_lines


def program(folder: Path, says: str) -> None:
    path = folder / "nginx"
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of the PATH, Debian's /usr/sbin left out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nginx, "SYSTEM_FOLDERS", ())
    return tmp_path


def test_the_package_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(NginxError, match="the package is nginx-light on Debian and Ubuntu"):
        find_nginx()


def test_it_is_found_where_the_path_does_not_lead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path, "nginx version: nginx/1.26.3")
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(nginx, "SYSTEM_FOLDERS", (str(tmp_path),))
    found = find_nginx()
    assert (found.program, found.version) == (str(tmp_path / "nginx"), (1, 26, 3))


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("nginx version: nginx/1.14.2", "is version 1.14.2, and the gateway needs 1.17.6 or newer"),
        ("hello", "does not tell its version: 'hello'"),
    ],
)
def test_a_program_that_will_not_do_is_named(path: Path, says: str, complaint: str) -> None:
    program(path, says)
    with pytest.raises(NginxError, match=complaint):
        find_nginx()


def test_an_old_one_is_told_where_to_log_by_its_configuration_alone(path: Path) -> None:
    program(path, "nginx version: nginx/1.18.0 (Ubuntu)")
    assert "-e" not in find_nginx().command(path)
    program(path, "nginx version: nginx/1.22.1")
    assert find_nginx().command(path)[-2:] == ["-e", "stderr"]


@pytest.mark.parametrize(
    ("text", "parts", "rest"),
    [
        (b"", [], b""),
        (b"half a li", [], b"half a li"),
        (b"one\ntwo\nthr", [b"one\ntwo\n"], b"thr"),
        (b"x" * 4000 + b"\n" + b"y" * 95 + b"\n", [b"x" * 4000 + b"\n", b"y" * 95 + b"\n"], b""),
        (b"x" * 5000 + b"\n\n", [b"x" * 5000 + b"\n", b"\n"], b""),
    ],
)
def test_a_line_of_the_log_is_written_in_one_piece(
    text: bytes, parts: list[bytes], rest: bytes
) -> None:
    assert whole_lines(text) == (parts, rest)
