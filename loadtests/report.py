"""The benchmark's result as Markdown, for loadtests/results and the README."""

from __future__ import annotations

import statistics
from typing import Any

NAMES = {
    "draft": "draft archive",
    "gateway": "draft archive behind the gateway",
    "noop": "no-op archive",
    "fastapi": "FastAPI",
}


def render(result: dict[str, Any]) -> str:
    """Tables of the figures and of the medians over rounds."""
    lines = ["| figure | target | measured | |", "|---|---|---|---|"]
    for figure in result["figures"]:
        unit = f" {figure['unit']}" if figure["unit"] else ""
        verdict = "reached" if figure["reached"] else "**missed**"
        lines.append(
            f"| {figure['what']} | {figure['target']}{unit} "
            f"| {figure['value']:.3g}{unit} | {verdict} |"
        )
    lines += [
        "",
        "| server | connections | requests/s | median, ms | p99, ms |",
        "|---|---|---|---|---|",
    ]
    rounds = result["rounds"]
    for connections in sorted(rounds[0], key=int):
        for name, title in NAMES.items():
            runs = [each[connections][name] for each in rounds]
            rps, p50, p99 = (
                statistics.median(run[key] for run in runs) for key in ("rps", "p50_ms", "p99_ms")
            )
            lines.append(f"| {title} | {connections} | {rps:.0f} | {p50:.2f} | {p99:.2f} |")
    machine, sizes = result["machine"], result["payload_bytes"]
    lines += [
        "",
        f"Medians over {len(rounds)} alternating rounds of {result['seconds_per_run']} s with wrk, "
        f"{result['date']}; load generator and servers share {machine['cores']} cores "
        f"({machine['processor']}). {sizes['requests']} requests with full attributes, "
        f"{sizes['min']}–{sizes['max']} bytes (mean {sizes['mean']}), half of them of cards the "
        f"model does not know by name. torch {machine['torch']}, TorchServe "
        f"{machine['torchserve']}, FastAPI {machine['fastapi']} with torch threads: "
        f"{result['fastapi_torch_threads']} (the faster for it).",
    ]
    return "\n".join(lines) + "\n"
