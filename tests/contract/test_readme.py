"""README.md's tables, held to what they list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from handler.errors import DraftError
from infrastructure.gateway.problems import PROBLEMS
from infrastructure.settings import VARIABLES


def leaves(base: type[DraftError] = DraftError) -> list[type[DraftError]]:
    children = base.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [base]


def between(text: str, name: str) -> str:
    """What stands between `<!-- name:begin -->` and `<!-- name:end -->`."""
    found = re.findall(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", text, re.DOTALL)
    assert len(found) == 1, f"README.md has {len(found)} parts marked {name}"
    return str(found[0])


def test_make_targets_are_the_readmes(root: Path, readme: str) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z][a-z-]*):.*?## ", makefile, re.MULTILINE)
    rows = re.findall(r"^\| `make ([a-z-]+)[^`]*` \|", readme, re.MULTILINE)
    assert len(targets) > 5
    assert sorted(rows) == sorted(targets)


def test_every_make_target_is_phony_or_a_file(root: Path) -> None:
    """A file of the same name would otherwise keep a target from running."""
    makefile = (root / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    phony = {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
             for name in line.split()}  # fmt: skip
    assert set(re.findall(r"^([a-z][a-z-]*):.*?## ", makefile, re.MULTILINE)) <= phony


def test_every_setting_is_in_the_readme(readme: str) -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", readme, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == VARIABLES.keys()


def test_every_variable_the_launcher_reads_is_a_listed_setting(root: Path) -> None:
    read = {
        argument.value
        for name in ("settings.py", "limits.py", "gateway/settings.py")
        for call in ast.walk(ast.parse((root / "infrastructure" / name).read_text("utf-8")))
        if isinstance(call, ast.Call)
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", argument.value)
    }
    assert len(read) > 5
    assert read <= VARIABLES.keys()


def test_error_codes_are_the_readmes(readme: str) -> None:
    rows = re.findall(r"^\| (\d{3}) \| (`[a-z0-9_`, ]+`) \|", readme, re.MULTILINE)
    listed = [
        (int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)
    ]
    # The handler's table stands before the gateway's.
    expected = [(leaf.status, leaf.code) for leaf in leaves()]
    assert listed == expected + [(each.status, each.code) for each in PROBLEMS]


@pytest.mark.parametrize("result", ["bench"])
def test_results_are_the_measured_ones(root: Path, readme: str, result: str) -> None:
    measured = (root / "loadtests" / "results" / f"{result}.md").read_text(encoding="utf-8")
    assert between(readme, result).strip() == measured.strip()


def test_links_lead_somewhere(root: Path, readme: str) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", readme)
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []
