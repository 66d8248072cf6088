"""Result files as Markdown: `python -m training.model_card` prints the accuracy tables.

With `--readme FILE` it writes them, and the benchmark's report, between the README's markers
`<!-- accuracy:begin -->` … and `<!-- bench:begin -->` …, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def accuracy_table(meta: Mapping[str, Any], human: Mapping[str, Any]) -> str:
    """Quality on held-out simulated drafts (`meta.json`) and on real drafts (evaluate's output)."""
    held = meta["metrics"]["held_out"]
    known = {code.casefold() for code in meta["sets"]}
    lines = [
        "| held-out simulated drafts | top-1 unforced | top-1 all | top-3 unforced | NLL | ECE |",
        "|---|---|---|---|---|---|",
        f"| mean of {len(meta['sets'])} known sets | {held['top1_unforced']:.3f} "
        f"| {held['top1_all']:.3f} | {held['top3_unforced']:.3f} | {held['nll_unforced']:.3f} "
        f"| {held['ece_unforced']:.3f} |",
        "",
        "| real drafts | set | drafts | unforced picks | random | highest rarity "
        "| **model, unforced** | model, all | ECE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    # Known sets first, then the largest samples.
    files = sorted(
        human["files"], key=lambda file: (file["set"].casefold() not in known, -file["drafts"])
    )
    for file in files:
        base = file["baselines"]
        lines.append(
            f"| {file['file'].split('.')[1]} {file['file'].split('.')[2]} "
            f"| {'known' if file['set'].casefold() in known else 'unseen'} "
            f"| {file['drafts']} | {file['unforced_picks']} | {base['random']:.3f} "
            f"| {base['highest_rarity']:.3f} | **{file['top1_unforced']:.3f}** "
            f"| {file['top1_all']:.3f} | {file['ece_unforced']:.3f} |"
        )
    lines += ["", f"Weights `{meta['weights_sha256'][:12]}…`, version {meta['model_version']}."]
    return "\n".join(lines) + "\n"


def insert(document: str, name: str, text: str) -> str:
    """`document` with `text` between the markers of that name; raises ValueError without them."""
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda match: match[1] + text + match[2], document)
    if count != 1:
        raise ValueError(f"there are {count} parts marked {name}, not one")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.model_card", description=__doc__)
    parser.add_argument("--meta", type=Path, default=ROOT / "model" / "weights" / "meta.json")
    parser.add_argument("--human", type=Path, default=ROOT / "training" / "results" / "human.json")
    parser.add_argument("--readme", type=Path, help="write the tables into this file")
    parser.add_argument("--bench", type=Path, help="the benchmark's report, for the README")
    options = parser.parse_args(arguments)
    try:
        table = accuracy_table(
            json.loads(options.meta.read_text(encoding="utf-8")),
            json.loads(options.human.read_text(encoding="utf-8")),
        )
        if options.readme is None:
            print(table, end="")
            return 0
        document = insert(options.readme.read_text(encoding="utf-8"), "accuracy", table)
        if options.bench is not None:
            document = insert(document, "bench", options.bench.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.readme.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
