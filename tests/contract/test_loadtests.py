"""The README's part on load tests, held to the scenarios and to what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infrastructure.limits import load_limits
from loadtests import kept, verdict
from loadtests.limits import NAMES
from loadtests.scenarios import SCENARIOS, Expect, Pace, table

from .test_readme import between


def test_the_table_is_that_of_the_scenarios(readme: str) -> None:
    assert between(readme, "scenarios") == table()


def test_numbers_in_the_text_are_those_of_the_verdict(readme: str) -> None:
    text = " ".join(readme[readme.index("## Load tests") : readme.index("## Data")].split())
    for words in (
        f"rate ± {verdict.TOLERANCE:.0%}".replace("%", " %"),
        f"± {verdict.TOLERANCE_REMOTE:.0%} on AWS".replace("%", " %"),
        f"in less than {verdict.REFUSED_P99_MS:.0f} ms",
        f"full again in {verdict.RECOVERY_S:.0f} s",
        f"({SCENARIOS['per_ip'].p95_ms:.0f} ms; {SCENARIOS['review'].p95_ms / 1000:.0f} s for",
    ):
        assert words in text


def test_a_rest_is_as_long_as_the_readme_says(readme: str) -> None:
    rests = {
        name: [stage.seconds for stage in scenario.stages if stage.expect is Expect.REST][-1:]
        for name, scenario in SCENARIOS.items()
    }
    assert (rests["per_ip"], rests["per_key"], rests["burst"]) == ([2], [1], [1])
    assert rests["review"] == [13]
    assert "2 s (`per_ip`), 1 s (`per_key`, `burst`) or 13 s (`review`)" in " ".join(readme.split())


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_can_be_played(name: str) -> None:
    scenario = SCENARIOS[name]
    for stage in (*scenario.stages, *(scenario.remote or ())):
        if stage.load.pace is Pace.LIMIT or stage.expect in (Expect.FLOOD, Expect.LIMITED):
            assert scenario.limit in NAMES
        assert (stage.users > 0) is (stage.expect is not Expect.REST)
        assert 0 <= stage.short_seconds <= max(stage.seconds, 30)


def test_a_rest_fills_the_bucket_enough_for_one_more_request() -> None:
    gateway = load_limits(env={}).gateway
    assert 60 / gateway.picks_per_ip_per_min <= 2
    assert 1 / gateway.requests_per_key_per_s <= 1
    assert 60 / gateway.reviews_per_ip_per_min <= 13


def test_the_short_forms_are_short() -> None:
    assert sum(scenario.seconds(short=True) for scenario in SCENARIOS.values()) < 150


def test_the_readmes_tables_are_those_of_the_kept_results(readme: str) -> None:
    assert between(readme, "loads") == kept.table(kept.read()), "run: make readme"


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_kept_run_of_full_length(root: Path, name: str) -> None:
    folder = root / "loadtests" / "results"
    result = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    stages = [(stage["name"], stage["seconds"]) for stage in result["stages"]]
    assert stages == [(stage.name, stage.seconds) for stage in SCENARIOS[name].stages]
    text = (folder / f"{name}.md").read_text(encoding="utf-8")
    passed = all(check["passed"] for check in result["checks"])
    assert text.startswith(f"# `{name}`: passed\n") is passed
    assert result["began"] in text
    for check in result["checks"]:
        assert f"| {check['what']} | {check['wanted']} | {check['measured']} |" in text


def test_every_figure_that_the_readme_promises_was_measured() -> None:
    results = {result["scenario"]: result for result in kept.read()}
    for scenario, stage, what in kept.FIGURES:
        found = [
            check
            for check in results[scenario]["checks"]
            if check["stage"] == stage and check["what"].startswith(what)
        ]
        assert found, (scenario, stage, what)
