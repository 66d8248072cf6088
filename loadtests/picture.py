"""A run as a picture (SVG): requests, refusals and latency over time.

The same run gives the same bytes. Colours are those of Okabe and Ito, which people with any kind
of colour blindness can tell apart; lines differ in their dashes as well.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from loadtests.answers import Outcome
from loadtests.memory import Series
from loadtests.samples import Run, Sample
from loadtests.verdict import quantile

BLUE, ORANGE, VERMILLION, GREY = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C"
_MOST_BINS = 180
# matplotlib's settings belong to the whole process.
_settings = threading.Lock()
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "loadtests",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
}


def draw(
    run: Run, samples: Sequence[Sample], path: Path, memory: Mapping[str, Series] | None = None
) -> None:
    """Write the picture of a run to `path`; with a third panel where memory was watched."""
    with _settings, mpl.rc_context(_STYLE):
        panels = 3 if memory else 2
        figure = Figure(figsize=(8, 2 + 1.7 * panels), layout="constrained")
        figure.patch.set_facecolor("white")
        FigureCanvasSVG(figure)
        axes = figure.subplots(panels, 1, sharex=True)
        _draw_rates(axes[0], run, samples)
        _draw_latencies(axes[1], run, samples)
        if memory:
            _draw_memory(axes[2], run, memory)
        for each in axes:
            _mark_stages(each, run)
        _name_stages(axes[0], run)
        axes[-1].set_xlabel("seconds since the start")
        end = run.stages[-1].begin + run.stages[-1].seconds
        axes[-1].set_xlim(0, end)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": run.scenario})


def bin_width(run: Run) -> float:
    """Seconds; whole ones, and not too many of them for a picture."""
    end = run.stages[-1].begin + run.stages[-1].seconds
    return float(max(1, -int(-end // _MOST_BINS)))


def _draw_rates(axes: Axes, run: Run, samples: Sequence[Sample]) -> None:
    width = bin_width(run)
    end = run.stages[-1].begin + run.stages[-1].seconds
    bins = range(int(-(-end // width)))
    styles = (
        ("answered", (Outcome.ANSWERED,), BLUE, "-"),
        ("malformed, rejected", (Outcome.REJECTED,), GREY, "-."),
        ("refused (429, 503)", (Outcome.REFUSED,), ORANGE, "--"),
        ("failed or wrong", (Outcome.FAILED, Outcome.WRONG), VERMILLION, ":"),
    )
    for label, outcomes, colour, dashes in styles:
        counts = Counter(int(each.at // width) for each in samples if each.outcome in outcomes)
        if counts or Outcome.FAILED in outcomes:
            # Every bin as a step: a rate of zero is a fact, not a gap.
            values = [counts[number] / width for number in bins]
            edges = [number * width for number in range(len(bins) + 1)]
            axes.stairs(
                values, edges, baseline=None, color=colour, label=label, linestyle=dashes,
                linewidth=1.4,
            )  # fmt: skip
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _draw_latencies(axes: Axes, run: Run, samples: Sequence[Sample]) -> None:
    width = bin_width(run)
    times: dict[bool, dict[int, list[float]]] = {
        False: defaultdict(list),
        True: defaultdict(list),
    }
    for each in samples:
        if each.outcome in (Outcome.ANSWERED, Outcome.REFUSED):
            times[each.outcome is Outcome.REFUSED][int(each.at // width)].append(each.ms)
    curves = (
        ("answered, median", False, 0.5, BLUE, "-"),
        ("answered, p99", False, 0.99, BLUE, ":"),
        ("refused, p99", True, 0.99, ORANGE, "--"),
    )
    end = run.stages[-1].begin + run.stages[-1].seconds
    for label, refused, share, colour, dashes in curves:
        bins = times[refused]
        if bins:
            numbers = range(int(-(-end // width)))
            # A bin without such requests has no latency: NaN leaves a gap in the line.
            values = [
                quantile(bins[number], share) if bins.get(number) else float("nan")
                for number in numbers
            ]
            middles = [(number + 0.5) * width for number in numbers]
            axes.plot(
                middles, values, color=colour, linestyle=dashes, label=label,
                marker=".", markersize=3,
            )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("latency, ms")
    _legend(axes)


def _draw_memory(axes: Axes, run: Run, memory: Mapping[str, Series]) -> None:
    colours = {"Java": BLUE, "worker": ORANGE, "nginx": GREY}
    end = run.stages[-1].begin + run.stages[-1].seconds
    for name, points in sorted(memory.items()):
        inside = [(at - run.zero, size / 1e6) for at, size in points if 0 <= at - run.zero < end]
        if inside:
            colour = colours.get(name.partition(" ")[0], GREY)
            axes.plot(*zip(*inside, strict=True), color=colour, label=name.partition(" ")[0])
    axes.set_ylabel("memory, MB")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Beside the panel, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(
        unique.values(), unique.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5),
        handlelength=2.2,
    )  # fmt: skip


def _mark_stages(axes: Axes, run: Run) -> None:
    for number, stage in enumerate(run.stages):
        if number % 2:
            axes.axvspan(stage.begin, stage.begin + stage.seconds, color="#F4F4F4", zorder=0)


def _name_stages(axes: Axes, run: Run) -> None:
    end = run.stages[-1].begin + run.stages[-1].seconds
    for stage in run.stages:
        # A name that is wider than its stage would run into the next one.
        if stage.seconds / end > 0.018 * len(stage.name):
            axes.text(
                stage.begin + stage.seconds / 2, 1.02, stage.name, ha="center", va="bottom",
                transform=axes.get_xaxis_transform(), color="#444444",
            )  # fmt: skip
