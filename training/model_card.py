"""The model card, made from result files: `make model-card`, or `python -m training.model_card`.

It stands in the weights' folder and names their sha256; it is made from `meta.json` and from
results of the same weights, or not at all. Its sections are those of "Model Cards for Model
Reporting" (Mitchell et al., 2019).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.dataset import TEST_PERCENT, VALIDATION_PERCENT
from training.report import RESULTS, WEIGHTS, Figures, Report
from training.resultfile import write_text
from training.tables import (
    ceiling_sentence,
    files_table,
    flatten,
    grouped,
    held_out_note,
    picks_table,
    summary_table,
    table,
)
from training.textfile import DataError

CARD = "MODEL_CARD.md"

INTENDED_USE = """\
## Intended use

Ranking the cards of a *Magic: The Gathering* booster draft pick, in pick helpers, draft reviews
and bots, for sets that the model knows and, with the caution that the figures below ask for, for
sets it does not know. It is meant to advise people, who decide; the probabilities say what a strong
drafter would take, not how good a card is.

Out of scope:

* play for money or prizes where the event forbids assistance;
* constructed formats, sealed deck building, and formats with packs of more than 15 cards or pools
  of more than 45;
* prices or collecting: it knows nothing of what a card is worth outside a draft;
* judging players: disagreeing with the model is not a mistake.
"""

METRICS = """\
## Metrics

*Top-1* is the share of picks in which the card ranked first was the card taken, *top-3* that of
the first three different cards. *Forced* picks, from a pack of one card, are always right; figures
leave them out unless they say "all picks". Copies of a card in a pack are one card. *NLL* is the
mean negative log-likelihood of the card taken, in nats. *ECE* is the expected calibration error of
the first card's probability in {bins} bins of equal width. *95 %* intervals are bootstrapped over
drafts ({samples} samples); they do not cover which sets were chosen. Means over sets count sets
alike.

Baselines: *random* takes any card; *highest rarity* one of the pack's highest rarity; *most picked*
the card with the highest pick rate in the other drafts of the same file, so it knows the very
drafters it predicts, which the model does not on sets it has never seen.
"""

LIMITS = """\
## Ethical considerations

The data holds picks and hashed draft identifiers, nothing about persons. The energy spent is that
of one training run (above). A tool that everybody follows would make drafts alike.

## Caveats

* It imitates strong drafters; agreement with them is not strength of play.
* The training picks are simulated: sampled from set-specific networks, which are like strong
  humans but are not humans. Real drafts enter only in the evaluation.
* Drafts of sets the model has never seen: expect the accuracy and the calibration of these rows,
  not those of known sets. The real drafts of such sets at hand are of 2012–2016.
* A card known by name is judged by the printing that training saw (its set's, else the newest).
  Cards with neither a known name nor attributes are ranked by nothing; the service warns of them.
* It sees the pack and the pool, not what was passed, nor the other drafters.
"""


def card(report: Report) -> str:
    """The card as Markdown."""
    groups = report.groups()
    figures = [
        f"![{text}](../../training/results/{name}.svg)\n"
        for name, text in (
            ("accuracy", "Top-1 by pack and pick number, beside the baselines"),
            ("reliability", "Reliability diagram"),
            ("sets", "Top-1 of each set with intervals, baselines and ceilings"),
        )
    ]
    parts = [
        "# Model card: MTG draft recommender\n",
        "Made by `make model-card` from `meta.json` and `training/results/`; do not edit.\n",
        _details(report.meta),
        INTENDED_USE,
        METRICS.format(bins=report.known["ece_bins"], samples=report.known["bootstrap_samples"]),
        _training_data(report.meta),
        _training(report.meta),
        _evaluation_data(report),
        "## Results\n",
        summary_table(groups),
        ceiling_sentence(report.known),
        held_out_note(report),
        "### By pick number\n",
        picks_table(groups),
        figures[0],
        "### Calibration\n",
        _calibration(report),
        figures[1],
        "### Known sets, held-out simulated drafts\n",
        files_table(report.known["files"]),
        "### Whole sets held out, simulated drafts\n" if report.unseen else "",
        files_table(report.unseen["files"]) if report.unseen else "",
        "### Real drafts\n",
        files_table(report.human["files"]),
        figures[2],
        LIMITS,
        _reproduce(report),
    ]
    return "\n".join(part for part in parts if part)


def _details(meta: Figures) -> str:
    config = meta["model_config"]
    encoder = config["encoder"]
    rows = [
        ["version", str(meta["model_version"])],
        ["weights", f"`model.safetensors`, {meta['weights_bytes'] / 1e6:.1f} MB"],
        ["sha256 of the weights", f"`{meta['weights_sha256']}`"],
        ["feature schema", f"`{meta['feature_schema']['hash']}`"],
        ["code of the training", f"git `{meta.get('git_revision', 'unknown')}`"],
        [
            "network",
            "card encoder shared by pack and pool"
            f" ({encoder['hidden_dim']} hidden, {encoder['card_dim']} wide), pool as a sum of"
            f" cards, {config['hidden_dim']} hidden; a card's score is the product of its vector"
            " with what the pool asks for",
        ],
        ["input", "attributes and rules text of 1–15 cards of a pack and 0–45 cards of a pool"],
        ["output", "a probability for each card of the pack"],
        ["cards known by name", grouped(meta["cards"])],
        ["licence", "MIT (code and weights); see below for what they were made from"],
    ]
    return "## Model details\n\n" + table(["", ""], rows)


def _training_data(meta: Figures) -> str:
    data = meta.get("data", {})
    files = data.get("files", [])
    picks = sum(file["rows_kept"] for file in files)
    drafts = sum(file["drafts"] for file in files)
    dropped = sum(sum(file["rows_dropped"].values()) for file in files)
    cards = data.get("cards", {})
    counts = f"{len(files)} files, {grouped(drafts)} drafts, {grouped(picks)} picks"
    return f"""\
## Training data

{counts} ({dropped} rows dropped), of the sets {", ".join(meta["sets"])}. By `draft_id`,
{100 - VALIDATION_PERCENT - TEST_PERCENT} % of the drafts train, {VALIDATION_PERCENT} % fit the
temperature, and {TEST_PERCENT} % are held out for the results below. Digest of the manifest:
`{data.get("sha256", "unknown")}`; the files with their sha256 are in `meta.json`.
Card attributes: `{cards.get("source", "unknown")}`, sha256 `{cards.get("sha256", "unknown")}`.

* **Drafts**: *simulated*. Each pick was sampled from a set-specific network of the
  [statistical-drafting](https://github.com/danieljbrooks/statistical-drafting) project (MIT),
  which was trained on the [17Lands public datasets](https://www.17lands.com/public_datasets),
  licensed [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). The picks are changed by that
  simulation; 17Lands does not endorse this project.
* **Cards**: attributes from the XMage project (MIT) under Scryfall's field names. The weights hold
  card names and vectors, no card text.
* **Fan content**: unofficial Fan Content permitted under the Fan Content Policy of Wizards of the
  Coast. Not approved or endorsed by Wizards. Portions of the materials used are property of
  Wizards of the Coast. © Wizards of the Coast LLC.
"""


def _training(meta: Figures) -> str:
    recipe = meta.get("data", {}).get("recipe") or {}
    metrics = meta["metrics"]
    lines = ["Behaviour cloning: cross-entropy over the cards of the pack, AdamW, moving average."]
    lines.append(
        "A card's vector is made of its attributes; cards of the training sets have something of"
        " their own added, which was hidden for whole sets at random while training."
    )
    if factors := metrics.get("inverse_temperature"):
        lines.append(
            f"Scores are multiplied by {factors['known']:.4f} where all cards of the pack were"
            f" trained on, which was fitted on validation drafts; by {factors['unseen']:.4f} where"
            " none was, which was fitted on sets held out of a run of the same recipe; and by a"
            " value between them in between."
        )
    if "training_seconds" in metrics:
        lines.append(f"Training took {metrics['training_seconds']} s.")
    if not metrics.get("value_head_trained", True):
        lines.append("The value head is not trained: simulated events all end alike.")
    rows = [[f"`{name}`", _setting(value)] for name, value in sorted(flatten(recipe).items())]
    recipe_table = table(["recipe", ""], rows) if rows else ""
    return "## Training\n\n" + "\n".join(lines) + "\n\n" + recipe_table


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _evaluation_data(report: Report) -> str:
    human = report.human["files"]
    drafts = sum(file["drafts"] for file in human)
    names = ", ".join(f"{file['set']} ({file['event_type']})" for file in human)
    return f"""\
## Evaluation data

Drafts of the known sets that `draft_id` keeps out of training, and {drafts} drafts of real people
in {len(human)} formats, used for nothing but evaluation: {names}.
TrophyDraft are 17Lands drafts that ended with seven wins, MTGO are drafts logged by Magic Online
players. Rows that cannot be used
(no pick, pick not in the pack) are counted in the result files.
"""


def _calibration(report: Report) -> str:
    rows = [
        [
            group.title,
            *(f"{group.mean[n]:.3f}" for n in ("ece_unforced", "nll_unforced")),
            f"{group.mean['nll_unforced_random']:.3f}",
        ]
        for group in report.groups()
    ]
    return table(["drafts", "ECE", "NLL", "NLL of equal probabilities"], rows)


def _reproduce(report: Report) -> str:
    held_out = ""
    if report.unseen:
        sets = " ".join(file["set"] for file in report.unseen["files"])
        held_out = f"""
For the row of held-out sets, `make train ARGS="--hold-out {sets}" OUT=weights` trains without
them, and `make results DATA=folder HELD_OUT=weights` measures that as well.
"""
    return f"""\
## How to reproduce

With a folder that holds `17lands/`, `human/` and `cards/default-cards.json.gz`,

```sh
make results DATA=folder
```

measures the released weights, and makes the figures, this card and the README's tables anew. The
same files give the same bytes. `make train` with the recipe above trains the weights.
{held_out}"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.model_card", description="Write the model card."
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    try:
        write_text(options.weights / CARD, card(Report.read(options.weights, options.results)))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
