"""What is learnt of single cards: who has it, when it is hidden, and where it ends up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.card_table import fold_name
from tests.unit.training.samples import CARDS, simulated_drafts
from tests.unit.training.small_runs import TINY, small_corpus, write_cards, write_drafts
from training.batches import StepBatch
from training.corpus import Corpus, load_corpus
from training.export import build_table
from training.learner import Learner
from training.loop import Trainer, train
from training.scryfall import CardCatalog
from training.sparse import encode
from training.validation import calibrate

NEVER = replace(TINY, set_dropout=0.0, card_dropout=0.0)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return small_corpus(tmp_path)


@pytest.fixture
def learner(corpus: Corpus) -> Learner:
    """With an identity for each card, as after some training."""
    torch.manual_seed(3)
    learner = Learner(NEVER, corpus.sets)
    torch.nn.init.normal_(learner.identities.vectors)
    return learner.eval()


def one_batch(corpus: Corpus) -> StepBatch:
    return StepBatch.collate(
        corpus.sets, [(n, each.rows[:40]) for n, each in enumerate(corpus.sets)]
    )


def test_printings_of_a_card_share_one_identity(corpus: Corpus, learner: Learner) -> None:
    assert len(learner.identities) == len({fold_name(name) for name in CARDS})
    first, second = (learner.identities.rows(each.dataset.cards) for each in corpus.sets)
    assert sorted(first.tolist()) == sorted(second.tolist())
    shouted = [name.upper() for name in corpus.sets[0].dataset.cards]
    assert torch.equal(learner.identities.rows(shouted), first)


def test_without_identities_only_attributes_speak(corpus: Corpus, learner: Learner) -> None:
    each = corpus.sets[0]
    alone = encode(learner.model.encoder, each.cards)
    assert not torch.allclose(learner.vectors(each), alone, atol=0.1)
    hidden = Learner(replace(NEVER, card_dropout=0.999999, set_dropout=0.0), corpus.sets)
    hidden.load_state_dict(learner.state_dict())
    batch = one_batch(corpus)
    with torch.no_grad():
        loss = hidden.train()(batch)
        learner.identities.vectors.zero_()
        torch.testing.assert_close(loss, learner(batch))


def test_a_new_set_is_shown_without_identities(corpus: Corpus, learner: Learner) -> None:
    batch = one_batch(corpus)
    as_new = Learner(replace(NEVER, set_dropout=0.999999), corpus.sets)
    as_new.load_state_dict(learner.state_dict())
    as_new.train()(batch).backward()
    assert as_new.identities.vectors.grad is not None
    assert not as_new.identities.vectors.grad.any()
    learner.train()(batch).backward()
    assert learner.identities.vectors.grad.any()


def test_the_table_holds_what_training_scored_with(
    corpus: Corpus, learner: Learner, tmp_path: Path
) -> None:
    catalog = CardCatalog.read(write_cards(tmp_path))
    table = build_table(learner, catalog, corpus.set_codes)
    assert table.trained.all()
    for each in corpus.sets:
        rows = [table.row(name) for name in each.dataset.cards]
        torch.testing.assert_close(table.vectors[rows], learner.vectors(each))


def test_cards_that_were_not_trained_on_are_their_attributes(tmp_path: Path) -> None:
    half = CARDS[: len(CARDS) // 2]
    write_drafts(tmp_path, "T0", simulated_drafts(60))
    catalog = CardCatalog.read(write_cards(tmp_path, dict.fromkeys(half, "t1")))
    config = replace(NEVER, hold_out=("T1",))
    corpus = load_corpus(tmp_path, [], tmp_path / "cache", catalog, config)
    learner = Learner(config, corpus.sets)
    torch.nn.init.normal_(learner.identities.vectors)
    table = build_table(learner.eval(), catalog, corpus.set_codes)
    trained = {name for name, flag in zip(table.names, table.trained.tolist(), strict=True) if flag}
    assert trained == set(CARDS) - set(half)
    held = [table.row(name) for name in half]
    with torch.no_grad():
        learner.identities.vectors.zero_()
    plain = build_table(learner, catalog, corpus.set_codes)
    torch.testing.assert_close(table.vectors[held], plain.vectors[held])


def test_a_drafted_card_that_scryfall_lacks_is_in_the_table(tmp_path: Path) -> None:
    names = [*CARDS[:-1], "Card Nobody Printed"]
    renamed = dict(zip(CARDS, names, strict=True))
    rows = simulated_drafts(60)
    for row in rows:
        row.pick = renamed[row.pick]
        row.pack = [renamed[name] for name in row.pack]
        row.pool = [renamed[name] for name in row.pool]
    write_drafts(tmp_path, "T0", rows, names)
    catalog = CardCatalog.read(write_cards(tmp_path))
    corpus = load_corpus(tmp_path, [], tmp_path / "cache", catalog, NEVER)
    table = build_table(Learner(NEVER, corpus.sets).eval(), catalog, corpus.set_codes)
    row = table.row("Card Nobody Printed")
    assert row is not None
    assert table.trained[row]
    assert not table.trained[table.row(CARDS[-1])]


def test_each_temperature_is_fitted_on_its_own_drafts(tmp_path: Path) -> None:
    for number, drafts in enumerate((100, 80)):
        write_drafts(tmp_path, f"T{number}", simulated_drafts(drafts, seed=number + 1))
    catalog = CardCatalog.read(write_cards(tmp_path))

    def run(hold_out: tuple[str, ...]) -> tuple[dict[str, float], list[float]]:
        config = replace(TINY, steps=15, hold_out=hold_out)
        corpus = load_corpus(tmp_path, [], tmp_path / "cache", catalog, config)
        trainer = Trainer(config, corpus)
        train(trainer)
        learner = trainer.averaged()
        factors = calibrate(learner, corpus, unseen_factor=0.7)
        return factors, learner.model.inverse_temperature.tolist()

    factors, buffer = run(())
    assert factors["unseen"] == 0.7
    assert buffer == pytest.approx([factors["unseen"], factors["known"]])
    factors, buffer = run(("T1",))
    assert factors["unseen"] != 0.7
    assert buffer == pytest.approx([factors["unseen"], factors["known"]])
