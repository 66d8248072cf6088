"""A run in Markdown: what it was, every check, and what was measured in each stage."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.answers import Outcome
from loadtests.samples import Run, Sample
from loadtests.scenarios import SCENARIOS
from loadtests.verdict import Check, quantile


def summary(run: Run, samples: Sequence[Sample], checks: Sequence[Check]) -> str:
    """The whole summary; its first line says whether the run passed."""
    scenario = SCENARIOS[run.scenario]
    failed = [check for check in checks if not check.passed]
    verdict = f"{len(failed)} of {len(checks)} checks failed" if failed else "passed"
    kind = "short run" if run.short else "run"
    where = f"against {run.host}" if run.remote else "against a gateway on the same machine"
    lines = [
        f"# `{run.scenario}`: {verdict}",
        "",
        f"{scenario.about[0].upper()}{scenario.about[1:]}; {kind} {where}, {run.began}.",
        *([scenario.note] if scenario.note else []),
        *run.notes,
        "",
        *checks_table(checks),
        "",
        *stages_table(run, samples),
    ]
    return "\n".join(lines) + "\n"


def checks_table(checks: Sequence[Check]) -> list[str]:
    lines = ["| stage | check | wanted | measured | |", "|---|---|---|---|---|"]
    for check in checks:
        mark = "passed" if check.passed else "**failed**"
        lines.append(
            f"| {check.stage} | {check.what} | {check.wanted} | {check.measured} | {mark} |"
        )
    return lines


def stages_table(run: Run, samples: Sequence[Sample]) -> list[str]:
    """Rates in requests/s; latencies in ms, of answers and of refusals."""
    lines = [
        "| stage | s | sent/s | answered/s | refused/s | p50, ms | p95, ms | p99, ms "
        "| p99 refused, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for place, stage in enumerate(run.stages):
        mine = [sample for sample in samples if sample.stage == place]
        good = [each.ms for each in mine if each.outcome in (Outcome.ANSWERED, Outcome.REJECTED)]
        refused = [each.ms for each in mine if each.outcome is Outcome.REFUSED]
        rates = " | ".join(
            f"{count / stage.seconds:.1f}" for count in (len(mine), len(good), len(refused))
        )
        times = " | ".join(
            f"{quantile(values, share):.1f}" if values else "–"
            for values, share in ((good, 0.5), (good, 0.95), (good, 0.99), (refused, 0.99))
        )
        lines.append(f"| {stage.name} | {stage.seconds:.0f} | {rates} | {times} |")
    return lines
