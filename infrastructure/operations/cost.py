"""What the stack costs: `make cost ENV=prod`, by item, per million picks, by traffic, per training
run.

Computed from what the environment gives Terraform, from config/limits.json and from the dated price
list config/prices.json; nothing is asked of AWS. `--write` keeps the tables and a plot in
infrastructure/results/, from which `make readme` takes them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.errors import SettingsError
from infrastructure.limits import Limits, load_limits
from infrastructure.operations.errors import ConfigurationError, OperationError
from infrastructure.operations.inputs import read_inputs

ROOT = Path(__file__).resolve().parent.parent.parent
PRICES = ROOT / "config" / "prices.json"
RESULTS = ROOT / "infrastructure" / "results"

TRAFFIC = {"low": 100_000, "medium": 1_000_000, "high": 10_000_000}
"""Picks a month: the three levels of the deployment guide."""

GUIDE_TOTALS = {"low": 100, "medium": 180, "high": 500}
_SECONDS_PER_MONTH_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Prices:
    """config/prices.json. Prices are US dollars; the unit is in the name."""

    as_of: str
    hours: float
    usd: Mapping[str, float]
    gpu_hour: Mapping[str, float]
    assumptions: Mapping[str, float]

    @classmethod
    def read(cls, path: Path = PRICES) -> Prices:
        """Read the list.

        Raises ConfigurationError when it cannot be read or a price is no number.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                data["as_of"],
                float(data["hours_per_month"]),
                {name: float(each["usd"]) for name, each in data["prices"].items()},
                {name: float(each["usd"]) for name, each in data["gpu_on_demand_hour"].items()},
                {name: float(value) for name, value in data["assumptions"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path}: no price list: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Bill:
    """A month at some traffic: items in dollars, and the tasks that run on average."""

    picks: int
    tasks: int
    items: Mapping[str, float]

    @property
    def total(self) -> float:
        """Dollars a month."""
        return sum(self.items.values())


def tasks_needed(inputs: Mapping[str, Any], prices: Prices, picks: int) -> int:
    """Tasks for the peak of a month of that many picks, within autoscaling's bounds."""
    average_rps = picks / (prices.hours * _SECONDS_PER_MONTH_HOUR)
    peak_per_min = average_rps * prices.assumptions["peak_to_average"] * 60
    wanted = math.ceil(peak_per_min / inputs["tasks"]["requests_per_min"])
    return int(min(max(wanted, inputs["tasks"]["min"]), inputs["tasks"]["max"]))


def monthly(inputs: Mapping[str, Any], prices: Prices, picks: int) -> Bill:
    """What a month costs with that many picks."""
    usd, hours, assumed = prices.usd, prices.hours, prices.assumptions
    millions = picks / 1e6
    tasks = tasks_needed(inputs, prices, picks)
    vcpus, gib = inputs["task"]["cpu"] / 1024, inputs["task"]["memory"] / 1024
    in_gb, out_gb = (picks * assumed[name] / 1e9 for name in ("request_bytes", "answer_bytes"))
    # One capacity unit takes 1 GB an hour; the other dimensions stay far below it at these rates.
    capacity_units = (in_gb + out_gb) / hours
    managed_rules = 3 + bool(inputs["countries"]) + 2
    items = {
        "Fargate tasks": tasks
        * hours
        * (vcpus * usd["fargate_vcpu_hour"] + gib * usd["fargate_gib_hour"]),
        "NAT gateway and its address": hours * (usd["nat_gateway_hour"] + usd["public_ipv4_hour"]),
        "Load balancers (ALB, NLB)": hours
        * (
            usd["alb_hour"]
            + usd["nlb_hour"]
            + capacity_units * (usd["alb_lcu_hour"] + usd["nlb_lcu_hour"])
        ),
        "API Gateway": millions * usd["api_gateway_rest_million"],
        "WAF": usd["waf_acl_month"]
        + managed_rules * usd["waf_rule_month"]
        + millions * usd["waf_million"]
        + inputs["bot_control"]
        * (usd["waf_bot_control_month"] + millions * usd["waf_bot_control_million"]),
        "Logs": picks * assumed["log_bytes_per_request"] / 1e9 * usd["logs_gb"],
        "Metrics and alarms": 8 * usd["alarm_month"]
        + assumed["container_insights_metrics"] * usd["metric_month"],
        "Storage (S3, images)": assumed["bucket_gb"] * usd["s3_gb_month"]
        + assumed["images_gb"] * usd["ecr_gb_month"],
        "Transfer out": out_gb * usd["transfer_out_gb"],
        "Interface endpoints": len(inputs["interface_endpoints"])
        * inputs["zones"]
        * hours
        * usd["interface_endpoint_zone_hour"],
    }
    return Bill(picks, tasks, {name: cost for name, cost in items.items() if cost > 0})


def per_million(inputs: Mapping[str, Any], prices: Prices) -> float:
    """Dollars that one million picks add while the number of tasks stays."""
    return monthly(inputs, prices, 2_000_000).total - monthly(inputs, prices, 1_000_000).total


def training_runs(inputs: Mapping[str, Any], prices: Prices) -> dict[str, tuple[float, float]]:
    """By machine type: the most an hour costs, and the most one attempt of a job can cost.

    Spot prices move; Terraform caps them at `bid_percent` of the on-demand price, and an attempt at
    `timeout_s`.
    """
    training = inputs["training"]
    runs = {}
    for size in training["sizes"].values():
        for machine in size["instance_types"]:
            if machine not in prices.gpu_hour:
                raise ConfigurationError(f"config/prices.json has no price of {machine}")
            hour = prices.gpu_hour[machine] * training["bid_percent"] / 100
            runs[machine] = (hour, hour * training["timeout_s"] / 3600)
    return runs


def day_of_a_key(limits: Limits, inputs: Mapping[str, Any], prices: Prices) -> float:
    """Dollars that one API key can cost a month by using up its quota every day."""
    picks = limits.usage_plan.requests_per_day * 30
    return picks / 1e6 * per_million(inputs, prices)


def bills_of(inputs: Mapping[str, Any], prices: Prices) -> dict[str, Bill]:
    """A month's bill at each level of traffic."""
    return {name: monthly(inputs, prices, picks) for name, picks in TRAFFIC.items()}


def tables(environment: str, prices: Prices) -> str:
    """The tables in Markdown."""
    inputs = inputs_of(environment)
    bills = bills_of(inputs, prices)
    names = list(dict.fromkeys(item for bill in bills.values() for item in bill.items))
    lines = [
        f"US dollars a month, `{environment}`, {inputs['region']}, list prices of {prices.as_of} "
        "([config/prices.json](config/prices.json), with sources and assumptions).",
        "",
        "| item | " + " | ".join(f"{n} ({TRAFFIC[n]:,} picks)" for n in bills) + " |",
        "|---|" + "---:|" * len(bills),
    ]
    lines += [
        f"| {item} | " + " | ".join(f"{b.items.get(item, 0):.2f}" for b in bills.values()) + " |"
        for item in names
    ]
    lines += [
        "| **total** | " + " | ".join(f"**{b.total:.0f}**" for b in bills.values()) + " |",
        "| tasks | " + " | ".join(str(b.tasks) for b in bills.values()) + " |",
        "| the guide said | " + " | ".join(f"~{GUIDE_TOTALS[n]}" for n in bills) + " |",
        "",
        f"A million more picks: {per_million(inputs, prices):.2f}. One key that uses its daily "
        f"quota up every day: {day_of_a_key(load_limits(env={}), inputs, prices):.2f} a month.",
        "",
        "| spot machine | at most, an hour | at most, one attempt of a job |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {machine} | {hour:.2f} | {attempt:.2f} |"
        for machine, (hour, attempt) in training_runs(inputs, prices).items()
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, text: str, bills: Sequence[Bill]) -> None:
    """Keep the tables as cost.md and the plot as cost.svg, the same bytes for the same prices."""
    # Only this needs matplotlib, which the machine of an operator may lack.
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cost.md").write_text(text, encoding="utf-8")
    with plt.rc_context({"svg.hashsalt": "draft", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
        names = list(dict.fromkeys(item for bill in bills for item in bill.items))
        labels = [
            f"{name}\n{bill.picks:,} picks" for name, bill in zip(TRAFFIC, bills, strict=True)
        ]
        left = [0.0] * len(bills)
        # Okabe and Ito's colours, which colour-blind readers can tell apart.
        colours = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"]
        shown = [name for name in names if max(b.items.get(name, 0) for b in bills) >= 5]
        for name, colour in zip([*shown, "everything else"], [*colours, "#999999"], strict=False):
            rest = [sum(v for n, v in b.items.items() if n not in shown) for b in bills]
            width = rest if name == "everything else" else [b.items.get(name, 0) for b in bills]
            axes.barh(labels, width, left=left, color=colour, label=name, height=0.6)
            left = [a + b for a, b in zip(left, width, strict=True)]
        for place, total in enumerate(left):
            axes.text(total, place, f" ${total:.0f}", va="center")
        axes.invert_yaxis()
        axes.set_xlabel("US dollars a month")
        axes.set_xlim(0, max(left) * 1.12)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=4, frameon=False, fontsize=8
        )
        figure.savefig(folder / "cost.svg", metadata={"Date": None})
        plt.close(figure)


def inputs_of(environment: str) -> dict[str, Any]:
    """The environment's inputs, with what the bill needs.

    Raises ConfigurationError without them.
    """
    inputs = read_inputs(environment)
    needed = (
        "task",
        "tasks",
        "countries",
        "bot_control",
        "interface_endpoints",
        "zones",
        "training",
    )
    missing = [name for name in needed if name not in inputs]
    if missing:
        raise ConfigurationError(f"variables.tf has no {', '.join(missing)}")
    return inputs


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.cost")
    parser.add_argument("--env", default="prod")
    parser.add_argument("--write", action="store_true", help="keep the tables and a plot")
    options = parser.parse_args(arguments)
    try:
        prices = Prices.read()
        text = tables(options.env, prices)
        if options.write:
            write(RESULTS, text, list(bills_of(inputs_of(options.env), prices).values()))
        print(text, end="")
    except (OperationError, SettingsError) as error:
        print(f"draft: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
