"""Repository-wide promises: one version, imports that point one way, no trace of a workplace."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import model
from model import cards

PACKAGES = ("handler", "infrastructure", "loadtests", "model", "training")

# Which of the project's packages each may import. Folders that are not named inherit.
MAY_IMPORT = {
    "model": {"model"},
    "handler": {"model", "handler"},
    "training": {"model", "training"},
    "loadtests": {"model.cards", "loadtests", "infrastructure.errors", "infrastructure.limits"},
    # The peers do by other means what the handler does, with the same model.
    "loadtests/peers": {"model", "loadtests"},
    "infrastructure": {"infrastructure"},
    # `make predict` shows an answer in terms of the request schema.
    "infrastructure/predict.py": {"infrastructure", "model"},
}

# Everything else the library and the handler need; the archive ships no more than this.
THIRD_PARTY = {
    "model": {"msgspec", "numpy", "safetensors", "torch"},
    "handler": {"msgspec", "torch", "ts"},
}

# Written in two parts, so that this file does not hold what it looks for.
TRACES = [
    "/" + "work/",
    "/" + "root/",
    "py" + "pi.org",
    "python" + "hosted.org",
    "download." + "pytorch.org",
    "registry." + "npmjs",
    "conda." + "anaconda.org",
    "jfrog." + "io",
    "index-" + "url =",
]
TEXT_SUFFIXES = {
    *(".cfg", ".ini", ".json", ".lua", ".md", ".properties", ".py", ".sh", ".toml", ".txt"),
    *(".xml", ".yaml", ".yml", ""),
}


def sources(root: Path, package: str) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def imported(source: Path) -> set[str]:
    """Modules a file imports anywhere in it, also inside functions."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} has a relative import"
            assert node.module
            # `from model import cards` may import a module; the finer name is checked as well.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def allowed(module: str, prefixes: set[str]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def rule_for(path: Path) -> set[str]:
    """The entry of MAY_IMPORT with the longest path that leads to the file."""
    candidates = [path, *path.parents]
    return next(MAY_IMPORT[str(each)] for each in candidates if str(each) in MAY_IMPORT)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(root: Path, package: str) -> None:
    files = sources(root, package)
    assert files
    for source in files:
        path = source.relative_to(root)
        ours = {name for name in imported(source) if name.partition(".")[0] in (*PACKAGES, "tests")}
        wrong = sorted(name for name in ours if not allowed(name, rule_for(path)))
        assert wrong == [], f"{path} imports {wrong}"


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_library_and_handler_need_nothing_else(root: Path, package: str) -> None:
    for source in sources(root, package):
        roots = {name.partition(".")[0] for name in imported(source)}
        outside = roots - sys.stdlib_module_names - set(PACKAGES) - THIRD_PARTY[package]
        assert outside == set(), f"{source.relative_to(root)} imports {sorted(outside)}"
        assert "argparse" not in roots


def test_only_the_handler_class_and_its_messages_touch_torchserve(root: Path) -> None:
    users = {
        source.relative_to(root).as_posix()
        for package in PACKAGES
        for source in sources(root, package)
        if any(name.partition(".")[0] == "ts" for name in imported(source))
    }
    # One more runs inside an unpacked archive, to load it as a worker does.
    assert users - {"training/try_archive.py"} == {
        "handler/draft_handler.py",
        "handler/worker_messages.py",
    }


def test_torchserve_finds_exactly_one_class(root: Path) -> None:
    tree = ast.parse((root / "handler" / "draft_handler.py").read_text(encoding="utf-8"))
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == ["DraftHandler"]


def test_exports_of_the_library() -> None:
    assert model.__all__ == [
        "Card",
        "CardEncoderConfig",
        "CardFeatureExtractor",
        "CardTable",
        "Checkpoint",
        "CheckpointError",
        "DraftModel",
        "DraftModelConfig",
        "PickRequest",
        "PickResponse",
        "Recommender",
        "SharedCardEncoder",
        "fold_name",
        "load_checkpoint",
        "save_checkpoint",
    ]
    assert all(getattr(model, name).__doc__ for name in model.__all__)


def test_limits_of_the_schema() -> None:
    assert (cards.PACK_MIN, cards.PACK_MAX) == (1, 15)
    assert (cards.POOL_MAX, cards.REVIEW_MAX) == (45, 45)
    assert (cards.NAME_MAX, cards.TEXT_MAX, cards.KEYWORDS_MAX) == (200, 4000, 32)


def test_version_is_the_same_everywhere(
    root: Path, project_version: str, openapi: dict[str, Any]
) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", project_version)
    assert openapi["info"]["version"] == project_version
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert released[0] == project_version


def test_no_trace_of_a_workplace(root: Path, repository_files: list[Path]) -> None:
    texts = [file for file in repository_files if file.suffix in TEXT_SUFFIXES]
    assert len(texts) > 50
    found = [
        f"{file.relative_to(root)}: {trace}"
        for file in texts
        for trace in TRACES
        if trace in file.read_text(encoding="utf-8").lower()
    ]
    assert found == []


def test_shared_folder_is_named_only_as_a_place_to_look(
    root: Path, repository_files: list[Path]
) -> None:
    """Data next to the repository may be looked for; nothing else may lead out of it."""
    name = "sha" + "red"
    for file in repository_files:
        if file.suffix in TEXT_SUFFIXES:
            for use in re.findall(rf"\.\./{name}\S*", file.read_text(encoding="utf-8")):
                assert use.startswith(f"../{name}/data"), f"{file.relative_to(root)}: {use}"


def test_nothing_big_or_built_is_committed(root: Path, repository_files: list[Path]) -> None:
    for file in repository_files:
        path = file.relative_to(root)
        assert file.stat().st_size < 15_000_000, f"{path} is too big for a repository"
        assert file.suffix not in {".mar", ".pt", ".pkl", ".pyc", ".gz", ".csv", ".log"}, path
