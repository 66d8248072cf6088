"""The training loop: one step after another, and where it stands, to be stopped and taken up again.

A step is: draw, loss, gradients (averaged over the processes), then one exchange of three numbers
between the processes (the loss, whether to stop, whether a checkpoint is due), then the update. So
all processes see a bad loss or a signal at the same step.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.batches import Sampler, StepBatch
from training.config import TrainingConfig
from training.corpus import Corpus
from training.distributed import Processes
from training.learner import Learner, MovingAverage
from training.validation import validation_top1


class Diverged(ArithmeticError):
    """The loss is no number, or the processes have different weights; none are written."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a run needs to go on as if it had never stopped."""

    step: int
    """Steps taken."""
    tensors: Mapping[str, Tensor]
    """Weights, their average, the optimizer's moments, and all processes' random states."""
    sampler: Mapping[str, Any]


class Tracker:
    """Hears of the steps, in the first process only. This one does nothing with it."""

    def stepped(self, step: int) -> None:
        """`step` steps are taken."""

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures after that step."""


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the highest rate."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    wave = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_rate + (1 - config.final_rate) * wave)


class Trainer:
    """The state of a run: learner, moving average, optimizer, sampler and random numbers.

    With one process on a CPU, the weights after a step are the same bits for the same seed, data
    and thread count, however often the run was stopped and restored in between.

    Args:
        device: where the learner lives; the corpus stays on the CPU. bfloat16 on a GPU.
        processes: those that share each step's picks.
    """

    def __init__(
        self,
        config: TrainingConfig,
        corpus: Corpus,
        device: torch.device | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.device = device or torch.device("cpu")
        self.processes = processes or Processes()
        self.step = 0
        torch.manual_seed(config.seed)
        self.learner = Learner(config, corpus.sets).to(self.device).train()
        # Same weights everywhere, but other cards and features hidden: dropout is each process's.
        torch.manual_seed(config.seed + 1_000_003 * self.processes.rank)
        self._average = MovingAverage(self.learner, config.ema_decay)
        self._replica = self.processes.replicate(self.learner, self.device)
        self._trained = {
            name: value for name, value in self.learner.named_parameters() if value.requires_grad
        }
        self._optimizer = torch.optim.AdamW(
            self._trained.values(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._sampler = Sampler(
            [each.rows for each in corpus.sets],
            config.sets_per_step,
            config.picks_per_set,
            config.seed,
        )

    @property
    def picks_per_step(self) -> int:
        return self._sampler.picks_per_step

    def averaged(self) -> Learner:
        """The moving average of the learner, a copy on the CPU: what is measured and shipped."""
        return copy.deepcopy(self._average.learner).cpu()

    def gradients(self) -> float:
        """Draw a step's picks and compute the gradients; this process's share of the loss."""
        batch = StepBatch.collate(
            self.corpus.sets,
            self._sampler.draw(),
            self.device,
            self.processes.rank,
            self.processes.count,
        )
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self.device):
            loss = self._replica(batch)
        # The processes' gradients are averaged, but the loss is shared out: its parts add up.
        (loss * self.processes.count).backward()
        return float(loss.item())

    def update(self) -> None:
        """Take the step whose gradients were computed."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        nn.utils.clip_grad_norm_(self._trained.values(), self.config.gradient_clip)
        self._optimizer.step()
        self.step += 1
        self._average.update(self.learner, self.step)

    def snapshot_bytes(self) -> int:
        """About the size of a snapshot: weights, their average, and two moments of each."""
        return 4 * sum(each.nbytes for each in self.learner.parameters())

    def snapshot(self) -> Snapshot:
        """Where the run stands, on the CPU. All processes must ask at the same step.

        Raises Diverged when their weights are not the same.
        """
        self._require_same_weights()
        tensors = {f"learner.{n}": value for n, value in self.learner.state_dict().items()}
        average = self._average.learner.state_dict()
        tensors |= {f"average.{name}": value for name, value in average.items()}
        for name, value in self._trained.items():
            for key, moment in self._optimizer.state[value].items():
                tensors[f"optimizer.{key}.{name}"] = moment
        for kind, state in self._random_states().items():
            for rank, of_process in enumerate(self.processes.gather(state)):
                tensors[f"random.{kind}.{rank}"] = of_process
        copied = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        return Snapshot(self.step, copied, self._sampler.state())

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a run of the same config and corpus.

        With another number of processes the steps are the same but for dropout. Raises KeyError
        and RuntimeError for tensors that are not this learner's.
        """
        tensors = snapshot.tensors
        for prefix, module in (("learner", self.learner), ("average", self._average.learner)):
            names = module.state_dict()
            module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in names})
        moments: dict[int, dict[str, Tensor]] = {}
        if snapshot.step:
            for index, name in enumerate(self._trained):
                keys = ("step", "exp_avg", "exp_avg_sq")
                moments[index] = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}
        state = self._optimizer.state_dict()
        self._optimizer.load_state_dict(state | {"state": moments})
        self._sampler.restore(dict(snapshot.sampler))
        self.step = snapshot.step
        self._restore_random_states(tensors)

    def _require_same_weights(self) -> None:
        digest = hashlib.sha256()
        for value in self.learner.state_dict().values():
            digest.update(value.detach().cpu().numpy().tobytes())
        own = torch.tensor(list(digest.digest()), dtype=torch.uint8)
        if any(not torch.equal(each, own) for each in self.processes.gather(own)):
            raise Diverged(f"the weights of the processes differ after step {self.step}")

    def _random_states(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _restore_random_states(self, tensors: Mapping[str, Tensor]) -> None:
        written_by = sum(name.startswith("random.cpu.") for name in tensors)
        if written_by != self.processes.count:
            torch.manual_seed(self.config.seed + 1_000_003 * (self.processes.rank + self.step))
            return
        torch.set_rng_state(tensors[f"random.cpu.{self.processes.rank}"])
        own = f"random.cuda.{self.processes.rank}"
        if self.device.type == "cuda" and own in tensors:
            torch.cuda.set_rng_state(tensors[own], self.device)


def autocast(device: torch.device, enabled: bool | None = None) -> torch.autocast:
    """bfloat16 where a matrix product gains by it; by default on a GPU alone."""
    enabled = device.type == "cuda" if enabled is None else enabled
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def train(
    trainer: Trainer,
    tracker: Tracker | None = None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_due: Callable[[int], bool] = lambda step: False,
    write_checkpoint: Callable[[Snapshot], None] = lambda snapshot: None,
) -> bool:
    """Take the steps that are left. True when all are taken, False when `stop` said so before.

    Args:
        stop: asked every step in every process; one true answer stops all after that step.
        checkpoint_due: asked in the first process with the number of steps taken.
        write_checkpoint: called in the first process when one is due, on a stop, and at the end;
            the others wait for it.

    Raises Diverged, in all processes, when the loss is no number.
    """
    config, processes = trainer.config, trainer.processes
    tracker = tracker or Tracker()
    losses: list[float] = []
    since = time.monotonic()
    while trainer.step < config.steps:
        share = trainer.gradients()
        due = processes.is_first and checkpoint_due(trainer.step + 1)
        loss, stopping, due_anywhere = processes.sum((share, stop(), due))
        if not math.isfinite(loss):
            raise Diverged(f"the loss is {loss} at step {trainer.step}: lower learning_rate")
        trainer.update()
        step, last = trainer.step, trainer.step == config.steps
        losses.append(loss)
        if processes.is_first:
            tracker.stepped(step)
            if step % config.log_every == 0 or last:
                speed = len(losses) * trainer.picks_per_step / (time.monotonic() - since)
                figures = {"loss": float(np.mean(losses)), "picks_per_second": speed}
                tracker.record(step, figures | {"learning_rate": learning_rate(config, step - 1)})
                losses.clear()
                since = time.monotonic()
            if step % config.evaluate_every == 0 and not last:
                top1 = validation_top1(
                    trainer.averaged(), trainer.corpus.sets, config.evaluation_picks
                )
                tracker.record(step, {"validation_top1_unforced": top1})
                since, losses = time.monotonic(), []
        if stopping or due_anywhere or last:
            snapshot = trainer.snapshot()
            if processes.is_first:
                write_checkpoint(snapshot)
            processes.wait_for_all()
        if stopping and not last:
            return False
    return True
