"""The released results as a whole: which files belong together, and that they do.

Behind the README and the model card stand the result files of `training/results/`:

    known.json   the released weights on held-out simulated drafts of the sets they know
    human.json   the released weights on real drafts, of sets they know and of sets they do not
    unseen.json  weights of a run that held whole sets out, on the simulated drafts of these sets;
                 it may be absent

The first two must come from the weights they are shown with, the third must not have been
trained on the sets it reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoint import CheckpointError, read_meta
from training.resultfile import read_result
from training.textfile import DataError

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "model" / "weights"
RESULTS = ROOT / "training" / "results"
REMEDY = "run `make results`"

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are looked at together, with the means over them."""

    title: str
    files: tuple[Figures, ...]
    mean: Figures


def groups_of(result: Figures, known: str, unseen: str) -> list[Group]:
    """The files of known and of unseen sets, under these titles; without a group that is empty."""
    groups = []
    for title, kind in ((known, "known"), (unseen, "unseen")):
        files = tuple(f for f in result["files"] if f["known_set"] == (kind == "known"))
        if files:
            groups.append(Group(title, files, result["mean"][kind]))
    return groups


@dataclass(frozen=True, slots=True)
class Report:
    """The weights' own description and their results."""

    meta: Figures
    known: Figures
    human: Figures
    unseen: Figures | None

    @classmethod
    def read(cls, weights: Path = WEIGHTS, results: Path = RESULTS) -> Report:
        """Raises DataError when a file is missing, or was made with other weights."""
        try:
            meta = read_meta(weights)
        except CheckpointError as error:
            raise DataError(str(error)) from None
        known, human = (read_result(results / f"{name}.json") for name in ("known", "human"))
        for name, result in (("known", known), ("human", human)):
            digest = result["model"]["weights_sha256"]
            if digest != meta["weights_sha256"]:
                raise DataError(
                    f"{results / name}.json was measured with weights {digest[:12]}…, not with"
                    f" {meta['weights_sha256'][:12]}… of {weights}: {REMEDY}"
                )
        unseen = None
        if (results / "unseen.json").exists():
            unseen = read_result(results / "unseen.json")
            trained = [f["set"] for f in unseen["files"] if f["known_set"]]
            if trained:
                raise DataError(
                    f"{results / 'unseen.json'}: its weights were trained on {trained[0]}, so the"
                    " set was not held out"
                )
        return cls(meta, known, human, unseen)

    def groups(self) -> list[Group]:
        """What is reported, in the order in which it is."""
        simulated = groups_of(self.known, "simulated, known sets", "simulated, sets never seen")
        held_out = (
            groups_of(self.unseen, "", "simulated, whole sets held out") if self.unseen else []
        )
        real = groups_of(self.human, "real, known sets", "real, sets never seen")
        return [*simulated, *held_out, *real]
