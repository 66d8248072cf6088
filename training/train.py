"""Behaviour cloning: `python -m training.train --data DIR --cards FILE --recipe RECIPE`.

The model learns to take what the drafters took: cross-entropy over the cards of the pack. A step
draws a few sets, encodes all their cards once from their attributes, and scores some hundred
picks of each set on those vectors; so the encoder's cost does not grow with the picks.

The value head is trained on the event's share of wins, and only on sets where that varies: the
simulated drafts all have the same result, from which there is nothing to learn.

Legend: B picks, C pack slots, X cards of the sets drawn, D card width.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.cards import PACK_MAX, Card
from model.features import CardFeatureExtractor
from model.network import DraftModel
from training.config import TrainingConfig
from training.dataset import PickDataset, Split, prepare
from training.export import export
from training.metrics import Scores, choice_nll, summarize, top_k
from training.scoring import score_picks
from training.scryfall import CardCatalog
from training.sparse import SparseFeatures, encode
from training.textfile import DataError, sha256_of

DRAFT_FILES = "draft_data_public.*.csv*"
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One set: its picks and the features of its cards."""

    dataset: PickDataset
    cards: SparseFeatures
    rows: npt.NDArray[np.int64]
    """Unforced picks to learn from."""


class RowSampler:
    """Endless batches of a set's rows: each row once before any row comes again."""

    def __init__(self, rows: npt.NDArray[np.int64], generator: np.random.Generator) -> None:
        if not len(rows):
            raise DataError("a set has no unforced pick to train on")
        self._rows = rows
        self._generator = generator
        self._queue = rows[:0]

    def draw(self, count: int) -> npt.NDArray[np.int64]:
        while len(self._queue) < count:
            self._queue = np.concatenate([self._queue, self._generator.permutation(self._rows)])
        drawn, self._queue = self._queue[:count], self._queue[count:]
        return drawn


class MovingAverage:
    """Exponential moving average of a model's weights, as a model of its own.

    The decay grows with the steps taken, so that the first weights are soon forgotten.
    """

    def __init__(self, model: DraftModel, decay: float) -> None:
        self.model = DraftModel(model.config).eval()
        self.model.load_state_dict(model.state_dict())
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, model: DraftModel) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for mean, value in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the highest rate."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    wave = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_rate + (1 - config.final_rate) * wave)


def step_loss(
    model: DraftModel,
    drawn: Sequence[tuple[TrainingSet, npt.NDArray[np.int64]]],
    config: TrainingConfig,
) -> Tensor:
    """Mean loss of some rows of some sets, whose cards are encoded together."""
    vectors_XD = encode(
        model.encoder,
        SparseFeatures.join([each.cards for each, _ in drawn]),
        config.feature_dropout if model.training else 0.0,
    )
    packs, masks, taken, sizes, pools, shares = [], [], [], [], [], []
    first = 0
    for each, rows in drawn:
        batch = each.dataset.batch(rows)
        own_XD = vectors_XD[first : first + len(each.cards)]
        packs.append(_widen(batch.pack_cards_BC + first))
        masks.append(_widen(batch.pack_mask_BC))
        taken.append(_widen(batch.taken_BC))
        sizes.append(torch.from_numpy(batch.pool_size_B))
        pools.append(torch.from_numpy(batch.pool_counts_BX) @ own_XD)
        share_B = torch.from_numpy(batch.win_share_B)
        shares.append(share_B if each.dataset.wins_vary else torch.full_like(share_B, torch.nan))
        first += len(each.cards)
    logits_BC, value_B = model.score_with_pool_sum(
        nn.functional.embedding(torch.cat(packs), vectors_XD),
        torch.cat(pools),
        torch.cat(masks),
        torch.cat(sizes),
    )
    loss = choice_nll(logits_BC, torch.cat(taken)).mean()
    share_B = torch.cat(shares)
    known_B = ~share_B.isnan()
    if config.value_weight > 0 and known_B.any():
        value_loss = nn.functional.binary_cross_entropy_with_logits(
            value_B[known_B], share_B[known_B]
        )
        loss = loss + config.value_weight * value_loss
    return loss


def _widen(slots_BC: npt.NDArray[Any]) -> Tensor:
    """To the widest pack, so that batches of several sets fit together."""
    missing = PACK_MAX - slots_BC.shape[1]
    return torch.from_numpy(np.pad(slots_BC, ((0, 0), (0, missing))))


def train(config: TrainingConfig, sets: Sequence[TrainingSet], report: Report) -> DraftModel:
    """A model trained by the recipe; the same for the same seed, data and thread count on CPU."""
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    samplers = [RowSampler(each.rows, generator) for each in sets]
    model = DraftModel(config.model).train()
    average = MovingAverage(model, config.ema_decay)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    drawn_sets = min(config.sets_per_step, len(sets))
    losses: list[float] = []
    since = time.monotonic()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        optimizer.zero_grad(set_to_none=True)
        chosen = generator.choice(len(sets), drawn_sets, replace=False)
        drawn = [(sets[index], samplers[index].draw(config.picks_per_set)) for index in chosen]
        loss = step_loss(model, drawn, config)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {step}: lower learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        average.update(model)
        losses.append(loss.item())
        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            speed = len(losses) * drawn_sets * config.picks_per_set / (time.monotonic() - since)
            report(f"step {done}/{config.steps} loss {np.mean(losses):.4f} {speed:.0f} picks/s")
            losses.clear()
            since = time.monotonic()
        if done % config.evaluate_every == 0 and done < config.steps:
            top1 = validation_top1(average.model, sets, config.evaluation_picks)
            report(f"step {done}/{config.steps} validation top-1 unforced {top1:.4f}")
            since = time.monotonic()
    return average.model


@torch.inference_mode()
def held_out_scores(
    model: DraftModel, sets: Sequence[TrainingSet], split: Split, picks: int | None = None
) -> list[Scores]:
    """Each set's scores on the drafts of the split, or on an even sample of `picks` of them."""
    scores = []
    for each in sets:
        rows = each.dataset.rows(split)
        if picks is not None and len(rows) > picks:
            rows = rows[np.linspace(0, len(rows) - 1, picks).astype(np.int64)]
        vectors_XD = encode(model.encoder, each.cards)
        scores.append(score_picks(model, vectors_XD, each.dataset, rows))
    return scores


def epoch_steps(config: TrainingConfig, picks: int, sets: int, epochs: float) -> int:
    """Steps that draw each pick `epochs` times on average. Raises DataError unless positive."""
    if not epochs > 0:
        raise DataError(f"--epochs must be positive, not {epochs:g}")
    picks_per_step = min(config.sets_per_step, sets) * config.picks_per_set
    return max(1, math.ceil(epochs * picks / picks_per_step))


def validation_top1(model: DraftModel, sets: Sequence[TrainingSet], picks: int) -> float:
    """Top-1 on unforced validation picks, averaged over the sets."""
    scores = held_out_scores(model, sets, Split.VALIDATION, picks)
    unforced = [each.unforced() for each in scores]
    return float(np.mean([top_k(each, 1) for each in unforced if len(each.logits_NC)] or [0.0]))


def fit_temperature(scores: Sequence[Scores]) -> float:
    """The factor on the logits under which the picks are likeliest.

    Sets count alike. The likelihood is convex in the factor: a golden-section search over
    [0.2, 5] finds it to four digits.
    """
    held = [each.unforced() for each in scores]
    held = [each for each in held if len(each.logits_NC)]
    if not held:
        return 1.0

    def nll(log_factor: float) -> float:
        factor = math.exp(log_factor)
        means = [choice_nll(s.logits_NC.double() * factor, s.taken_NC).mean() for s in held]
        return float(torch.stack(means).mean())

    low, high = math.log(0.2), math.log(5.0)
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if nll(left) < nll(right) else (left, high)
    return math.exp((low + high) / 2)


def load_sets(
    files: Sequence[Path], cache: Path, catalog: CardCatalog, extractor: CardFeatureExtractor
) -> tuple[list[TrainingSet], dict[str, Any]]:
    """The sets to train on, and the manifest of their files."""
    sets, manifests = [], []
    for path in files:
        picks, manifest = prepare(path, cache)
        dataset = PickDataset(picks)
        found = [catalog.find(name, (picks.expansion.lower(),)) for name in picks.cards]
        cards = [card or Card(name=name) for card, name in zip(found, picks.cards, strict=True)]
        features = SparseFeatures.of(extractor.extract_many(cards))
        rows = dataset.rows(Split.TRAIN, unforced=True)
        sets.append(TrainingSet(dataset, features, rows))
        kept = ("source", "source_sha256", "expansion", "event_type", "rows_kept", "rows_dropped")
        manifests.append(
            {name: manifest[name] for name in (*kept, "drafts")}
            | {"cards_not_found": found.count(None)}
        )
    digest = hashlib.sha256(json.dumps(manifests, sort_keys=True).encode()).hexdigest()
    return sets, {"files": manifests, "sha256": digest}


def evaluate_sets(model: DraftModel, sets: Sequence[TrainingSet]) -> dict[str, Any]:
    """Figures on the test drafts: of each set, and their mean over sets (sets count alike).

    A set without an unforced test pick is left out.
    """
    scores = held_out_scores(model, sets, Split.TEST)
    figures = [summarize(score) for score in scores]
    by_set = {
        each.dataset.picks.expansion: figure
        for each, figure in zip(sets, figures, strict=True)
        if figure["unforced_picks"]
    }
    names = ("top1_unforced", "top1_all", "top3_unforced", "nll_unforced", "ece_unforced")
    mean = {name: float(np.mean([s[name] for s in by_set.values()])) for name in names if by_set}
    return {"held_out": mean, "held_out_by_set": by_set}


def git_revision() -> str:
    """The commit the code is at, or "unknown" outside a repository."""
    command = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    torch.set_num_threads(options.threads)

    def report(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

    try:
        config = TrainingConfig.read(options.recipe, steps=options.steps, seed=options.seed)
        files = find_files(options.data, options.sets)
        catalog = CardCatalog.read(options.cards)
        report(f"{len(catalog)} cards, {len(files)} draft files")
        extractor = CardFeatureExtractor(config.model.encoder)
        sets, manifest = load_sets(files, options.cache, catalog, extractor)
        picks = sum(len(each.rows) for each in sets)
        report(f"{picks} unforced picks to train on")
        if options.epochs is not None:
            config = replace(config, steps=epoch_steps(config, picks, len(sets), options.epochs))
        started = time.monotonic()
        model = train(config, sets, report)
        seconds = time.monotonic() - started
        factor = fit_temperature(held_out_scores(model, sets, Split.VALIDATION))
        model.inverse_temperature.mul_(factor)
        metrics = evaluate_sets(model, sets)
        metrics["inverse_temperature"] = factor
        metrics["training_seconds"] = round(seconds)
        metrics["value_head_trained"] = any(each.dataset.wins_vary for each in sets)
        held_out = metrics["held_out"]
        report(" ".join(f"{name} {value:.4f}" for name, value in held_out.items()))
        manifest["cards"] = {"source": options.cards.name, "sha256": sha256_of(options.cards)}
        manifest["recipe"] = asdict(config)
        export(
            options.output,
            model,
            catalog,
            set_codes=tuple(dict.fromkeys(each.dataset.picks.expansion for each in sets)),
            model_version=config.model_version,
            metrics=metrics,
            data=manifest,
            git_revision=git_revision(),
        )
        report(f"weights are in {options.output} after {seconds:.0f} s of training")
    except (DataError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def find_files(folder: Path, sets: Sequence[str]) -> list[Path]:
    """17Lands' draft files directly in the folder, of these sets or of all.

    Raises DataError when there is none, or none of a set asked for.
    """
    files = sorted(folder.glob(DRAFT_FILES))
    if not files:
        raise DataError(f"{folder}: no {DRAFT_FILES} here; --data names the folder with the drafts")
    if not sets:
        return files
    codes = {path: path.name.split(".")[1].upper() for path in files}
    for code in sets:
        if code.upper() not in codes.values():
            raise DataError(f"{folder}: no draft file of set {code}")
    wanted = {code.upper() for code in sets}
    return [path for path in files if codes[path] in wanted]


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
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
