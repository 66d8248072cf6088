"""Runs of scenarios as `make loadtest SHORT=1` makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from infrastructure.limits import LIMITS_FILE
from loadtests.run import Options
from loadtests.scenarios import Scenario

EDITED = "per_ip with edited limits"
REMOTE = "per_ip against a deployment"


class Played(NamedTuple):
    """A run that is over: its exit code and the folder of its reports."""

    code: int
    output: Path

    @property
    def summary(self) -> str:
        return (self.output / "summary.md").read_text(encoding="utf-8")


def options(
    scenario: Scenario, output: Path, host: str = "", limits: Path = LIMITS_FILE
) -> Options:
    return Options(scenario, host, short=True, limits=limits, output=output)


def edited_limits(folder: Path, **gateway: int) -> Path:
    """A copy of the limits' file with some of the gateway's changed."""
    limits = json.loads(LIMITS_FILE.read_text(encoding="utf-8"))
    assert gateway.keys() <= limits["gateway"].keys()
    limits["gateway"] |= gateway
    path = folder / "limits.json"
    path.write_text(json.dumps(limits), encoding="utf-8")
    return path
