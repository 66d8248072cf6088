"""The measurement of reading: on a small file, for real; and its table in the README."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.training.samples import draft_csv, simulated_drafts
from training import bench_ingest
from training.bench_ingest import READERS, RESULT, main, summarize, table
from training.readme import insert
from training.report import ROOT
from training.resultfile import rounded

Write = Callable[..., Path]


def test_the_readme_shows_the_result_file() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert insert(readme, "ingest", table(result)) == readme
    assert rounded(summarize(result["rounds"])) == result["summary"]


def test_both_readers_read_the_same_file(write: Write, tmp_path: Path) -> None:
    source = write("drafts.csv.gz", draft_csv(simulated_drafts(5)))
    document = tmp_path / "README.md"
    document.write_text("<!-- ingest:begin -->\n<!-- ingest:end -->\n")
    out = tmp_path / "ingest.json"
    arguments = ["--rows", "130", "--rounds", "1", "--result", str(out), "--readme", str(document)]
    assert main([str(source), *arguments]) == 0
    result = json.loads(out.read_text())
    assert [each["reader"] for each in result["rounds"]] == list(READERS)
    assert result["rows"] == 130
    assert all(each["seconds"] > 0 < each["peak_gb"] < 1 for each in result["rounds"])
    assert table(result) in document.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "drafts.csv.gz",
        "ingest.json",
    ]


def test_a_file_is_repeated_whole_and_cut(write: Write, tmp_path: Path) -> None:
    source = write("drafts.csv", b"pool_a,pack_card_a\n1,2\n3,4\n")
    assert bench_ingest.repeat(source, tmp_path / "big.csv", 5) == (2, 39)
    lines = (tmp_path / "big.csv").read_text().splitlines()
    assert lines == ["pool_a,pack_card_a", "1,2", "3,4", "1,2", "3,4", "1,2"]


def test_ratios_are_of_one_round() -> None:
    def reading(number: int, reader: str, seconds: float) -> dict[str, object]:
        names = dict.fromkeys(("seconds", "processor_seconds"), seconds)
        return {"round": number, "reader": reader, **names, "peak_gb": seconds}

    rounds = [
        *(reading(1, "ours", 1.0), reading(1, "pandas", 4.0)),
        *(reading(2, "pandas", 40.0), reading(2, "ours", 20.0)),
        *(reading(3, "ours", 2.0), reading(3, "pandas", 6.0)),
    ]
    summary = summarize(rounds)
    assert summary["times_faster"] == 3.0
    assert summary["ours"]["seconds"] == 2.0
    assert summary["peak_gb_worst"] == 20.0


@pytest.mark.parametrize(
    ("resource", "message"),
    [("disk", "GB needed: set TMPDIR"), ("memory", "needed by pandas: fewer rows")],
)
def test_too_little_room_is_told_before(
    write: Write, tmp_path: Path, resource: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "400000000000" if resource == "disk" else "100000"
    source = write("drafts.csv", draft_csv(simulated_drafts(5)))
    with pytest.MonkeyPatch.context() as patch:
        if resource == "memory":
            patch.setattr(bench_ingest, "PANDAS_BYTES", 1 << 40)
        arguments = [str(source), "--rows", rows, "--result", str(tmp_path / "out.json")]
        assert main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
