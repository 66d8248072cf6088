"""The drafts to learn from: which files, which sets, and what is held out.

A set that is held out gives no draft to training. Its cards may appear in other sets as reprints:
there they are seen by their attributes, like any card, but `TrainingSet.identity_X` says that
nothing may be learnt for them under their own name; with `hold_out_cards` also the picks between
them are left out.

Legend: N picks, C pack slots, X cards of the set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.card_table import fold_name
from model.cards import Card
from model.features import CardFeatureExtractor
from training.config import TrainingConfig
from training.dataset import PickDataset, Split, prepare
from training.filters import DraftFilter
from training.scryfall import CardCatalog
from training.sparse import SparseFeatures
from training.textfile import DataError

CHUNK = 8192
"""Rows looked at together."""
DRAFT_FILES = "draft_data_public.*.csv*"
_KEPT = ("source", "source_sha256", "expansion", "event_type", "rows_kept", "rows_dropped")


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One file's picks and the features of its cards."""

    dataset: PickDataset
    cards: SparseFeatures
    rows: npt.NDArray[np.int64]
    """Unforced picks to learn from."""
    identity_X: npt.NDArray[np.bool_]
    """Cards for which something of their own may be learnt; false for cards of held-out sets."""
    learns_value: bool
    """Whether the events' results say anything: those of simulated drafts are all the same."""

    @property
    def name(self) -> str:
        return self.dataset.picks.expansion


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a run works with."""

    sets: tuple[TrainingSet, ...]
    """To learn from; a set is here once for each of its files."""
    held_out: tuple[TrainingSet, ...]
    """Sets kept out whose drafts are at hand, to measure on; their `rows` are empty."""
    manifest: dict[str, Any]
    """The files with their checksums and what was left out of them; `sha256` binds all of it."""

    @property
    def picks(self) -> int:
        return sum(len(each.rows) for each in self.sets)

    @property
    def set_codes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self.sets))


def find_files(folder: Path, sets: Sequence[str]) -> list[Path]:
    """17Lands' draft files directly in the folder, of these sets or of all.

    Raises DataError when there is none, or none of a set asked for.
    """
    files = sorted(folder.glob(DRAFT_FILES))
    if not files:
        raise DataError(f"{folder}: no {DRAFT_FILES} here; --data names the folder with the drafts")
    if not sets:
        return files
    codes = {path: _code(path) for path in files}
    for code in sets:
        if code.upper() not in codes.values():
            raise DataError(f"{folder}: no draft file of set {code}")
    wanted = {code.upper() for code in sets}
    return [path for path in files if codes[path] in wanted]


def load_corpus(
    folder: Path,
    sets: Sequence[str],
    cache: Path,
    catalog: CardCatalog,
    config: TrainingConfig,
    between_files: Callable[[], None] = lambda: None,
) -> Corpus:
    """The drafts of these sets (all, if none is named) without those that are held out.

    Files of held-out sets that lie in the folder are read, too, to be measured on.
    `between_files` is called before each file. Raises DataError for a file that cannot be used, for
    a held-out set that neither the drafts nor the cards know, and when nothing is left.
    """
    held_out = set(config.hold_out)
    if both := held_out & {code.upper() for code in sets}:
        raise DataError(f"{', '.join(sorted(both))}: to be trained on and held out at once")
    paths = [path for path in find_files(folder, sets) if _code(path) not in held_out]
    if not paths:
        raise DataError(f"{folder}: all sets here are held out; nothing is left to train on")
    kept_out = [path for path in find_files(folder, ()) if _code(path) in held_out]
    files = []
    for path in (*kept_out, *paths):
        between_files()
        files.append(_File.read(path, cache, config.filters, learns=path in paths))
        if files[-1].learns and files[-1].code in held_out:  # whatever the file is called
            raise DataError(f"{path}: holds drafts of {files[-1].code}, which is held out")

    names = _names_held_out(files, held_out, catalog)
    extractor = CardFeatureExtractor(config.model.encoder)
    training, measuring, entries = [], [], []
    for file in files:
        each, entry = file.encoded(catalog, extractor, names, config.hold_out_cards)
        if not file.learns:
            measuring.append(each)
            continue
        entries.append(entry)
        if len(each.rows):
            training.append(each)
    if not training:
        raise DataError(f"{folder}: no unforced pick is left to train on: {_losses(entries)}")
    manifest = {
        "files": entries,
        "filters": asdict(config.filters),
        "hold_out": {
            "sets": list(config.hold_out),
            "cards": len(names),
            "picks_between_cards": "left out" if config.hold_out_cards else "kept",
        },
    }
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return Corpus(tuple(training), tuple(measuring), manifest | {"sha256": digest})


@dataclass(frozen=True, slots=True)
class _File:
    """A draft file that was read."""

    dataset: PickDataset
    manifest: dict[str, Any]
    learns: bool
    """Whether it is there to be learnt from, not to be measured on."""

    @classmethod
    def read(cls, path: Path, cache: Path, filters: DraftFilter, learns: bool) -> _File:
        try:
            picks, manifest = prepare(path, cache, filters)
        except DataError as error:
            raise error if str(path) in str(error) else DataError(f"{path}: {error}") from None
        return cls(PickDataset(picks), manifest, learns)

    @property
    def code(self) -> str:
        return self.dataset.picks.expansion.upper()

    def encoded(
        self,
        catalog: CardCatalog,
        extractor: CardFeatureExtractor,
        names_held_out: Collection[str],
        hold_out_cards: bool,
    ) -> tuple[TrainingSet, dict[str, Any]]:
        """The set with its cards' features, and what the run's manifest says of it."""
        dataset = self.dataset
        found = [catalog.find(name, (self.code.lower(),)) for name in dataset.cards]
        cards = [card or Card(name=name) for card, name in zip(found, dataset.cards, strict=True)]
        identity_X = np.array([fold_name(name) not in names_held_out for name in dataset.cards])
        entry = {name: self.manifest[name] for name in (*_KEPT, "drafts")}
        entry["cards_not_found"] = found.count(None)
        rows = np.empty(0, np.int64)
        if self.learns:
            rows = dataset.rows(Split.TRAIN, unforced=True)
        if self.learns and hold_out_cards:
            # Basic lands are in every set, and picks of them say nothing of any.
            basic_X = np.array(["Basic" in (card.type or "") for card in cards])
            left = rows_without(dataset, rows, ~identity_X & ~basic_X)
            entry["rows_with_held_out_cards"] = len(rows) - len(left)
            rows = left
        features = SparseFeatures.of(extractor.extract_many(cards))
        return TrainingSet(dataset, features, rows, identity_X, dataset.wins_vary), entry


def rows_without(
    dataset: PickDataset, rows: npt.NDArray[np.int64], cards_X: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """The rows whose pack has none of these cards."""
    kept = [rows[:0]]
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        batch = dataset.batch(part)
        kept.append(part[~(batch.pack_mask_BC & cards_X[batch.pack_cards_BC]).any(axis=1)])
    return np.concatenate(kept)


def _names_held_out(files: Sequence[_File], codes: Iterable[str], catalog: CardCatalog) -> set[str]:
    """Folded names of all cards of these sets: those printed in them and those drafted in them."""
    kept_out = [file for file in files if not file.learns]
    names = {fold_name(name) for file in kept_out for name in file.dataset.cards}
    drafted = {file.code for file in kept_out}
    for code in codes:
        printed = catalog.names_in(code.lower())
        if not printed and code not in drafted:
            raise DataError(f"--hold-out {code}: no card and no draft file of that set")
        names |= {fold_name(name) for name in printed}
    return names


def _losses(manifests: Sequence[dict[str, Any]]) -> str:
    losses: dict[str, int] = {}
    for entry in manifests:
        with_cards = {"with a held-out card": entry.get("rows_with_held_out_cards", 0)}
        for reason, count in (entry["rows_dropped"] | with_cards).items():
            losses[reason] = losses.get(reason, 0) + count
    told = [f"{count} rows {reason}" for reason, count in losses.items() if count]
    return ", ".join(told) or "the files hold too few drafts"


def _code(path: Path) -> str:
    return path.name.split(".")[1].upper()
