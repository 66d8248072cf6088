from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.operations import cost
from infrastructure.operations.cost import Prices, inputs_of, monthly, per_million, tasks_needed
from infrastructure.operations.errors import ConfigurationError
from infrastructure.operations.inputs import read_inputs

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def prices() -> Prices:
    return Prices.read()


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    return inputs_of("prod")


def test_inputs_are_defaults_under_the_environments_values() -> None:
    production, development = read_inputs("prod"), read_inputs("dev")
    assert production["task"] == {"cpu": 2048, "memory": 4096}
    assert development["task"] == {"cpu": 1024, "memory": 2048}
    assert development["tasks"] == {
        "min": 1,
        "max": 2,
        "cpu_percent": 70,
        "requests_per_min": 30000,
    }
    assert production["region"] == "us-west-2"
    assert production["bot_control"] is False
    assert production["training"]["sizes"]["gpu4"]["instance_types"] == [
        "g5.12xlarge",
        "p3.8xlarge",
    ]


def test_two_tasks_cost_more_than_the_guide_said(inputs: dict[str, Any], prices: Prices) -> None:
    """2 x (2 x 0.04048 + 4 x 0.004445) x 730 h, where the guide had about 60."""
    fargate = monthly(inputs, prices, 0).items["Fargate tasks"]
    assert fargate == pytest.approx(144.16, abs=0.01)


def test_requests_are_paid_by_the_million(inputs: dict[str, Any], prices: Prices) -> None:
    bill = monthly(inputs, prices, 10_000_000)
    assert bill.items["API Gateway"] == pytest.approx(35.0)
    assert per_million(inputs, prices) == pytest.approx(
        (bill.total - monthly(inputs, prices, 0).total) / 10, rel=1e-6
    )


def test_more_picks_need_more_tasks_up_to_the_bound(inputs: dict[str, Any], prices: Prices) -> None:
    needed = [tasks_needed(inputs, prices, picks) for picks in (0, 10**7, 10**9, 10**12)]
    assert needed == sorted(needed)
    assert (needed[0], needed[-1]) == (2, 10)


def test_switches_cost(inputs: dict[str, Any], prices: Prices) -> None:
    plain = monthly(inputs, prices, 10**6).total
    guarded = monthly(inputs | {"bot_control": True}, prices, 10**6).total
    assert guarded - plain == pytest.approx(11.0)
    endpoints = monthly(inputs | {"interface_endpoints": ["logs"]}, prices, 10**6).total
    assert endpoints - plain == pytest.approx(2 * 730 * 0.01)


def test_every_machine_has_a_price_and_a_cap(inputs: dict[str, Any], prices: Prices) -> None:
    runs = cost.training_runs(inputs, prices)
    assert runs.keys() == {"g5.xlarge", "p3.2xlarge", "g5.12xlarge", "p3.8xlarge"}
    assert runs["g5.xlarge"] == pytest.approx((1.006 * 0.7, 1.006 * 0.7 * 4))
    sizes = {"x": {"instance_types": ["z9.huge"]}}
    training = inputs["training"] | {"sizes": sizes}
    with pytest.raises(ConfigurationError, match=r"no price of z9\.huge"):
        cost.training_runs(inputs | {"training": training}, prices)


@pytest.mark.parametrize("content", ["", "[]", '{"prices": {}}', '{"prices": {"x": {"usd": "a"}}}'])
def test_a_list_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="no price list"):
        Prices.read(path)


def test_every_price_has_a_source() -> None:
    data = json.loads(cost.PRICES.read_text(encoding="utf-8"))
    for group in ("prices", "gpu_on_demand_hour"):
        for name, price in data[group].items():
            assert price["source"].startswith("https://"), name


def test_the_kept_tables_are_those_of_the_inputs(prices: Prices) -> None:
    kept = (cost.RESULTS / "cost.md").read_text(encoding="utf-8")
    assert kept == cost.tables("prod", prices), "run: make cost-report"


def test_an_unknown_environment(capsys: Any) -> None:
    assert cost.main(["--env", "nowhere"]) == 1
    assert "ENV=nowhere is no environment" in capsys.readouterr().err
