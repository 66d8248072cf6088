"""The training loop on drafts that follow a rule, and everything around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint
from model.features import CardEncoderConfig, CardFeatureExtractor
from model.network import DraftModel, DraftModelConfig
from tests.unit.training.samples import (
    draft_csv,
    scryfall_json,
    simulated_cards,
    simulated_drafts,
)
from training import train as training
from training.config import TrainingConfig
from training.dataset import Split
from training.evaluate import main as evaluate
from training.metrics import Scores, calibration_error
from training.scryfall import CardCatalog
from training.textfile import DataError

Write = Callable[..., Path]

TINY = TrainingConfig(
    model=DraftModelConfig(
        encoder=CardEncoderConfig(text_bins=64, hidden_dim=32, card_dim=16, dropout=0.0),
        hidden_dim=32,
        dropout=0.0,
    ),
    steps=60,
    picks_per_set=64,
    warmup_steps=5,
    learning_rate=1e-2,
    feature_dropout=0.0,
    ema_decay=0.9,
    log_every=10,
    evaluate_every=20,
)


@pytest.fixture
def sets(write: Write, tmp_path: Path) -> list[training.TrainingSet]:
    files = [
        write(f"draft_data_public.T{number}.PremierDraft.csv", draft_csv(drafts))
        for number, drafts in enumerate((simulated_drafts(100, 1), simulated_drafts(80, 2)))
    ]
    catalog = CardCatalog.read(write("cards.json", scryfall_json(simulated_cards())))
    extractor = CardFeatureExtractor(TINY.model.encoder)
    return training.load_sets(files, tmp_path / "cache", catalog, extractor)[0]


def test_a_rule_is_learnt(sets: list[training.TrainingSet]) -> None:
    lines: list[str] = []
    model = training.train(TINY, sets, lines.append)
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines if "loss" in line]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 3
    held_out = training.evaluate_sets(model, sets)["held_out"]
    assert held_out["top1_unforced"] > 0.9


def test_the_same_seed_gives_the_same_weights(sets: list[training.TrainingSet]) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        values = {name: getattr(TINY, name) for name in TINY.__slots__}
        config = TrainingConfig(**values | {"seed": seed, "steps": 5})
        return training.train(config, sets, lambda line: None).state_dict()

    first, again, other = run(1), run(1), run(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_weight_of_the_ranking_gets_a_gradient(sets: list[training.TrainingSet]) -> None:
    model = DraftModel(TINY.model).train()
    training.step_loss(model, [(each, each.rows[:50]) for each in sets], TINY).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None]
    # Simulated events all end alike; the value head has nothing to learn from them.
    assert without == ["value_head.weight", "value_head.bias"]


def test_the_value_head_learns_where_results_vary(write: Write, tmp_path: Path) -> None:
    rows = simulated_drafts(40)
    for number, row in enumerate(rows):
        row.wins, row.losses = ("7", "1") if number // 12 % 2 else ("1", "3")
    path = write("draft_data_public.TST.PremierDraft.csv", draft_csv(rows))
    catalog = CardCatalog.read(write("cards.json", scryfall_json(simulated_cards())))
    extractor = CardFeatureExtractor(TINY.model.encoder)
    (only,), _ = training.load_sets([path], tmp_path / "cache", catalog, extractor)
    model = DraftModel(TINY.model).train()
    training.step_loss(model, [(only, only.rows[:100])], TINY).backward()
    assert model.value_head.weight.grad is not None
    assert model.value_head.weight.grad.abs().sum() > 0


def test_training_uses_training_drafts_alone(sets: list[training.TrainingSet]) -> None:
    for each in sets:
        held_out = np.concatenate(
            [each.dataset.rows(split) for split in (Split.VALIDATION, Split.TEST)]
        )
        assert len(held_out)
        assert not np.isin(each.rows, held_out).any()


def test_rows_come_again_only_after_all_others() -> None:
    sampler = training.RowSampler(np.arange(10), np.random.default_rng(0))
    drawn = np.concatenate([sampler.draw(4) for _ in range(5)])
    assert sorted(drawn[:10]) == list(range(10)) == sorted(drawn[10:])


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [training.learning_rate(TINY, step) for step in range(TINY.steps)]
    assert rates[0] == pytest.approx(TINY.learning_rate / 5)
    assert max(rates) == rates[5] == pytest.approx(TINY.learning_rate)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.05 * TINY.learning_rate


def test_temperature_restores_calibration() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 8, generator=generator) * 1.5
    picks = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)
    taken = torch.zeros_like(logits, dtype=torch.bool).scatter(1, picks, True)
    overconfident = Scores(logits * 2.5, taken)
    factor = training.fit_temperature([overconfident])
    assert factor == pytest.approx(1 / 2.5, rel=0.05)
    assert calibration_error(overconfident) > 0.15
    assert calibration_error(Scores(logits * 2.5 * factor, taken)) < 0.03


@pytest.fixture
def project(write: Write, tmp_path: Path) -> Path:
    """A folder with drafts, cards and a recipe."""
    recipe = b"""
steps = 40
picks_per_set = 64
warmup_steps = 5
learning_rate = 1e-2
[model]
hidden_dim = 32
[encoder]
text_bins = 64
hidden_dim = 32
card_dim = 16
"""
    write("recipe.toml", recipe)
    write("draft_data_public.TST.PremierDraft.csv.gz", draft_csv(simulated_drafts(120)))
    write("cards.json.gz", scryfall_json(simulated_cards()))
    return tmp_path


def run_training(project: Path, *more: str) -> int:
    paths = {
        "data": project,
        "cards": project / "cards.json.gz",
        "recipe": project / "recipe.toml",
        "output": project / "weights",
        "cache": project / "cache",
    }
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return training.main([*options, "--threads", "1", *more])


def test_from_files_to_weights_to_figures(project: Path) -> None:
    assert run_training(project) == 0
    checkpoint = load_checkpoint(project / "weights")
    assert checkpoint.sets == ("TST",)
    assert checkpoint.table.row("Creature A") is not None
    assert checkpoint.meta["metrics"]["held_out"]["top1_unforced"] > 0.8
    assert checkpoint.meta["data"]["files"][0]["rows_kept"] == 1440

    drafts = str(project / "draft_data_public.TST.PremierDraft.csv.gz")
    options = ["--weights", str(project / "weights"), "--cards", str(project / "cards.json.gz")]
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
    assert not (project / "weights").exists()


def test_a_run_that_diverges_writes_no_weights(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30"))
    assert run_training(project) == 1
    assert "lower learning_rate" in capsys.readouterr().err
    assert not (project / "weights").exists()


def test_sets_are_chosen_by_code(project: Path) -> None:
    assert [path.name for path in training.find_files(project, ["tst"])] == [
        "draft_data_public.TST.PremierDraft.csv.gz"
    ]
    with pytest.raises(DataError, match="no draft file of set FDN"):
        training.find_files(project, ["TST", "FDN"])
