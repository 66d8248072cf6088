"""The command line of `python -m training.train`.

What decides the weights is in the recipe, and options replace single values of it; where things
lie, and how often they are stored, is in the options alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.config import TrainingConfig

FILTERS = ("min_rank", "min_win_rate", "min_wins", "since", "until")


def parse(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    places = parser.add_argument_group("places")
    places.add_argument("--data", type=Path, default=Path("data/17lands"), help="draft files")
    places.add_argument(
        "--cards", type=Path, default=Path("data/cards/default-cards.json.gz"), help="Scryfall bulk"
    )
    places.add_argument("--recipe", type=Path, default=Path("config/recipes/base.toml"))
    places.add_argument(
        "--output", type=Path, default=Path("build/weights"), help="run folder; weights go there"
    )
    places.add_argument(
        "--cache", type=Path, default=Path("build/cache"), help="for the drafts' compact form"
    )
    recipe = parser.add_argument_group("instead of the recipe's")
    recipe.add_argument("--sets", nargs="*", default=[], help="set codes; all files by default")
    length = recipe.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int)
    length.add_argument("--epochs", type=float, help="passes over the picks, instead of steps")
    recipe.add_argument("--seed", type=int)
    recipe.add_argument("--hold-out", nargs="+", metavar="SET", help="sets kept out of training")
    recipe.add_argument(
        "--hold-out-cards",
        action="store_true",
        default=None,
        help="keep out picks between their cards in other sets, too",
    )
    recipe.add_argument("--min-rank", help="bronze, silver, gold, platinum, diamond or mythic")
    recipe.add_argument("--min-win-rate", type=float, help="of the drafter, 0 to 1")
    recipe.add_argument("--min-wins", type=int, help="of the event")
    recipe.add_argument("--since", metavar="DAY", help="first day, such as 2024-11-14")
    recipe.add_argument("--until", metavar="DAY", help="last day")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="auto, cpu or cuda")
    machine.add_argument("--threads", type=int, default=2, help="of the CPU, for each process")
    stored = parser.add_argument_group("checkpoints")
    stored.add_argument("--fresh", action="store_true", help="start over, not from a checkpoint")
    stored.add_argument(
        "--checkpoints", metavar="PLACE", help="folder or s3://bucket/prefix (OUTPUT/checkpoints)"
    )
    stored.add_argument("--ephemeral-minutes", type=float, default=5.0, metavar="M", help="0: none")
    stored.add_argument("--ephemeral-steps", type=int, default=0, metavar="N", help="0: none")
    stored.add_argument("--permanent-steps", type=int, metavar="N", help="an epoch by default")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, not {options.threads}")
    return options


def read_config(options: argparse.Namespace) -> TrainingConfig:
    """The recipe with the options' values. Raises DataError."""
    return TrainingConfig.read(
        options.recipe,
        filters={name: getattr(options, name) for name in FILTERS},
        steps=options.steps,
        seed=options.seed,
        hold_out=options.hold_out,
        hold_out_cards=options.hold_out_cards,
    )
