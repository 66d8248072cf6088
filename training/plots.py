"""Results as SVG: accuracy by pick number, reliability, and sets beside one another.

`make evaluate` draws what it measured next to its result file; `make plots` redraws the released
results. The same figures give the same bytes: no date, no random identifiers. Colours are Okabe and
Ito's, which colour-blind people can tell apart, and lines differ in dash or marker as well.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from training.report import RESULTS, WEIGHTS, Figures, Group, Report
from training.resultfile import write_text
from training.tables import by_pick
from training.textfile import DataError

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676"
LINES = {
    "top1": ("model", BLUE, "-"),
    "most_picked": ("most picked card", ORANGE, "--"),
    "highest_rarity": ("highest rarity", GREEN, "-."),
    "random": ("random", GREY, ":"),
}
GROUP_STYLES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
LEAST_PICKS = 20
"""Bins with fewer picks are not drawn: their share is noise."""

STYLE = {
    "svg.hashsalt": "mtg-draft-recommender",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def accuracy(groups: Sequence[Group]) -> Figure:
    """Top-1 by pick number, a row of panels a group and a panel a pack, beside the baselines.

    Means over the files, which count alike. Left out are picks from one card, and pick numbers
    that less than half of the files have.
    """
    entries = [e for g in groups for f in g.files for e in f["by_pack_and_pick"]]
    packs = sorted({entry["pack"] for entry in entries})
    last = max(entry["pick"] for entry in entries if entry["pack_size"] > 1)
    figure = Figure(
        figsize=(3.1 * len(packs) + 0.6, 2.35 * len(groups) + 0.9), layout="constrained"
    )
    panels = figure.subplots(len(groups), len(packs), sharex=True, sharey=True, squeeze=False)
    for row, group in zip(panels, groups, strict=True):
        for panel, pack in zip(row, packs, strict=True):
            _accuracy_panel(panel, group, pack, last)
        row[0].set_title(f"{group.title.capitalize()}\npack {packs[0]}")
        row[0].set_ylabel("picks predicted")
    for panel in panels[-1]:
        panel.set_xlabel("pick number in the pack")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(LINES))
    return figure


def _accuracy_panel(panel: Axes, group: Group, pack: int, last: int) -> None:
    for name, (label, colour, dash) in LINES.items():
        points = [(n, by_pick(group.files, name, pick=n, pack=pack)) for n in range(1, last + 1)]
        drawn = [(number, value) for number, value in points if value is not None]
        panel.plot(
            [number for number, _ in drawn],
            [value for _, value in drawn],
            color=colour,
            linestyle=dash,
            linewidth=2.2 if name == "top1" else 1.5,
            label=label,
        )
    panel.set_title(f"pack {pack}")
    panel.set_ylim(0, 1)
    panel.set_xlim(0.5, last + 0.5)
    panel.xaxis.set_major_locator(MultipleLocator(2 if last < 16 else 4, offset=1))
    panel.yaxis.set_major_locator(MultipleLocator(0.25))
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def reliability(groups: Sequence[Group]) -> Figure:
    """How often the best-ranked card was taken, by the probability given to it; unforced picks.

    Below, how many picks each probability was given to.
    """
    figure = Figure(figsize=(5.6, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="as sure as right")
    for group, (colour, marker, dash) in zip(groups, GROUP_STYLES, strict=False):
        bins = _pooled_bins(group)
        total = sum(picks for picks, _, _ in bins)
        drawn = [each for each in bins if each[0] >= LEAST_PICKS]
        label = f"{group.title} (ECE {group.mean['ece_unforced']:.3f})"
        style = {"color": colour, "linestyle": dash, "linewidth": 1.6}
        confidence = [each[1] for each in drawn]
        upper.plot(
            confidence, [each[2] for each in drawn], marker=marker, ms=5, label=label, **style
        )
        lower.plot(confidence, [each[0] / total for each in drawn], marker=marker, ms=3, **style)
    upper.set_ylabel("best-ranked card was taken")
    upper.set_ylim(0, 1)
    upper.legend(loc="upper left", fontsize=9)
    lower.set_ylabel("picks")
    lower.set_ylim(bottom=0)
    lower.set_xlim(0, 1)
    lower.set_xlabel("probability given to the best-ranked card")
    for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def _pooled_bins(group: Group) -> list[tuple[int, float, float]]:
    """(picks, confidence, accuracy) of each bin over all files' picks."""
    pooled = []
    for bins in zip(*(file["reliability"] for file in group.files), strict=True):
        picks = sum(each["picks"] for each in bins)
        confidence = sum(each["picks"] * each["confidence"] for each in bins)
        right = sum(each["picks"] * each["accuracy"] for each in bins)
        pooled.append((picks, confidence / max(1, picks), right / max(1, picks)))
    return pooled


def sets(groups: Sequence[Group]) -> Figure:
    """Unforced top-1 of each file with its 95 % interval, baselines and ceiling marked."""
    files = [
        (number, file)
        for number, group in enumerate(groups)
        for file in sorted(group.files, key=lambda f: (-f["top1_unforced"], f["set"]))
    ]
    gap = 1.3
    places = [place + gap * number for place, (number, _) in enumerate(files)]
    height = places[-1] + 1 + gap
    figure = Figure(figsize=(7.4, 0.21 * height + 1.1), layout="constrained")
    axes = figure.subplots()
    values = [file["top1_unforced"] for _, file in files]
    colours = [GROUP_STYLES[number % len(GROUP_STYLES)][0] for number, _ in files]
    axes.barh(places, values, height=0.72, color=colours, alpha=0.55)
    for place, (number, file) in zip(places, files, strict=True):
        low, high = file["top1_unforced_ci95"]
        axes.plot([low, high], [place, place], color="black", linewidth=1.3)
        if place == places[0] or files[places.index(place) - 1][0] != number:
            axes.text(0.004, place - 0.95, groups[number].title.capitalize(), va="center")
    axes.plot([], [], color="black", linewidth=1.3, label="95 % interval")
    marks: list[tuple[str, str, str, Callable[..., float | None]]] = [
        ("ceiling", "*", "black", lambda f: f.get("ceiling", {}).get("top1_unforced")),
        ("most picked card", "D", "white", lambda f: f["baselines"]["most_picked"]),
        ("highest rarity", "^", "white", lambda f: f["baselines"]["highest_rarity"]),
        ("random", "o", "white", lambda f: f["baselines"]["random"]),
    ]
    for label, marker, fill, value in marks:
        points = [
            (x, place)
            for place, (_, file) in zip(places, files, strict=True)
            if (x := value(file)) is not None
        ]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                linestyle="none",
                marker=marker,
                markersize=4.5,
                markerfacecolor=fill,
                markeredgecolor="black",
                markeredgewidth=0.8,
                label=label,
            )
    axes.set_yticks(places, [_name(file, [f for _, f in files]) for _, file in files])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(height - gap, -1.6)
    axes.set_xlim(0, 1 if max(values) > 0.72 else 0.75)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("picks predicted, forced picks left out")
    figure.legend(loc="outside upper left", ncols=5, fontsize=9)
    return figure


def _name(file: Figures, files: Sequence[Figures]) -> str:
    """The set's code, with the event where the code alone would not tell files apart."""
    code = str(file["set"])
    same = sum(each["set"] == code for each in files)
    return code if same == 1 else f"{code} {file['event_type']}"


FIGURES: dict[str, Callable[[Sequence[Group]], Figure]] = {
    "accuracy": accuracy,
    "reliability": reliability,
    "sets": sets,
}


def draw(groups: Sequence[Group], folder: Path, prefix: str = "") -> list[Path]:
    """Write all figures as `folder/<prefix><figure>.svg`; returns the paths.

    Raises DataError when one cannot be written.
    """
    paths = []
    for name, figure in FIGURES.items():
        path = folder / f"{prefix}{name}.svg"
        with mpl.rc_context(STYLE):
            buffer = io.StringIO()
            figure(groups).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        # Matplotlib ends some lines with a blank.
        text = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
        write_text(path, text + "\n")
        paths.append(path)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.plots", description="Draw the released results anew."
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    try:
        draw(Report.read(options.weights, options.results).groups(), options.results)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
