"""checkov finds nothing but what infrastructure/checkov.yaml gives a reason for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "infrastructure" / "checkov.yaml"
CHECKOV = shutil.which(ROOT / "build" / "checkov" / "bin" / "checkov") or shutil.which("checkov")


@pytest.fixture(scope="module")
def failed() -> set[str]:
    """Checks that fail without the list of exceptions."""
    if CHECKOV is None:
        pytest.skip("infrastructure is NOT CHECKED by checkov: run `make checkov` to install it")
    command = [CHECKOV, "--directory", "infrastructure", "--framework", "terraform"]
    command += ["--output", "json", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    report = json.loads(done.stdout)
    # A file that checkov cannot read would pass every check.
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 150
    return {check["check_id"] for check in report["results"]["failed_checks"]}


def test_what_fails_has_a_reason_and_what_has_a_reason_fails(failed: set[str]) -> None:
    listed = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["skip-check"]
    assert len(listed) == len(set(listed))
    assert failed == set(listed)


def test_every_exception_stands_below_a_reason() -> None:
    """More than a few words above each group."""
    lines = CONFIG.read_text(encoding="utf-8").partition("skip-check:\n")[2].splitlines()
    reason = ""
    for line in lines:
        if line.startswith("  #"):
            reason = line
        else:
            assert re.match(r"  - CKV2?_AWS_\d+\b", line), line
            assert len(reason) > 30, line
