"""`python -m training.train`: from files to weights, and what is told of mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint
from tests.unit.training.samples import simulated_drafts
from tests.unit.training.small_runs import command_line, write_drafts, write_project
from training import train as training
from training.evaluate import main as evaluate
from training.storage import FolderStorage, StorageError


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
        (["--epochs", "nan"], "--epochs must be positive"),
        (["--epochs", "0"], "--epochs must be positive"),
        (["--device", "gpu"], "--device gpu: not a device"),
        (["--device", "cuda:99"], "--device cuda:99: torch sees"),
        (["--device", "meta"], "training runs on cpu or cuda"),
        (["--hold-out", "TST"], "nothing is left to train on"),
        (["--hold-out", "XYZ"], "--hold-out XYZ: no card and no draft file"),
        (["--min-rank", "wood"], "min_rank must be one of"),
        (["--since", "yesterday"], "since must be a date"),
        (["--checkpoints", "gs://a/b"], "to a folder or to s3://bucket/prefix"),
        (["--permanent-steps", "-1"], "--permanent-steps must be at least 1"),
        (["--ephemeral-minutes", "-1"], "--ephemeral-minutes must not be negative"),
        (["--output", "cards.json/run"], "cards.json/run"),
    ],
)
def test_mistakes_are_told_in_one_line(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(project)
    assert run_training(project, *more) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list((project / "run").rglob("*.*"))


def test_a_run_that_diverges_writes_no_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30"))
    assert run_training(project) == 1
    assert "lower learning_rate" in capsys.readouterr().err
    assert not list((project / "run").rglob("*.safetensors"))


def test_the_figures_of_a_run_are_told_with_what_to_do_next(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_training(project, "--epochs", "1") == 0
    told = capsys.readouterr().out
    # 1 090 training picks, 64 a step.
    steps = [line for line in told.splitlines() if " step " in line]
    assert steps[-1].split(" step ")[1].split()[0] == "18/18"
    assert "held out drafts: top1_unforced" in told
    assert f"weights are in {project / 'run'}" in told
    assert f"make evaluate WEIGHTS={project / 'run'}" in told
    assert "make serve MODEL_PATH=" in told
    names = {path.name for path in (project / "run").iterdir()}
    assert names == {
        "model.safetensors",
        "meta.json",
        "checkpoints",
        "metrics.jsonl",
        "tensorboard",
    }


def test_what_was_held_out_and_filtered_is_in_the_weights(project: Path) -> None:
    write_drafts(project, "OUT", simulated_drafts(40, seed=9))
    options = ["--hold-out", "OUT", "--min-wins", "1", "--steps", "3"]
    assert run_training(project, *options) == 0
    meta = load_checkpoint(project / "run").meta
    assert meta["sets"] == ["TST"]
    assert meta["data"]["hold_out"]["sets"] == ["OUT"]
    assert meta["data"]["filters"]["min_wins"] == 1
    assert meta["data"]["recipe"]["hold_out"] == ["OUT"]
    assert meta["metrics"]["unseen_by_set"]["OUT"]["picks"] == 480


def test_a_full_disk_is_told_before_training(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(project)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert run_training(project) == 1
    assert "0 MB are free on its disk" in capsys.readouterr().err
    assert not (project / "run" / "metrics.jsonl").exists()


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_later(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--permanent-steps", "10"]
    assert run_training(project, *options, "--steps", "40") == 0
    expected = (project / "run" / "model.safetensors").read_bytes()
    put = FolderStorage.put

    def full(self: FolderStorage, name: str, content: bytes) -> None:
        if name.startswith("step-00000020"):
            raise StorageError(f"{name} cannot be written: the disk is full")
        put(self, name, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStorage, "put", full)
        assert run_training(project, *options, "--fresh") == 1
    assert "the disk is full" in capsys.readouterr().err
    assert run_training(project, *options) == 0
    assert "going on from checkpoint step-00000010 " in capsys.readouterr().out
    assert (project / "run" / "model.safetensors").read_bytes() == expected
