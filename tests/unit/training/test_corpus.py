"""What is learnt from, and what is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.samples import CARDS, simulated_drafts
from tests.unit.training.small_runs import TINY, small_corpus, write_cards, write_drafts
from training.config import TrainingConfig
from training.corpus import Corpus, find_files, load_corpus
from training.dataset import Split
from training.loop import Trainer, train
from training.scryfall import CardCatalog
from training.textfile import DataError
from training.validation import measure

OUT = (*CARDS[:3], *CARDS[9:])
"""Cards of the set OUT: three are also in KEPT, which has the first nine."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Drafts of KEPT and OUT, which share three cards; EXTRA has cards but no draft file."""
    for seed, (code, cards) in enumerate({"KEPT": CARDS[:9], "OUT": OUT}.items()):
        write_drafts(tmp_path, code, simulated_drafts(60, seed, cards), cards)
    write_cards(tmp_path, {CARDS[8]: "extra", CARDS[9]: "extra"})
    return tmp_path


def load(folder: Path, config: TrainingConfig = TINY, sets: tuple[str, ...] = ()) -> Corpus:
    catalog = CardCatalog.read(folder / "cards.json")
    return load_corpus(folder, sets, folder / "cache", catalog, config)


def identified(corpus: Corpus) -> list[str]:
    (only,) = corpus.sets
    return [name for name, known in zip(only.dataset.cards, only.identity_X, strict=True) if known]


def test_training_uses_training_drafts_alone(tmp_path: Path) -> None:
    for each in small_corpus(tmp_path).sets:
        held_out = [each.dataset.rows(split) for split in (Split.VALIDATION, Split.TEST)]
        assert all(len(rows) for rows in held_out)
        assert not np.isin(each.rows, np.concatenate(held_out)).any()


def test_nothing_is_held_out_unasked(folder: Path) -> None:
    corpus = load(folder)
    assert corpus.set_codes == ("KEPT", "OUT")
    assert corpus.held_out == ()
    assert all(each.identity_X.all() for each in corpus.sets)
    assert corpus.manifest["hold_out"]["sets"] == []


def test_a_set_held_out_gives_no_draft_and_its_cards_no_identity(folder: Path) -> None:
    corpus = load(folder, replace(TINY, hold_out=("out",)))
    assert corpus.set_codes == ("KEPT",)
    assert [each.name for each in corpus.held_out] == ["OUT"]
    assert len(corpus.held_out[0].rows) == 0
    assert [entry["expansion"] for entry in corpus.manifest["files"]] == ["KEPT"]
    assert set(identified(corpus)) == set(CARDS[3:9])
    assert corpus.manifest["hold_out"] == {
        "sets": ["OUT"],
        "cards": 6,
        "picks_between_cards": "kept",
    }


def test_a_set_known_by_its_cards_alone_can_be_held_out(folder: Path) -> None:
    corpus = load(folder, replace(TINY, hold_out=("EXTRA",)))
    assert corpus.set_codes == ("KEPT", "OUT")
    kept = next(each for each in corpus.sets if each.name == "KEPT")
    hidden = [n for n, known in zip(kept.dataset.cards, kept.identity_X, strict=True) if not known]
    assert hidden == [CARDS[8]]


def test_picks_between_cards_held_out_can_be_left_out(folder: Path) -> None:
    loose = load(folder, replace(TINY, hold_out=("OUT",)))
    strict = load(folder, replace(TINY, hold_out=("OUT",), hold_out_cards=True))
    each = strict.sets[0]
    assert 0 < len(each.rows) < len(loose.sets[0].rows)
    batch = each.dataset.batch(each.rows)
    offered = {each.dataset.cards[number] for number in batch.pack_cards_BC[batch.pack_mask_BC]}
    assert offered == set(CARDS[3:9])
    left_out = strict.manifest["files"][0]["rows_with_held_out_cards"]
    assert left_out == len(loose.sets[0].rows) - len(each.rows)
    assert strict.manifest["sha256"] != loose.manifest["sha256"]


def test_sets_held_out_are_measured_as_unseen(folder: Path) -> None:
    corpus = load(folder, replace(TINY, hold_out=("OUT",)))
    trainer = Trainer(TINY, corpus)
    train(trainer)
    metrics = measure(trainer.averaged(), corpus)
    assert list(metrics["held_out_by_set"]) == ["KEPT"]
    assert list(metrics["unseen_by_set"]) == ["OUT"]
    assert metrics["unseen_by_set"]["OUT"]["picks"] == 60 * 12
    # The rule is told by power alone, and holds for cards never seen.
    assert metrics["unseen"]["top1_unforced"] > 0.5


@pytest.mark.parametrize(
    ("changes", "sets", "message"),
    [
        ({"hold_out": ("NONE",)}, (), "--hold-out NONE: no card and no draft file"),
        ({"hold_out": ("OUT", "KEPT")}, (), "nothing is left to train on"),
        ({"hold_out": ("OUT",)}, ("out", "KEPT"), "OUT: to be trained on and held out"),
    ],
)
def test_what_cannot_be_held_out_is_told(
    folder: Path, changes: dict[str, tuple[str, ...]], sets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load(folder, replace(TINY, **changes), sets)


def test_a_renamed_file_does_not_let_a_held_out_set_in(folder: Path) -> None:
    (folder / "draft_data_public.OUT.PremierDraft.csv").rename(
        folder / "draft_data_public.NEW.PremierDraft.csv"
    )
    write_cards(folder, {CARDS[9]: "out"})
    with pytest.raises(DataError, match="holds drafts of OUT, which is held out"):
        load(folder, replace(TINY, hold_out=("OUT",)))


def test_filters_that_leave_nothing_are_told(folder: Path) -> None:
    strict = replace(TINY.filters, min_wins=8)
    with pytest.raises(DataError, match=r"KEPT.*csv: no row can be used.*fewer wins.*720"):
        load(folder, replace(TINY, filters=strict))


def test_sets_are_chosen_by_code(folder: Path) -> None:
    assert [path.name for path in find_files(folder, ["kept"])] == [
        "draft_data_public.KEPT.PremierDraft.csv"
    ]
    with pytest.raises(DataError, match="no draft file of set FDN"):
        find_files(folder, ["KEPT", "FDN"])
