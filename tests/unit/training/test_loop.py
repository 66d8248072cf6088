"""The training loop on drafts that follow a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.training.samples import simulated_drafts
from tests.unit.training.small_runs import TINY, small_corpus, write_cards, write_drafts
from training.batches import StepBatch
from training.corpus import Corpus, load_corpus
from training.learner import Learner
from training.loop import Diverged, Snapshot, Tracker, Trainer, autocast, learning_rate, train
from training.scryfall import CardCatalog
from training.validation import measure

WITH_DROPOUT = replace(TINY, steps=12, feature_dropout=0.2)


class Recorder(Tracker):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.records: list[tuple[int, dict[str, float]]] = []

    def stepped(self, step: int) -> None:
        self.steps.append(step)

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        self.records.append((step, dict(figures)))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return small_corpus(tmp_path)


def batch_of(corpus: Corpus, picks: int) -> StepBatch:
    drawn = [(number, each.rows[:picks]) for number, each in enumerate(corpus.sets)]
    return StepBatch.collate(corpus.sets, drawn)


def same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_rule_is_learnt_and_told(corpus: Corpus) -> None:
    recorder, trainer = Recorder(), Trainer(TINY, corpus)
    assert train(trainer, recorder)
    losses = [figures["loss"] for _, figures in recorder.records if "loss" in figures]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 3
    assert recorder.steps == list(range(1, 61))
    validated = [
        step for step, figures in recorder.records if "validation_top1_unforced" in figures
    ]
    assert validated == [20, 40]
    assert all(f["picks_per_second"] > 0 for _, f in recorder.records if "loss" in f)
    assert measure(trainer.averaged(), corpus)["held_out"]["top1_unforced"] > 0.9


def test_the_same_seed_gives_the_same_weights(corpus: Corpus) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        trainer = Trainer(replace(WITH_DROPOUT, seed=seed), corpus)
        train(trainer)
        return trainer.averaged().state_dict()

    first = run(1)
    assert same(first, run(1))
    assert not same(first, run(2))


@pytest.mark.parametrize("stopped_after", [1, 5, 11])
def test_a_restored_run_ends_with_the_same_bits(corpus: Corpus, stopped_after: int) -> None:
    whole = Trainer(WITH_DROPOUT, corpus)
    train(whole)

    snapshots: list[Snapshot] = []
    first = Trainer(WITH_DROPOUT, corpus)
    stop = iter([False] * (stopped_after - 1) + [True])
    assert not train(first, stop=lambda: next(stop), write_checkpoint=snapshots.append)
    assert [each.step for each in snapshots] == [stopped_after]
    torch.rand(100)  # another process would not have this one's random numbers either
    second = Trainer(WITH_DROPOUT, corpus)
    second.restore(snapshots[0])
    assert train(second, write_checkpoint=snapshots.append)
    assert same(snapshots[-1].tensors, whole.snapshot().tensors)
    assert snapshots[-1].sampler == whole.snapshot().sampler


def test_checkpoints_are_written_when_due_and_at_the_end(corpus: Corpus) -> None:
    steps: list[int] = []
    train(
        Trainer(WITH_DROPOUT, corpus),
        checkpoint_due=lambda step: step % 5 == 0,
        write_checkpoint=lambda snapshot: steps.append(snapshot.step),
    )
    assert steps == [5, 10, 12]


def test_a_loss_that_is_no_number_ends_the_run(corpus: Corpus) -> None:
    trainer = Trainer(replace(TINY, learning_rate=1e30), corpus)
    with pytest.raises(Diverged, match=r"at step [0-9]+: lower learning_rate"):
        train(trainer)


def test_every_weight_that_is_trained_gets_a_gradient(corpus: Corpus) -> None:
    learner = Learner(TINY, corpus.sets).train()
    learner(batch_of(corpus, 50)).backward()
    without = [name for name, value in learner.named_parameters() if value.grad is None]
    # Simulated events all end alike; the value head has nothing to learn from them.
    assert without == ["model.value_head.weight", "model.value_head.bias"]
    assert not any(value.requires_grad for value in learner.model.value_head.parameters())


def test_the_value_head_learns_where_results_vary(tmp_path: Path) -> None:
    rows = simulated_drafts(60)
    for number, row in enumerate(rows):
        row.wins, row.losses = ("7", "1") if number // 12 % 2 else ("1", "3")
    write_drafts(tmp_path, "T0", rows)
    write_drafts(tmp_path, "T1", simulated_drafts(60, seed=3))
    catalog = CardCatalog.read(write_cards(tmp_path))
    corpus = load_corpus(tmp_path, [], tmp_path / "cache", catalog, TINY)
    assert [each.learns_value for each in corpus.sets] == [True, False]
    trainer = Trainer(replace(TINY, value_weight=1.0, steps=5), corpus)
    before = trainer.learner.model.value_head.weight.clone()
    train(trainer)
    assert not torch.equal(before, trainer.learner.model.value_head.weight)

    batch = batch_of(corpus, 100)
    assert batch.win_share_B[:100].unique().tolist() == [0.25, 0.875]
    assert batch.win_share_B[100:].isnan().all()


def test_processes_share_a_step_without_rest(corpus: Corpus) -> None:
    """Three shares of a step's picks add up to its loss and to its gradients."""
    learner = Learner(TINY, corpus.sets).eval()
    drawn = [(number, each.rows[:50]) for number, each in enumerate(corpus.sets)]
    learner(StepBatch.collate(corpus.sets, drawn)).backward()
    expected = {n: v.grad.clone() for n, v in learner.named_parameters() if v.grad is not None}
    learner.zero_grad()
    for rank in range(3):
        learner(StepBatch.collate(corpus.sets, drawn, None, rank, 3)).backward()
    for name, value in learner.named_parameters():
        if name in expected:
            torch.testing.assert_close(value.grad, expected[name], rtol=1e-4, atol=1e-6)


def test_bfloat16_gives_nearly_the_same_loss(corpus: Corpus) -> None:
    """The code path of a GPU, as far as a CPU has it."""
    learner = Learner(TINY, corpus.sets).eval()
    batch = batch_of(corpus, 50)
    with autocast(torch.device("cpu")):
        exact = learner(batch)
    with autocast(torch.device("cpu"), enabled=True):
        rough = learner(batch)
        rough.backward()
    assert exact.dtype == rough.dtype == torch.float32
    assert exact.item() != rough.item()
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    gradient = learner.model.encoder.hidden.weight.grad
    assert gradient.dtype == torch.float32
    assert gradient.isfinite().all()


def test_a_step_runs_on_another_device(corpus: Corpus) -> None:
    """`meta` tensors refuse to meet those of the CPU, as those of a GPU would."""
    device = torch.device("meta")
    learner = Learner(TINY, corpus.sets).to(device).train()
    drawn = [(number, each.rows[:50]) for number, each in enumerate(corpus.sets)]
    batch = StepBatch.collate(corpus.sets, drawn, device)
    loss = learner(batch)
    loss.backward()
    assert loss.device.type == "meta"


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(TINY, step) for step in range(TINY.steps)]
    assert rates[0] == pytest.approx(TINY.learning_rate / 5)
    assert max(rates) == rates[5] == pytest.approx(TINY.learning_rate)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.05 * TINY.learning_rate
