"""Behaviour cloning: the model learns to take what the drafters took.

    python -m training.train --data DIR --cards FILE --recipe RECIPE --output RUN
    torchrun --standalone --nproc-per-node=4 -m training.train ...

A run that was stopped goes on where it was when it is started again with the same options. The run
folder holds

    model.safetensors, meta.json    the weights, when the run is done
    checkpoints/                    see training.checkpointing
    metrics.jsonl, tensorboard/     see training.tracking

Exit codes: 0 done, 1 a mistake (one line says which), 2 unknown options, 75 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import META_FILE, WEIGHTS_FILE, CheckpointError
from model.features import CardFeatureExtractor
from training import tracking
from training.checkpointing import CheckpointRefused, Checkpoints, CheckpointsDamaged, Policy
from training.config import REPORTING, TrainingConfig
from training.corpus import Corpus, load_corpus
from training.distributed import LostProcesses, Processes, choose_device, processes
from training.export import export
from training.interruption import EXIT_INTERRUPTED, Interrupted, StopRequest
from training.learner import Learner
from training.loop import Diverged, Snapshot, Tracker, Trainer, train
from training.options import parse, read_config
from training.scryfall import CardCatalog
from training.storage import FolderStorage, Storage, StorageError, open_storage
from training.textfile import DataError, sha256_of
from training.tracking import RunTracker
from training.validation import calibrate, measure

MISTAKES = (
    *(DataError, StorageError, CheckpointRefused, CheckpointsDamaged, CheckpointError),
    *(Diverged, LostProcesses),
)


NEXT = """
measure them:  make evaluate WEIGHTS={weights} CARDS={cards} DATA="draft files"
serve them:    .venv/bin/python -m training.package_mar --weights {weights} --output build/my.mar
               make serve MODEL_PATH=build/my.mar"""


def epoch_steps(config: TrainingConfig, corpus: Corpus, epochs: float) -> int:
    """Steps that draw each pick `epochs` times on average. Raises DataError unless positive."""
    if not (epochs > 0 and math.isfinite(epochs)):
        raise DataError(f"--epochs must be positive, not {epochs:g}")
    picks_per_step = min(config.sets_per_step, len(corpus.sets)) * config.picks_per_set
    return max(1, math.ceil(epochs * corpus.picks / picks_per_step))


def identity(config: TrainingConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What two runs have in common if one may go on from the other's checkpoint."""
    settings = {name: value for name, value in asdict(config).items() if name not in REPORTING}
    files = {each["source"]: each["source_sha256"] for each in data["files"]}
    content = {"drafts": files, "cards": data["cards"]["sha256"], "sha256": data["sha256"]}
    features = CardFeatureExtractor(config.model.encoder).schema_hash
    return {"config": settings, "data": content, "features": features}


class Run:
    """One run of this process: what it reads, where it stores, and what it says.

    Raises one of `MISTAKES` for what can be known before training begins.
    """

    def __init__(self, options: argparse.Namespace, group: Processes, stop: StopRequest) -> None:
        self.group = group
        self.stop = stop
        self.output: Path = options.output
        self.say: Callable[[str], None] = tracking.say if group.is_first else lambda line: None
        config = read_config(options)
        device = choose_device(options.device, group.local_rank)
        self.storage = open_storage(options.checkpoints or self.output / "checkpoints")
        if group.is_first:
            FolderStorage(self.output).require_writable()
            self.storage.require_writable()
        self.catalog = CardCatalog.read(options.cards)
        self.say(f"{len(self.catalog)} cards")
        self.corpus = self._load_corpus(options, config)
        if options.epochs is not None:
            steps = epoch_steps(config, self.corpus, options.epochs)
            config = replace(config, steps=steps)
        self.config = config
        cards = {"source": options.cards.name, "sha256": sha256_of(options.cards)}
        self.data = self.corpus.manifest | {"cards": cards}
        self.trainer = Trainer(config, self.corpus, device, group)
        self.checkpoints = self._checkpoints(options)
        if options.fresh and group.is_first:
            self.checkpoints.clear()
            tracking.forget(self.output)
        group.wait_for_all()

    def _load_corpus(self, options: argparse.Namespace, config: TrainingConfig) -> Corpus:
        """The first process makes the files' compact forms, and the others find them made."""
        # With several processes the loop lets all of them stop at once; it begins soon.
        check = self.stop.raise_if_set if self.group.count == 1 else lambda: None
        if not self.group.is_first:
            self.group.wait_for_all()
        corpus = load_corpus(options.data, options.sets, options.cache, self.catalog, config, check)
        if self.group.is_first:
            self.group.wait_for_all()
        self.say(f"{corpus.picks} unforced picks of {len(corpus.sets)} files to train on")
        return corpus

    def _checkpoints(self, options: argparse.Namespace) -> Checkpoints:
        config = self.config
        try:
            policy = Policy(
                options.permanent_steps or epoch_steps(config, self.corpus, 1.0),
                options.ephemeral_minutes,
                options.ephemeral_steps,
            )
        except ValueError as error:
            raise DataError(f"--{str(error).replace('_', '-', 1)}") from None
        kept = config.steps // policy.permanent_steps + 3
        if isinstance(self.storage, FolderStorage):
            _require_space(self.output, self.trainer.snapshot_bytes() * kept)
        return Checkpoints(
            self.storage, policy, identity(config, self.data), config.steps, self.say
        )

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        # The first process decides, lest one finds a checkpoint whole that another does not.
        found = self.checkpoints.newest() if self.group.is_first else None
        name = self.group.share(found or "")
        if not name:
            return
        try:
            self.trainer.restore(self.checkpoints.read(name))
        except (ValueError, KeyError, RuntimeError) as error:
            raise CheckpointRefused(
                f"checkpoint {name} in {self.storage.address} does not fit this code ({error}): "
                "start over with --fresh"
            ) from None
        self.say(f"going on from checkpoint {name} in {self.storage.address}")

    def train(self) -> None:
        """Take the steps that are left. Raises Interrupted after the checkpoint, if stopped."""
        steps = self.config.steps
        with contextlib.ExitStack() as stack:
            tracker = Tracker()
            if self.group.is_first:
                tracker = stack.enter_context(RunTracker(self.output, self.trainer.step, steps))
            done = train(
                self.trainer,
                tracker,
                stop=lambda: self.stop.is_set,
                checkpoint_due=self.checkpoints.due,
                write_checkpoint=self._write_checkpoint,
            )
        if not done:
            raise Interrupted(self.stop.reason or "another process was told to stop")

    def _write_checkpoint(self, snapshot: Snapshot) -> None:
        name = self.checkpoints.write(snapshot)
        self.say(f"checkpoint {name} is in {self.storage.address}")

    def finish(self) -> None:
        """Export the weights and tell their figures; in the first process alone."""
        learner, check = self.trainer.averaged(), self.stop.raise_if_set
        metrics = finish(
            learner, self.corpus, self.catalog, self.config, self.data, self.output, check
        )
        _publish(self.output, self.storage)
        for part in ("held_out", "unseen"):
            if figures := metrics.get(part):
                told = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
                self.say(f"{part.replace('_', ' ')} drafts: {told}")


def finish(
    learner: Learner,
    corpus: Corpus,
    catalog: CardCatalog,
    config: TrainingConfig,
    data: Mapping[str, Any],
    output: Path,
    between_sets: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Calibrate, measure and export the learner; its figures."""
    factors = calibrate(learner, corpus, config.unseen_inverse_temperature, between_sets)
    metrics = measure(learner, corpus, between_sets)
    metrics["inverse_temperature"] = factors
    metrics["value_head_trained"] = learner.learns_value
    export(
        output,
        learner,
        catalog,
        set_codes=corpus.set_codes,
        model_version=config.model_version,
        metrics=metrics,
        data=dict(data) | {"recipe": asdict(config)},
        git_revision=git_revision(),
    )
    return metrics


def git_revision() -> str:
    """The commit the code is at, or "unknown" outside a repository."""
    command = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {free / 1e6:.0f} MB are free on its disk, and this run writes about "
            f"{needed / 1e6:.0f} MB of checkpoints: make room, or choose another --output"
        )


def _publish(folder: Path, storage: Storage) -> None:
    """Weights go where the checkpoints are, unless that is this machine; meta.json last."""
    if not isinstance(storage, FolderStorage):
        for name in (WEIGHTS_FILE, META_FILE):
            storage.put(f"weights/{name}", (folder / name).read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments, __doc__)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    try:
        with processes() as group, StopRequest(group.count, group.local_rank, tracking.say) as stop:
            run = Run(options, group, stop)
            run.resume()
            run.train()
            if group.is_first:
                run.finish()
                run.say(f"weights are in {options.output} after {time.monotonic() - started:.0f} s")
                print(NEXT.format(weights=options.output, cards=options.cards), flush=True)
    except Interrupted as reason:
        if os.environ.get("RANK", "0") == "0":
            print(f"interrupted ({reason}); the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or options.output}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
