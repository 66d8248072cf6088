"""Result files: the JSON that an evaluation writes, and that tables, plots and card are made from.

Figures are rounded to six decimals: the processor's kernels decide about those behind. Nothing in a
file says when or where it was made, so the same rows and weights give the same bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.textfile import DataError

DECIMALS = 6
_FILE_FIELDS = ("file", "set", "known_set", "drafts", "unforced_picks", "top1_unforced")


def require_writable(path: Path) -> None:
    """Make the folder of `path`, and see that a file can be written there; leaves no file behind.

    Raises DataError otherwise: it is told before the work and not after it.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: cannot be written: it is no regular file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".unfinished-", dir=path.parent):
            pass
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write the whole file or none of it. Raises DataError when it cannot be written."""
    path = path.resolve()
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".unfinished-{path.name}-", dir=path.parent)
        unfinished = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o666 & ~umask)  # mkstemp's own mode keeps others from reading
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result file, figures rounded."""
    write_text(path, _dump(rounded(result)) + "\n")


def read_result(path: Path) -> dict[str, Any]:
    """A result file. Raises DataError when it is missing or not one."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    files = result.get("files") if isinstance(result, dict) else None
    if not isinstance(files, list) or not files or "weights_sha256" not in result.get("model", {}):
        raise DataError(f"{path}: not a result file of `make evaluate`")
    for number, entry in enumerate(files):
        missing = [name for name in _FILE_FIELDS if name not in entry]
        if missing:
            raise DataError(
                f"{path}: files[{number}] lacks {missing[0]!r}: not a result file of this version"
                " of `make evaluate`"
            )
    return result


def _dump(value: Any, indent: str = "") -> str:
    """JSON with a line for each list or object that holds no other: a table's row is a line."""
    inner = value.values() if isinstance(value, dict) else value
    items = list(inner) if isinstance(value, dict | list) else []
    if not any(isinstance(item, dict | list) for item in items):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    deeper = indent + " "
    lines = [_dump(item, deeper) for item in items]
    if isinstance(value, dict):
        names = [json.dumps(name, ensure_ascii=False) for name in value]
        lines = [f"{name}: {line}" for name, line in zip(names, lines, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{last}"


def rounded(value: Any) -> Any:
    """The value with all its figures rounded as in the file."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
