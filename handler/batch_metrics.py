"""A worker's metrics in few writes.

TorchServe's metrics are lines that a worker prints and the front end parses. Its `add_or_update`
sends each through Python's logging, with a flush: four took 100 us of a batch of 16 picks, which
takes 1000 in all, and every flush wakes a thread of the front end. Here the lines are those that
TorchServe writes (a test compares the two), but collected, and printed together ten times a second.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

PERIOD_S = 0.1


class BatchMetrics:
    """Prints samples of a model's metrics.

    Args:
        find: TorchServe's metric of a name; raises for a name that it does not know.
        dimensions: the values of each metric's dimensions.
        period: how long samples may wait for others, seconds.
    """

    def __init__(
        self, find: Callable[[str], Any], dimensions: Sequence[str], period: float = PERIOD_S
    ) -> None:
        self._find = find
        self._dimensions = dimensions
        self._period = period
        self._parts: dict[str, tuple[str, str]] = {}
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def report(self, samples: Iterable[tuple[str, float]]) -> None:
        """Have `(name, value)` pairs printed within the period; raises what `find` raises."""
        now = int(time.time())
        lines = ""
        for name, value in samples:
            parts = self._parts.get(name)
            if parts is None:
                parts = self._parts[name] = self._around_value(name)
            lines += f"{parts[0]}{value}{parts[1]}{now}\n"
        with self._lock:
            self._lines.append(lines)
            first = len(self._lines) == 1
        if first:
            timer = threading.Timer(self._period, self.flush)
            timer.daemon = True  # a worker that is told to end does not wait for it
            timer.start()

    def flush(self) -> None:
        """Print what waits."""
        with self._lock:
            lines, self._lines = self._lines, []
        sys.stdout.write("".join(lines))
        sys.stdout.flush()

    def _around_value(self, name: str) -> tuple[str, str]:
        """What stands before and after the value in a metric's line."""
        metric = self._find(name)
        dimensions = ",".join(
            f"{dimension}:{value}"
            for dimension, value in zip(metric.dimension_names, self._dimensions, strict=True)
        )
        return (
            f"[METRICS]{metric.metric_name}.{metric.unit}:",
            f"|#{dimensions}|#type:{metric.metric_type.name}|#hostname:{socket.gethostname()},",
        )
