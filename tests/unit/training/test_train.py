"""`python -m training.train`: from files to weights, and what is told of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint
from tests.unit.training.small_runs import command_line, write_project
from training import train as training
from training.evaluate import main as evaluate


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path)


def run_training(project: Path, *more: str) -> int:
    return training.main(command_line(project, *more))


def test_from_files_to_weights_to_figures(project: Path) -> None:
    assert run_training(project) == 0
    checkpoint = load_checkpoint(project / "run")
    assert checkpoint.sets == ("TST",)
    assert checkpoint.table.row("Creature A") is not None
    assert checkpoint.meta["metrics"]["held_out"]["top1_unforced"] > 0.8
    assert checkpoint.meta["data"]["files"][0]["rows_kept"] == 1440

    drafts = str(project / "draft_data_public.TST.PremierDraft.csv")
    options = ["--weights", str(project / "run"), "--cards", str(project / "cards.json")]
    texts = []
    for name, more in (("a", []), ("b", []), ("c", ["--by-attributes"])):
        out = project / "figures" / f"{name}.json"
        assert evaluate([*options, "--out", str(out), *more, drafts]) == 0
        texts.append(out.read_text())
    assert texts[0] == texts[1], "same rows, same numbers"
    by_name, by_attributes = (json.loads(text)["files"][0] for text in (texts[0], texts[2]))
    assert by_name["drafts"] == 120
    assert by_name["picks"] == 1440
    assert by_name["unforced_picks"] == 1200
    assert by_name["cards_unknown_to_model"] == 0
    assert by_name["top1_unforced"] > 0.8 > by_name["baselines"]["random"]
    # The table holds eight bits a value; the ranking hardly notices.
    assert by_attributes["top1_unforced"] == pytest.approx(by_name["top1_unforced"], abs=0.02)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sets", "XYZ"], "no draft file of set XYZ"),
        (["--cards", "absent.json"], "absent.json: cannot be read"),
        (["--recipe", "absent.toml"], "absent.toml: cannot be read"),
        (["--data", "absent"], "--data names the folder"),
        (["--steps", "0"], "steps must be at least 1"),
    ],
)
def test_mistakes_are_told_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert run_training(project, *more) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (project / "run").exists()


def test_a_run_that_diverges_writes_no_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30"))
    assert run_training(project) == 1
    assert "lower learning_rate" in capsys.readouterr().err
    assert not (project / "run").exists()
