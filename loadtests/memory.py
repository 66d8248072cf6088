"""Resident memory of a server's processes over time, sampled beside a load test."""

from __future__ import annotations

import contextlib
import csv
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

Series = Sequence[tuple[float, int]]
"""Pairs of seconds since 1970 and bytes."""

WORKER_PROGRAM = "model_service_worker.py"
_NAMES = {"java": "Java", "python": "worker", "nginx": "nginx"}

_EDGE = 0.1
"""Share of the time at either end whose medians are compared."""


class MemoryWatch:
    """Samples Java, the workers and nginx below a process until it is closed.

    Shared pages count for every process that has them, so the numbers do not add up to the
    machine's; their growth is what matters.
    """

    def __init__(self, pid: int, every_s: float = 1.0) -> None:
        self.series: dict[str, list[tuple[float, int]]] = {}
        self._labels: dict[int, str] = {}
        self._root = psutil.Process(pid)
        self._every = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in self._root.children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        self._note(process)

    def _note(self, process: psutil.Process) -> None:
        name = _NAMES.get(process.name().rstrip("0123456789."))
        # The other Pythons are launchers, which only wait.
        if name == "worker" and not any(WORKER_PROGRAM in word for word in process.cmdline()):
            return
        if name:
            label = self._label(name, process.pid)
            self.series.setdefault(label, []).append((time.time(), process.memory_info().rss))

    def _label(self, name: str, pid: int) -> str:
        """Java 1, worker 1, worker 2: in the order in which they were seen."""
        if pid not in self._labels:
            number = 1 + sum(each.startswith(f"{name} ") for each in self._labels.values())
            self._labels[pid] = f"{name} {number}"
        return self._labels[pid]


def growth(series: Mapping[str, Series], begin: float, end: float) -> dict[str, float]:
    """By how much each process grew between the first and the last tenth of the time given.

    Processes that did not live through all of it are left out.
    """
    length = end - begin
    result = {}
    for name, points in series.items():
        first = [size for at, size in points if begin <= at < begin + _EDGE * length]
        last = [size for at, size in points if end - _EDGE * length <= at < end]
        if first and last:
            result[name] = statistics.median(last) / statistics.median(first) - 1
    return result


def write(series: Mapping[str, Series], path: Path, zero: float) -> None:
    """One row a sample: seconds since `zero`, process, bytes."""
    with path.open("w", newline="", encoding="utf-8") as sink:
        writer = csv.writer(sink)
        writer.writerow(("at", "process", "bytes"))
        for name, points in series.items():
            writer.writerows((round(at - zero, 1), name, size) for at, size in points)
