"""How fast a big draft file becomes the compact form, beside pandas: `make bench-ingest`.

Makes a plain CSV of 1.5 million rows in a temporary folder by repeating a draft file, and reads it
in turn with `training.dataset.prepare` (checksum, parsing, writing the form) and with
`pandas.read_csv` (parsing only, into memory), each time in a process of its own. What counts is the
time from the call to its return, without imports, and the highest resident memory of the process.
Only ratios of the same round are compared: what else the machine does changes from round to round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.readme import insert
from training.report import RESULTS, ROOT
from training.resultfile import require_writable, rounded, write_result, write_text
from training.textfile import DataError, open_bytes

RESULT = RESULTS / "ingest.json"
READERS = ("ours", "pandas")
ROWS = 1_500_000
SPEED_TARGET = 3.0
MEMORY_TARGET = 2.0
PANDAS_BYTES = 20
"""Memory pandas takes for a cell at its peak: 8 for each of two copies, and the text's pieces."""
GB = 1e9


def repeat(source: Path, target: Path, rows: int) -> tuple[int, int]:
    """Writes a plain CSV of `rows` rows with the source's lines over and over; columns and bytes.

    Raises DataError when the disk has no room for it and for what is made of it.
    """
    with open_bytes(source) as stream:
        header = stream.readline()
        lines = stream.read().splitlines(keepends=True)
    if not lines:
        raise DataError(f"{source}: no rows")
    size = sum(map(len, lines)) * rows // len(lines)
    free = shutil.disk_usage(target.parent).free
    if free < 1.5 * size:
        raise DataError(
            f"{target.parent}: {free / GB:.1f} GB free, {1.5 * size / GB:.1f} GB needed: set TMPDIR"
        )
    with target.open("wb") as sink:
        sink.write(header)
        for start in range(0, rows, len(lines)):
            sink.writelines(lines[: rows - start])
    return header.count(b"pack_card_") + header.count(b"pool_"), target.stat().st_size


def read(reader: str, path: Path) -> dict[str, float]:
    """One reading in this process: seconds, seconds of processor time, and peak memory in GB."""
    if reader == "pandas":
        # Where its 18 GB are too much after all, this process ends and not another one.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        import pandas as pd

        began, worked = time.perf_counter(), time.process_time()
        rows = len(pd.read_csv(path))
    else:
        from training.dataset import prepare

        with tempfile.TemporaryDirectory(dir=path.parent) as cache:
            began, worked = time.perf_counter(), time.process_time()
            rows = prepare(path, Path(cache))[1]["rows_kept"]
    return {
        "rows": rows,
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - worked,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB,
    }


def measure(path: Path, rounds: int, rows: int) -> list[dict[str, Any]]:
    """Both readers in turn, the first one changing. Raises DataError when a reading fails."""
    found = []
    for number in range(rounds):
        for reader in READERS if number % 2 == 0 else reversed(READERS):
            command = [sys.executable, "-m", "training.bench_ingest", "--read", reader, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
                raise DataError(f"{reader} failed: {reason[0]}")
            figures = json.loads(done.stdout)
            if figures.pop("rows") != rows:
                raise DataError(f"{reader} did not read {rows} rows")
            found.append({"round": number + 1, "reader": reader, **figures})
            print(
                f"round {number + 1}, {reader}: {figures['seconds']:.1f} s,"
                f" {figures['peak_gb']:.2f} GB",
                flush=True,
            )
    return found


def summarize(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians of each reader, and of the rounds' ratios."""

    def of(reader: str, name: str) -> list[float]:
        return [each[name] for each in rounds if each["reader"] == reader]

    def ratio(name: str) -> float:
        # The rounds' order differs, so pairs are found by their number.
        pairs = zip(of("pandas", name), of("ours", name), strict=True)
        return statistics.median(theirs / own for theirs, own in pairs)

    names = ("seconds", "processor_seconds", "peak_gb")
    return {
        **{reader: {n: statistics.median(of(reader, n)) for n in names} for reader in READERS},
        "peak_gb_worst": max(of("ours", "peak_gb")),
        "times_faster": ratio("seconds"),
        "times_less_processor": ratio("processor_seconds"),
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| reader | seconds | processor seconds | peak memory, GB |",
        "|---|---|---|---|",
    ]
    names = {"ours": "to the compact form", "pandas": f"`pandas.read_csv` {result['pandas']}"}
    for reader in READERS:
        own = result["summary"][reader]
        lines.append(
            f"| {names[reader]} | {own['seconds']:.1f} | {own['processor_seconds']:.1f}"
            f" | {own['peak_gb']:.2f} |"
        )
    summary = result["summary"]
    fast = "reached" if summary["times_faster"] >= SPEED_TARGET else "**missed**"
    small = "reached" if summary["peak_gb_worst"] <= MEMORY_TARGET else "**missed**"
    count = max(each["round"] for each in result["rounds"])
    lines += [
        "",
        f"{summary['times_faster']:.1f} times as fast (target ≥ {SPEED_TARGET:.0f}: {fast}), with"
        f" {summary['times_less_processor']:.1f} times less processor time, in at most"
        f" {summary['peak_gb_worst']:.2f} GB (target ≤ {MEMORY_TARGET:.0f}: {small}).",
        f"{result['rows']} rows, {result['bytes'] / GB:.2f} GB of CSV with {result['counts']}"
        f" columns of counts; medians over {count} alternating rounds, {result['date']},"
        f" {result['cores']} cores ({result['processor']}), polars {result['polars']}.",
    ]
    return "\n".join(lines) + "\n"


def run(source: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The whole measurement. Raises DataError, also when there is too little memory for pandas."""
    import psutil

    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        path = Path(folder) / "drafts.csv"
        counts, size = repeat(source, path, rows)
        free = psutil.virtual_memory().available
        if free < rows * counts * PANDAS_BYTES:
            raise DataError(
                f"{free / GB:.1f} GB of memory free, {rows * counts * PANDAS_BYTES / GB:.1f} GB"
                f" needed by pandas: fewer rows, ARGS='--rows {rows // 4}'"
            )
        measured = rounded(measure(path, rounds, rows))
    return {
        "rows": rows,
        "counts": counts,
        "bytes": size,
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "pandas": version("pandas"),
        "polars": version("polars"),
        "rounds": measured,
        "summary": summarize(measured),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.bench_ingest", description="Measure the reading of a big file."
    )
    parser.add_argument("source", nargs="?", type=Path, help="a draft file, to be repeated")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--readme", type=Path, help="write the result file's table into this file")
    parser.add_argument("--read", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.read:
            print(json.dumps(read(options.read, options.source)))
            return 0
        if options.source is not None:
            require_writable(options.result)
            write_result(options.result, run(options.source, options.rows, options.rounds))
        result = json.loads(options.result.read_text(encoding="utf-8"))
        if options.readme is None:
            print(table(result), end="")
        else:
            document = options.readme.read_text(encoding="utf-8")
            write_text(options.readme, insert(document, "ingest", table(result)))
    except (OSError, ValueError) as error:  # DataError is a ValueError
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
