"""Result files: whole or not at all, the same bytes for the same figures, and read with care."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from training.resultfile import read_result, require_writable, write_result, write_text
from training.textfile import DataError


def test_figures_are_rounded_and_rows_are_lines(tmp_path: Path) -> None:
    result = {"files": [{"top1": 2 / 3, "bins": [{"picks": 3, "é": 0.1}, {"picks": 4}], "no": []}]}
    write_result(tmp_path / "out.json", result)
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "files": [{"top1": 0.666667, "bins": [{"picks": 3, "é": 0.1}, {"picks": 4}], "no": []}]
    }
    assert '   {"picks": 3, "é": 0.1},\n' in text
    assert text.endswith("}\n")


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path / "out.json", {"nll": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    write_text(path, "before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"out\.json: cannot be written: No space left"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    umask = os.umask(0o022)
    try:
        write_text(tmp_path / "link", "after")
    finally:
        os.umask(umask)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o644


def test_trying_a_path_leaves_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path / "deep" / "out.json")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a result file"),
        ('{"files": [], "model": {"weights_sha256": "0"}}', "not a result file"),
        ('{"files": [{}], "model": {}}', "not a result file"),
        ('{"files": [{"file": "a"}], "model": {"weights_sha256": "0"}}', r"files\[0\] lacks 'set'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "out.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_result(tmp_path / "out.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_result(tmp_path / "absent.json")
