"""Agreement with the picks of draft files: `make evaluate`, or `python -m training.evaluate`.

The result is one JSON object; the README's section on evaluation describes it for users.

    files       one object a draft file, in the order given:
      file, sha256, set, event_type
      split                     "all", or the part of the drafts that was measured
      known_set                 whether the weights were trained on drafts of the set
      drafts, picks, unforced_picks, rows_dropped (by reason)
      cards                     of the file
      cards_unknown_to_model    not in the weights' card table
      cards_without_attributes  of these, found with attributes nowhere in CARDS
      cards_without_rarity      for the baseline: not in CARDS, or there without a rarity
      top1_unforced, top1_all, top3_unforced, mrr_unforced, nll_unforced (nats), ece_unforced
      top1_unforced_ci95        [low, high], bootstrap over drafts; [0, 1] for a single draft
      nll_unforced_random       of giving every card of the pack the same probability
      by_pack_and_pick          one object for each pack and pick number, both from 1: picks,
                                pack_size (mean), top1, top3, nll, and each baseline's top-1;
                                forced picks are in
      reliability               the bins of the ECE: from, to, picks, confidence, accuracy
      baselines, baselines_all  top-1 on unforced and on all picks; see training/baselines.py
      ceiling                   where --limits has the set: top1_unforced, top1_all
    mean        "all", "known" and "unseen" files: number of files, means in which files count
                alike, top1_unforced_ci95 over drafts (the files as they are), share_of_ceiling
    model       version, weights_sha256, git_revision, sets, cards_from, and the training's
                data_sha256 and recipe
    cards_file, ece_bins, bootstrap_samples

Same rows and weights, same bytes, on one machine: seeds come from the rows, nothing from the clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from training.ceilings import read_ceilings
from training.dataset import Split
from training.measure import Evaluator, means
from training.metrics import BOOTSTRAP_SAMPLES, ECE_BINS
from training.plots import draw
from training.report import groups_of
from training.resultfile import require_writable, write_result
from training.scryfall import CardCatalog
from training.textfile import DataError, open_bytes, sha256_of

DRAFT_FILES = "draft_data_public.*.csv*"
SPLITS = {"all": None} | {split.name.lower(): split for split in Split}


def find_files(places: Sequence[Path]) -> list[Path]:
    """The files named, and of each folder named its 17Lands draft files, sorted by name.

    Raises DataError for a file that cannot be opened and for a folder without draft files.
    """
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(place.glob(DRAFT_FILES))
            if not inside:
                raise DataError(f"{place}: no {DRAFT_FILES} in this folder")
            files += inside
            continue
        with open_bytes(place):
            files.append(place)
    return files


def held_out_files(files: Sequence[Path], checkpoint: Checkpoint) -> list[Path]:
    """The files of the sets that the weights' recipe held out, by the code in the file's name.

    Raises DataError when there is none.
    """
    codes = ((checkpoint.meta.get("data") or {}).get("recipe") or {}).get("hold_out") or ()
    if not codes:
        raise DataError("--held-out: the weights were trained without holding sets out")
    held = [path for path in files if set(path.name.upper().split(".")) & set(codes)]
    if not held:
        raise DataError(f"--held-out: no file of {', '.join(codes)}, which the weights held out")
    return held


def describe(checkpoint: Checkpoint, by_attributes: bool) -> dict[str, Any]:
    """What the result file says of the weights."""
    meta = checkpoint.meta
    data = meta.get("data", {})
    return {
        "version": checkpoint.model_version,
        "weights_sha256": meta["weights_sha256"],
        "git_revision": meta.get("git_revision", "unknown"),
        "sets": list(checkpoint.sets),
        "cards": meta["cards"],
        "cards_from": "attributes" if by_attributes else "card table",
        "data_sha256": data.get("sha256"),
        "recipe": data.get("recipe"),
    }


def evaluate(options: argparse.Namespace) -> None:
    """Measure, write the result file, and draw it. Raises DataError or CheckpointError."""
    require_writable(options.out)
    files = find_files(options.files)
    ceilings = read_ceilings(options.limits) if options.limits else {}
    checkpoint = load_checkpoint(options.weights)
    if options.held_out:
        files = held_out_files(files, checkpoint)
    try:
        catalog = CardCatalog.read(options.cards)
    except DataError as error:
        named = str(options.cards) in str(error)
        raise error if named else DataError(f"{options.cards}: {error}") from None
    split = SPLITS[options.split]
    evaluator = Evaluator(checkpoint, catalog, split, ceilings, options.by_attributes)
    trained_on = {
        file.get("source_sha256") for file in checkpoint.meta.get("data", {}).get("files", ())
    }
    measured = []
    for path in files:
        each = evaluator.measure(path)
        measured.append(each)
        print(_line(each.figures), flush=True)
        if each.figures["sha256"] in trained_on and split is not Split.TEST:
            print(
                f"warning: {path.name}: the weights were trained on drafts of this file;"
                " --split test measures those held out",
                file=sys.stderr,
            )
    result = {
        "files": [each.figures for each in measured],
        "mean": means(measured),
        "model": describe(checkpoint, options.by_attributes),
        "cards_file": {"file": options.cards.name, "sha256": sha256_of(options.cards)},
        "ece_bins": ECE_BINS,
        "bootstrap_samples": BOOTSTRAP_SAMPLES,
    }
    write_result(options.out, result)
    if options.plots:
        stem = options.out.name.removesuffix(".json")
        draw(groups_of(result, "known sets", "unseen sets"), options.out.parent, f"{stem}.")


def _line(figures: Mapping[str, Any]) -> str:
    low, high = figures["top1_unforced_ci95"]
    kind = "known set" if figures["known_set"] else "unseen set"
    return (
        f"{figures['file']} ({kind}): top-1 {figures['top1_unforced']:.4f} [{low:.3f}, {high:.3f}]"
        f" unforced, {figures['top1_all']:.4f} all; {figures['drafts']} drafts,"
        f" {figures['unforced_picks']} unforced picks"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    # One thread: sums over several can come out in another order, and the picks are small work.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        evaluate(options)
    except (DataError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        torch.set_num_threads(threads)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description="Agreement with the picks of draft files."
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="DATA",
        help=f"17Lands draft files (csv or csv.gz), or folders with {DRAFT_FILES}",
    )
    parser.add_argument("--weights", type=Path, default=Path("model/weights"))
    parser.add_argument("--cards", type=Path, required=True, help="Scryfall bulk JSON")
    parser.add_argument("--out", type=Path, required=True, help="the file for the figures, as JSON")
    parser.add_argument(
        "--split",
        choices=list(SPLITS),
        default="all",
        help="which drafts, by the split that training makes; all by default",
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="only the files of the sets that the weights' training held out",
    )
    parser.add_argument(
        "--limits",
        type=Path,
        help="CSV with the best top-1 that can be expected: columns set, limit_top1_unforced,"
        " limit_top1_all; it is taken to hold for every file of these sets",
    )
    parser.add_argument(
        "--by-attributes",
        action="store_true",
        help="judge every card by its attributes, also those in the weights' card table",
    )
    parser.add_argument(
        "--no-plots",
        dest="plots",
        action="store_false",
        help="do not draw <out>.accuracy.svg, <out>.reliability.svg and <out>.sets.svg",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
