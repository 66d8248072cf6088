"""Figures that are kept in the repository, and the README's tables of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests import kept
from loadtests.kept import insert, keep, read, table
from loadtests.verdict import Check

from .test_reports import CHECKS, RUN, SAMPLES

OVERLOAD = [
    Check("overload", "p99 of the accepted", "≤ 2000 ms", "310 ms", True),
    Check("after", "until 90% of the capacity", "≤ 5 s", "9 s", False),
    Check("after", "throughput after that, of the capacity", "≥ 80%", "99%", True),
]


def overload() -> object:
    return type(RUN)(
        **{name: getattr(RUN, name) for name in RUN.__slots__} | {"scenario": "overload"}
    )


def test_a_kept_run_has_its_figures(tmp_path: Path) -> None:
    keep(RUN, SAMPLES, CHECKS, tmp_path)
    (result,) = read(tmp_path)
    assert (result["scenario"], result["requests"], result["failed_or_wrong"]) == ("per_ip", 200, 0)
    assert [stage["name"] for stage in result["stages"]] == ["below", "above"]
    assert result["stages"][0]["answered_per_s"] == 6.6
    assert result["checks"][0] == {
        "stage": "below", "what": "refused", "wanted": "0", "measured": "3", "passed": False,
    }  # fmt: skip


def test_the_tables_have_a_row_a_scenario_and_the_figures_that_were_asked_for(
    tmp_path: Path,
) -> None:
    keep(RUN, SAMPLES, CHECKS, tmp_path)
    keep(overload(), SAMPLES, OVERLOAD, tmp_path)
    text = table(read(tmp_path))
    assert "| 200 | 0 | **1 of 2** | below, 10 s | 6.6 | 3.4 | 4.5 | 7.5 | 7.5 | 7.5 |" in text
    assert "| `overload`: p99 of the accepted | ≤ 2000 ms | 310 ms | reached |" in text
    assert "| `overload`: until 90% of the capacity | ≤ 5 s | 9 s | **missed** |" in text
    assert "throughput after that" not in text
    # In the order of the scenarios, not of the files.
    assert text.index("[`per_ip`]") < text.index("[`overload`]")
    assert "Whole runs of 2026-11-25;" in text


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    keep(RUN, SAMPLES, CHECKS, tmp_path)
    keep(RUN, SAMPLES[:50], CHECKS, tmp_path)
    (result,) = read(tmp_path)
    assert result["requests"] == 50


def test_the_readmes_part_alone_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(RUN, SAMPLES, CHECKS, tmp_path)
    expected = table(read(tmp_path))
    monkeypatch.setattr(kept, "read", lambda: read(tmp_path))
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- loads:begin -->\nold\n<!-- loads:end -->\nb\n", encoding="utf-8")
    assert kept.main(["--readme", str(readme)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text == f"a\n<!-- loads:begin -->\n{expected}<!-- loads:end -->\nb\n"
    readme.write_text("no part\n", encoding="utf-8")
    assert kept.main(["--readme", str(readme)]) == 1
    assert "there is no part between" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == "no part\n"


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no part"):
        insert("<!-- loads:begin -->\n", "x")


def test_results_are_plain_json(tmp_path: Path) -> None:
    keep(RUN, SAMPLES, CHECKS, tmp_path)
    text = (tmp_path / "per_ip.json").read_text(encoding="utf-8")
    assert json.loads(text)["machine"].keys() == {"processor", "cores"}
    assert "127.0.0.1" not in text
