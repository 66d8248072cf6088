"""Behaviour cloning: `python -m training.train --data DIR --cards FILE --recipe RECIPE`.

The model learns to take what the drafters took: cross-entropy over the cards of the pack. A step
draws a few sets, encodes all their cards once from their attributes, and scores some hundred
picks of each set on those vectors; so the encoder's cost does not grow with the picks.

The value head is trained on the event's share of wins, and only on sets where that varies: the
simulated drafts all have the same result, from which there is nothing to learn.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from training.config import TrainingConfig
from training.corpus import Corpus, load_corpus
from training.dataset import Split
from training.distributed import Processes, choose_device, processes
from training.export import export
from training.learner import Learner
from training.loop import Diverged, Tracker, Trainer, train
from training.scryfall import CardCatalog
from training.textfile import DataError, sha256_of
from training.validation import fit_temperature, held_out_scores, measure


def epoch_steps(config: TrainingConfig, corpus: Corpus, epochs: float) -> int:
    """Steps that draw each pick `epochs` times on average. Raises DataError unless positive."""
    if not (epochs > 0 and math.isfinite(epochs)):
        raise DataError(f"--epochs must be positive, not {epochs:g}")
    picks_per_step = min(config.sets_per_step, len(corpus.sets)) * config.picks_per_set
    return max(1, math.ceil(epochs * corpus.picks / picks_per_step))


def git_revision() -> str:
    """The commit the code is at, or "unknown" outside a repository."""
    command = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def finish(
    learner: Learner, corpus: Corpus, catalog: CardCatalog, config: TrainingConfig, output: Path
) -> dict[str, Any]:
    """Calibrate, measure and export the learner; its figures."""
    factor = fit_temperature(held_out_scores(learner, corpus.sets, Split.VALIDATION))
    learner.model.inverse_temperature.mul_(factor)
    metrics = measure(learner, corpus)
    metrics["inverse_temperature"] = factor
    metrics["value_head_trained"] = learner.learns_value
    export(
        output,
        learner.model,
        catalog,
        set_codes=corpus.set_codes,
        model_version=config.model_version,
        metrics=metrics,
        data=corpus.manifest | {"recipe": asdict(config)},
        git_revision=git_revision(),
    )
    return metrics


class Lines(Tracker):
    """One line a record."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        say(f"step {step}/{self._steps} " + " ".join(f"{n} {v:.4g}" for n, v in figures.items()))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def run(options: argparse.Namespace, group: Processes) -> None:
    report = say if group.is_first else lambda line: None
    config = TrainingConfig.read(
        options.recipe,
        filters={name: getattr(options, name) for name in FILTERS},
        steps=options.steps,
        seed=options.seed,
        hold_out=options.hold_out,
        hold_out_cards=options.hold_out_cards,
    )
    device = choose_device(options.device, group.local_rank)
    catalog = CardCatalog.read(options.cards)
    report(f"{len(catalog)} cards")
    if not group.is_first:
        group.wait_for_all()  # for the compact forms that the first process makes
    corpus = load_corpus(options.data, options.sets, options.cache, catalog, config)
    if group.is_first:
        group.wait_for_all()
    report(f"{corpus.picks} unforced picks of {len(corpus.sets)} files to train on")
    if options.epochs is not None:
        config = replace(config, steps=epoch_steps(config, corpus, options.epochs))
    corpus.manifest["cards"] = {"source": options.cards.name, "sha256": sha256_of(options.cards)}
    started = time.monotonic()
    trainer = Trainer(config, corpus, device, group)
    train(trainer, Lines(config.steps))
    if group.is_first:
        metrics = finish(trainer.averaged(), corpus, catalog, config, options.output)
        report(" ".join(f"{name} {value:.4f}" for name, value in metrics["held_out"].items()))
        seconds = time.monotonic() - started
        report(f"weights are in {options.output} after {seconds:.0f} s of training")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        with processes() as group:
            run(options, group)
    except (DataError, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


FILTERS = ("min_rank", "min_win_rate", "min_wins", "since", "until")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/17lands"), help="draft files")
    parser.add_argument(
        "--cards", type=Path, default=Path("data/cards/default-cards.json.gz"), help="Scryfall bulk"
    )
    parser.add_argument("--recipe", type=Path, default=Path("config/recipes/first.toml"))
    parser.add_argument("--output", type=Path, default=Path("build/weights"))
    parser.add_argument(
        "--cache", type=Path, default=Path("build/cache"), help="for the drafts' compact form"
    )
    parser.add_argument("--sets", nargs="*", default=[], help="set codes; all files by default")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="instead of the recipe's")
    length.add_argument("--epochs", type=float, help="passes over the picks, instead of steps")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    held = parser.add_argument_group("held out, instead of the recipe's")
    held.add_argument("--hold-out", nargs="+", metavar="SET", help="sets kept out of training")
    held.add_argument(
        "--hold-out-cards",
        action="store_true",
        default=None,
        help="keep out picks between their cards in other sets, too",
    )
    drafts = parser.add_argument_group("drafts to learn from, instead of the recipe's")
    drafts.add_argument("--min-rank", help="bronze, silver, gold, platinum, diamond or mythic")
    drafts.add_argument("--min-win-rate", type=float, help="of the drafter, 0 to 1")
    drafts.add_argument("--min-wins", type=int, help="of the event")
    drafts.add_argument("--since", help="first day, such as 2024-11-14")
    drafts.add_argument("--until", help="last day")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
