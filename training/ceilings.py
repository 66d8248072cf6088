"""The best top-1 that a model can expect, where the drafters' own probabilities are known.

Simulated picks are drawn from a network's probabilities: who always names the likeliest card is
right as often as those probabilities say, and on average nobody is right more often. The file is a
CSV with a header and the columns `set`, `limit_top1_unforced` and `limit_top1_all`.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from training.textfile import DataError, open_bytes

COLUMNS = {"top1_unforced": "limit_top1_unforced", "top1_all": "limit_top1_all"}


def read_ceilings(path: Path) -> dict[str, dict[str, float]]:
    """By set code in lower case: `top1_unforced` and `top1_all`.

    Raises DataError when the file cannot be read, lacks a column, or has a value outside (0, 1].
    """
    with open_bytes(path) as stream:
        try:
            text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{path}: not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text))
    for column in ("set", *COLUMNS.values()):
        if column not in (reader.fieldnames or ()):
            raise DataError(f"{path}: column {column!r} is missing")
    ceilings = {}
    for row in reader:
        try:
            values = {name: float(row[column]) for name, column in COLUMNS.items()}
        except (TypeError, ValueError):
            raise DataError(f"{path}, line {reader.line_num}: not a number") from None
        if not all(0.0 < value <= 1.0 for value in values.values()):
            raise DataError(f"{path}, line {reader.line_num}: a share must be in (0, 1]")
        ceilings[str(row["set"]).casefold()] = values
    if not ceilings:
        raise DataError(f"{path}: no rows")
    return ceilings
