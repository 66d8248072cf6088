"""A run in Markdown: what it was, every check, and what was measured in each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFigures:
    """What was measured in a stage: requests/s, and latencies in ms (None: there were none).

    `p50_ms` to `p99_ms` are of answers, `refused_p99_ms` is of refusals.
    """

    name: str
    seconds: float
    sent_per_s: float
    answered_per_s: float
    refused_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    refused_p99_ms: float | None

    def rates(self) -> list[str]:
        rates = (self.sent_per_s, self.answered_per_s, self.refused_per_s)
        return [f"{each:.1f}" for each in rates]

    def times(self) -> list[str]:
        times = (self.p50_ms, self.p95_ms, self.p99_ms, self.refused_p99_ms)
        return ["–" if each is None else f"{each:.1f}" for each in times]


def stage_figures(run: Run, samples: Sequence[Sample]) -> list[StageFigures]:
    """The figures of every stage."""
    figures = []
    for place, stage in enumerate(run.stages):
        mine = [sample for sample in samples if sample.stage == place]
        good = [each.ms for each in mine if each.outcome in (Outcome.ANSWERED, Outcome.REJECTED)]
        refused = [each.ms for each in mine if each.outcome is Outcome.REFUSED]
        sent, answered, turned_away = (
            round(len(each) / stage.seconds, 2) for each in (mine, good, refused)
        )
        p50, p95, p99, refused_p99 = (
            round(quantile(values, share), 2) if values else None
            for values, share in ((good, 0.5), (good, 0.95), (good, 0.99), (refused, 0.99))
        )
        figures.append(
            StageFigures(
                name=stage.name,
                seconds=stage.seconds,
                sent_per_s=sent,
                answered_per_s=answered,
                refused_per_s=turned_away,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                refused_p99_ms=refused_p99,
            )
        )
    return figures


def stages_table(run: Run, samples: Sequence[Sample]) -> list[str]:
    """Rates in requests/s; latencies in ms, of answers and of refusals."""
    lines = [
        "| stage | s | sent/s | answered/s | refused/s | p50, ms | p95, ms | p99, ms "
        "| p99 refused, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in stage_figures(run, samples):
        cells = [each.name, f"{each.seconds:.0f}", *each.rates(), *each.times()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
