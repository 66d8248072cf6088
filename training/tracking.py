"""What a run tells: lines or a progress bar, `metrics.jsonl`, and TensorBoard's event files."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.loop import Tracker

METRICS = "metrics.jsonl"
EVENTS = "tensorboard"


def say(line: str) -> None:
    """A line with the time, which does not tear a progress bar."""
    tqdm.write(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stdout)
    sys.stdout.flush()


class RunTracker(Tracker):
    """Writes a run's records into its folder and shows how far it is.

    On a terminal there is a progress bar; elsewhere each record is a line. A run that goes on from
    step `start` first loses its records after that step, which it will make again.

    Raises OSError when the folder cannot be written.
    """

    def __init__(self, folder: Path, start: int, steps: int, terminal: TextIO = sys.stderr) -> None:
        self._steps = steps
        _drop_after(folder / METRICS, start)
        self._metrics = (folder / METRICS).open("a", encoding="utf-8")
        self._events: Any = SummaryWriter(str(folder / EVENTS), purge_step=start + 1)
        self._bar = tqdm(
            total=steps,
            initial=start,
            unit="step",
            file=terminal,
            disable=not terminal.isatty(),
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._events.close()
        self._metrics.close()

    def stepped(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        line = {"step": step, "time": round(time.time(), 3)} | dict(figures)
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)
        told = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._bar.disable:
            say(f"step {step}/{self._steps} {told}")
        else:
            self._bar.set_postfix_str(told)


def forget(folder: Path) -> None:
    """Remove the records of a run that is started over."""
    (folder / METRICS).unlink(missing_ok=True)
    shutil.rmtree(folder / EVENTS, ignore_errors=True)


def _drop_after(path: Path, step: int) -> None:
    """Keep the whole lines of steps up to `step`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    kept = [line for line in lines if _step(line) <= step]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # cut off when the process was killed
