"""Results that stand in the repository, and the tables that the README shows of them.

`make loadtest SCENARIO=… KEEP=1` puts summary and picture of a run into loadtests/results, and
the figures as JSON beside them. `make readme` makes the README's tables of all such files.

    python -m loadtests.kept                        print the tables
    python -m loadtests.kept --readme README.md     put them into the README
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from loadtests.answers import Outcome
from loadtests.machine import processor
from loadtests.samples import Run, Sample
from loadtests.scenarios import SCENARIOS
from loadtests.summary import StageFigures, stage_figures
from loadtests.verdict import Check

RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- loads:begin -->\n", "<!-- loads:end -->"

FIGURES = (
    ("steady", "steady", "p99, of the median"),
    ("overload", "overload", "p99 of the accepted"),
    ("overload", "overload", "refused, all with 429 or 503"),
    ("overload", "after", "until 90% of the capacity"),
    ("soak", "soak", "memory of "),
)
"""Checks that the README shows one by one: scenario, stage, and how the check begins."""


def keep(run: Run, samples: Sequence[Sample], checks: Sequence[Check], folder: Path) -> None:
    """Write the figures of a run as `<scenario>.json`."""
    lost = sum(each.outcome in (Outcome.FAILED, Outcome.WRONG) for each in samples)
    result = {
        "scenario": run.scenario,
        "began": run.began,
        "machine": {"processor": processor(), "cores": psutil.cpu_count()},
        "capacity_per_s": None if run.capacity is None else round(run.capacity, 1),
        "requests": len(samples),
        "failed_or_wrong": lost,
        "stages": [asdict(each) for each in stage_figures(run, samples)],
        "checks": [asdict(check) for check in checks],
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{run.scenario}.json").write_text(text, encoding="utf-8")


def read(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The kept results, in the order of the scenarios."""
    paths = [folder / f"{name}.json" for name in SCENARIOS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def table(results: Sequence[dict[str, Any]]) -> str:
    """Two tables in Markdown: each scenario's main stage, and `FIGURES`."""
    lines = [
        "| scenario | requests | failed or wrong | checks passed | main stage | answered/s "
        "| refused/s | p50, ms | p95, ms | p99, ms | p99 of refusals, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(result) for result in results]
    figures = [line for result in results for line in _figures(result)]
    if figures:
        lines += ["", "| figure | target | measured | |", "|---|---|---|---|", *figures]
    dates = sorted({result["began"][:10] for result in results})
    machines = sorted({_machine(result["machine"]) for result in results})
    lines += [
        "",
        f"Whole runs of {' and '.join(dates)}; locust, gateway and server share "
        f"{' or '.join(machines)}. Latencies are those that locust saw.",
    ]
    return "\n".join(lines) + "\n"


def _row(result: dict[str, Any]) -> str:
    passed = sum(check["passed"] for check in result["checks"])
    of = f"{passed} of {len(result['checks'])}"
    stage = main_stage([StageFigures(**each) for each in result["stages"]])
    cells = [
        f"[`{result['scenario']}`](loadtests/results/{result['scenario']}.md)",
        str(result["requests"]),
        str(result["failed_or_wrong"]),
        of if passed == len(result["checks"]) else f"**{of}**",
        f"{stage.name}, {stage.seconds:.0f} s",
        *stage.rates()[1:],
        *stage.times(),
    ]
    return f"| {' | '.join(cells)} |"


def main_stage(stages: Sequence[StageFigures]) -> StageFigures:
    """The longest stage of those in which something was refused, or of all if nothing was."""
    refusing = [stage for stage in stages if stage.refused_per_s > 0]
    return max(refusing or stages, key=lambda stage: stage.seconds)


def _figures(result: dict[str, Any]) -> list[str]:
    lines = []
    for scenario, stage, what in FIGURES:
        if scenario != result["scenario"]:
            continue
        for check in result["checks"]:
            if check["stage"] == stage and check["what"].startswith(what):
                mark = "reached" if check["passed"] else "**missed**"
                lines.append(
                    f"| `{scenario}`: {check['what']} | {check['wanted']} | {check['measured']} "
                    f"| {mark} |"
                )
    return lines


def _machine(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores ({machine['processor']})"


def insert(document: str, text: str) -> str:
    """`document` with `text` between its markers. Raises ValueError when it has none."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise ValueError(f"there is no part between {BEGIN.strip()} and {END}")
    return f"{head}{begin}{text}{end}{tail}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.kept")
    parser.add_argument("--readme", type=Path, help="write the tables into this file")
    options = parser.parse_args(arguments)
    text = table(read())
    if options.readme is None:
        print(text, end="")
        return 0
    try:
        document = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(insert(document, text), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
