"""What test_project.py does not hold: names of modules, and results that travel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# In two parts, so that this file does not hold what it looks for.
PACKAGE_HOSTS = ["py" + "pi.org", "files.python" + "hosted.org", "download." + "pytorch.org"]
PACKAGE_HOSTS += ["deb." + "debian.org", "registry." + "npmjs.org"]


def texts(value: Any) -> Iterator[str]:
    """Every string of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_no_module_is_named_for_nothing(repository_files: list[Path]) -> None:
    """A module has one concept; `utils` is the name of none."""
    sources = [file for file in repository_files if file.suffix == ".py"]
    assert len(sources) > 50
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert [file for file in sources if vague & {file.stem, file.parent.name}] == []


def test_no_file_names_a_package_host(root: Path, repository_files: list[Path]) -> None:
    """Where packages come from is the choice of whoever installs; bytes, so binaries count too."""
    found = [
        f"{file.relative_to(root)}: {host}"
        for file in repository_files
        for content in [file.read_bytes().lower()]
        for host in PACKAGE_HOSTS
        if host.encode() in content
    ]
    assert found == []


def test_result_files_name_files_without_their_folders(
    root: Path, repository_files: list[Path]
) -> None:
    """A path would say where somebody's data lay, and change from machine to machine."""
    results = [root / "model" / "weights" / "meta.json"]
    results += [
        file
        for file in repository_files
        if file.suffix == ".json" and file.parent.name == "results"
    ]
    assert root / "training" / "results" / "human.json" in results
    for file in results:
        content = json.loads(file.read_text(encoding="utf-8"))
        # "requests/s" and the like are units; a path to a file ends in a suffix.
        paths = [text for text in texts(content) if "/" in text and Path(text).suffix]
        assert paths == [], file.relative_to(root)
