"""Throughput and latency beside a no-op archive and a FastAPI service, with the gateway and
without: `make bench`.

In every round each server gets the same requests from wrk, one server at a time, in an order that
turns from round to round. Ratios are taken within a round, and their median is reported: the
machine's speed drifts, but not that fast. ROUNDS and SECONDS set the effort.

Writes loadtests/results/bench.json and bench.md.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import requests

from loadtests.machine import processor
from loadtests.payloads import draft_mix, encode, is_unseen, size_distribution
from loadtests.report import render
from loadtests.servers import ARCHIVE, BenchError, fastapi, gateway, measure_start, torchserve
from loadtests.stack import nginx_is_missing

RESULTS = Path(__file__).parent / "results"
SCRIPT = Path(__file__).parent / "post.lua"
CONNECTIONS = (1, 32)
# Java compiles what it runs often; TorchServe gets faster for the first 10 to 15 s under load.
WARM_UP_S = 15
Measurement = dict[str, float]


def wrk(url: str, bodies: Path, connections: int, seconds: int) -> Measurement:
    """One run of wrk. Raises BenchError when a single request failed."""
    # FastAPI needs more than wrk's own 2 s for some of the first requests.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), url]
    done = subprocess.run(
        [*command, "--", str(bodies)], capture_output=True, text=True, timeout=seconds + 60
    )
    marked = [line for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if done.returncode != 0 or not marked:
        raise BenchError(f"wrk failed: {done.stderr or done.stdout}")
    figures: Measurement = json.loads(marked[0].removeprefix("FIGURES "))
    if figures["failed"]:
        raise BenchError(f"{figures['failed']:.0f} requests to {url} failed")
    return {
        "rps": figures["requests"] / figures["seconds"],
        "p50_ms": figures["p50_ms"],
        "p99_ms": figures["p99_ms"],
    }


def compare(urls: dict[str, str], bodies: Path, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """Rounds of {"<connections>": {server: measurement}}."""
    for url in urls.values():
        wrk(url, bodies, 32, WARM_UP_S)
    names, results = list(urls), []
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        results.append(
            {
                str(connections): {
                    name: wrk(urls[name], bodies, connections, seconds) for name in order
                }
                for connections in CONNECTIONS
            }
        )
        line = results[-1]["32"]
        print(
            f"round {number + 1}/{rounds}: "
            + ", ".join(f"{name} {line[name]['rps']:.0f}/s" for name in names),
            flush=True,
        )
    return results


def faster_threads(folder: Path, bodies: Path, seconds: int) -> int | None:
    """Torch threads that suit the FastAPI service better: its default, or one."""
    speeds = {}
    for threads in (None, 1):
        with fastapi(folder, threads) as base:
            url = f"{base}/api/v1/draft/pick"
            wrk(url, bodies, 32, 2)
            speeds[threads] = wrk(url, bodies, 32, seconds)["rps"]
    return max(speeds, key=lambda threads: speeds[threads])


def check_agreement(urls: dict[str, str]) -> float:
    """Largest difference of a probability between the draft archive and FastAPI, on a sample.

    The sample is of cards unknown by name: a known card is served from the card table, which has
    eight bits and the printing that training saw. Raises BenchError beyond 0.001.
    """
    worst = 0.0
    for pick in [each for each in draft_mix() if is_unseen(each)][::5]:
        answers = [
            requests.post(
                urls[name],
                data=encode(pick),
                headers={"Content-Type": "application/json"},
                timeout=30,
            ).json()["pick_probabilities"]
            for name in ("draft", "fastapi")
        ]
        worst = max(worst, *(abs(a - b) for a, b in zip(*answers, strict=True)))
    if worst > 0.001:
        raise BenchError(f"draft and FastAPI disagree by {worst:.3f}: they do not serve one model")
    return worst


def median_of(rounds: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]) -> float:
    return statistics.median(figure(each) for each in rounds)


def figures(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The issue's figures: what, target, measured, and whether it is reached."""
    rounds = result["rounds"]

    def figure(
        what: str, target: str, value: float, reached: bool, unit: str = ""
    ) -> dict[str, Any]:
        return {
            "what": what,
            "target": target,
            "value": round(value, 3),
            "unit": unit,
            "reached": reached,
        }

    fast = median_of(rounds, lambda r: r["32"]["draft"]["rps"] / r["32"]["fastapi"]["rps"])
    noop = median_of(rounds, lambda r: r["32"]["draft"]["rps"] / r["32"]["noop"]["rps"])
    extra = median_of(rounds, lambda r: r["1"]["draft"]["p50_ms"] - r["1"]["noop"]["p50_ms"])
    tail = median_of(rounds, lambda r: r["32"]["draft"]["p99_ms"] / r["32"]["fastapi"]["p99_ms"])
    hop = median_of(rounds, lambda r: r["1"]["gateway"]["p50_ms"] - r["1"]["draft"]["p50_ms"])
    share = median_of(rounds, lambda r: r["32"]["gateway"]["rps"] / r["32"]["draft"]["rps"])
    start, memory, size = (result[name] for name in ("start_s", "rss_bytes", "archive_bytes"))
    return [
        figure("throughput, 32 connections, of FastAPI's", "≥ 5", fast, fast >= 5, "×"),
        figure("throughput, 32 connections, of the no-op's", "≥ 0.7", noop, noop >= 0.7, "×"),
        figure(
            "median latency, 1 connection, above the no-op's", "≤ 1.5", extra, extra <= 1.5, "ms"
        ),
        figure("p99, 32 connections, of FastAPI's", "< 1", tail, tail < 1, "×"),
        figure("gateway: median latency added, 1 connection", "≤ 0.4", hop, hop <= 0.4, "ms"),
        figure("gateway: throughput, 32 connections, of direct", "≥ 0.9", share, share >= 0.9, "×"),
        figure("start to first answer", "≤ 12", start, start <= 12, "s"),
        figure("memory of Java and 2 workers", "≤ 1.3", memory / 1e9, memory <= 1.3e9, "GB"),
        figure("archive", "≤ 15", size / 1e6, size <= 15e6, "MB"),
    ]


def main() -> int:
    rounds, seconds = int(os.environ.get("ROUNDS", "5")), int(os.environ.get("SECONDS", "4"))
    missing = ["wrk"] * (shutil.which("wrk") is None) + ["nginx"] * nginx_is_missing()
    if missing:
        print(f"bench: {missing[0]} is not installed: run `make system-packages`", file=sys.stderr)
        return 1
    if not ARCHIVE.is_file():
        print("bench: there is no archive: run `make mar`", file=sys.stderr)
        return 1
    payloads = [encode(pick) for pick in draft_mix()]
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            folder.chmod(0o711)  # nginx's workers are another user than root
            bodies = folder / "bodies.jsonl"
            bodies.write_bytes(b"\n".join(payloads) + b"\n")
            threads = faster_threads(folder, bodies, seconds)
            with (
                torchserve(folder) as base,
                gateway(folder, base) as front,
                fastapi(folder, threads) as fast,
            ):
                urls = {
                    "draft": f"{base}/predictions/draft",
                    "gateway": f"{front}/predictions/draft",
                    "noop": f"{base}/predictions/noop",
                    "fastapi": f"{fast}/api/v1/draft/pick",
                }
                difference = check_agreement(urls)
                measured = compare(urls, bodies, rounds, seconds)
            start_s, rss = measure_start(payloads[0], lambda url: wrk(url, bodies, 32, seconds))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "processor": processor(),
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "torchserve", "fastapi", "uvicorn")},
        },
        "seconds_per_run": seconds,
        "payload_bytes": size_distribution(payloads),
        "fastapi_torch_threads": threads or "default",
        "largest_difference": round(difference, 7),
        "rounds": measured,
        "start_s": start_s,
        "rss_bytes": rss,
        "archive_bytes": ARCHIVE.stat().st_size,
    }
    result["figures"] = figures(result)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    report = render(result)
    (RESULTS / "bench.md").write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
