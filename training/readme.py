"""Puts results into README.md: `make readme`, or `python -m training.readme`.

Between the markers `<!-- accuracy:begin -->` … and `<!-- bench:begin -->` … stands what the result
files say, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from training.report import RESULTS, ROOT, WEIGHTS, Report
from training.resultfile import write_text
from training.tables import ceiling_sentence, files_table, held_out_note, summary_table


def accuracy(report: Report) -> str:
    """The README's part on accuracy: all groups, every file of real drafts, and the figure."""
    meta = report.meta
    parts = [
        summary_table(report.groups()),
        ceiling_sentence(report.known),
        held_out_note(report),
        "![Accuracy by pick number](training/results/accuracy.svg)\n",
        "Real drafts, set by set:\n",
        files_table(report.human["files"]),
        f"Weights `{meta['weights_sha256'][:12]}…`, version {meta['model_version']}; sets, pick"
        " numbers and calibration are in the [model card](model/weights/MODEL_CARD.md).\n",
    ]
    return "\n".join(part for part in parts if part)


def insert(document: str, name: str, text: str) -> str:
    """`document` with `text` between the markers of that name; raises ValueError without them."""
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda match: match[1] + text + match[2], document)
    if count != 1:
        raise ValueError(f"there are {count} parts marked {name}, not one")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.readme", description="Put results into the README."
    )
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--bench", type=Path, default=ROOT / "loadtests" / "results" / "bench.md", help="its report"
    )
    on_aws = ROOT / "infrastructure" / "results"
    parser.add_argument("--cost", type=Path, default=on_aws / "cost.md", help="its tables")
    parser.add_argument("--images", type=Path, default=on_aws / "images.md", help="their table")
    options = parser.parse_args(arguments)
    try:
        report = Report.read(options.weights, options.results)
        document = options.readme.read_text(encoding="utf-8")
        document = insert(document, "accuracy", accuracy(report))
        document = insert(document, "bench", options.bench.read_text(encoding="utf-8"))
        document = insert(document, "cost", options.cost.read_text(encoding="utf-8"))
        document = insert(document, "images", options.images.read_text(encoding="utf-8"))
        write_text(options.readme, document)
    except (OSError, ValueError) as error:  # DataError is a ValueError
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
