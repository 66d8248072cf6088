"""Results as Markdown tables, for the README and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.baselines import NAMES as BASELINES
from training.report import Figures, Group, Report

_MAY_DIFFER = {"model_version", "hold_out", "hold_out_cards"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def grouped(number: int) -> str:
    """The number with a blank before each three digits."""
    return f"{number:,}".replace(",", " ")


def summary_table(groups: Sequence[Group]) -> str:
    """One row a group: means in which the sets count alike, and the interval over drafts."""
    header = ["drafts", "sets", "unforced picks", "random", "highest rarity", "most picked"]
    header += ["**model, top-1**", "95 %", "top-1, all picks", "top-3", "NLL", "ECE"]
    rows = []
    for group in groups:
        mean = group.mean
        rows.append(
            [
                group.title,
                str(mean["files"]),
                grouped(mean["unforced_picks"]),
                *(f"{mean['baselines'][name]:.3f}" for name in BASELINES),
                f"**{mean['top1_unforced']:.3f}**",
                _span(mean["top1_unforced_ci95"]),
                *(f"{mean[name]:.3f}" for name in ("top1_all", "top3_unforced", "nll_unforced")),
                f"{mean['ece_unforced']:.3f}",
            ]
        )
    return table(header, rows)


def ceiling_sentence(known: Figures) -> str:
    """How near the simulated drafts' ceiling the model comes; "" where it is not known."""
    mean = known["mean"].get("known", {})
    share = mean.get("share_of_ceiling")
    if share is None:
        return ""
    return (
        "The simulated picks were sampled from known probabilities, so nobody can expect more than"
        f" {mean['ceiling']['top1_unforced']:.3f} there (the ceiling): the model reaches"
        f" **{share['top1_unforced']:.3f}** of it.\n"
    )


def held_out_note(report: Report) -> str:
    """What the row of held-out sets is about, or that there is none yet."""
    if report.unseen is None:
        return (
            "Whole sets held out of training have not been measured with this recipe yet"
            " (`training/results/unseen.json` is absent).\n"
        )
    model = report.unseen["model"]
    sets = ", ".join(file["set"] for file in report.unseen["files"])
    differing = recipe_differences(report.meta.get("data", {}).get("recipe"), model["recipe"])
    recipe = "the released recipe"
    if differing is None:
        recipe = "a recipe that is not on record"
    elif differing:
        recipe = f"the released recipe but for {', '.join(differing)}"
    return (
        f"*Whole sets held out*: {sets}, measured with weights"
        f" `{model['weights_sha256'][:12]}…`, trained by {recipe} on"
        f" {len(model['sets'])} other sets.\n"
    )


def recipe_differences(
    released: Mapping[str, Any] | None, other: Mapping[str, Any] | None
) -> list[str] | None:
    """Names of the settings in which two recipes differ; None when one of them is not known.

    What is held out differs by intent, and the version says nothing of the training.
    """
    if not released or not other:
        return None
    first, second = flatten(released), flatten(other)
    return sorted(
        name
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name) and name not in _MAY_DIFFER
    )


def flatten(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `outer.inner`."""
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def files_table(files: Sequence[Figures]) -> str:
    """One row a draft file: known sets first, then the largest samples."""
    ceilings = any("ceiling" in file for file in files)
    header = ["set", "event", "", "drafts", "unforced picks", "random", "highest rarity"]
    header += ["most picked", "**model, top-1**", "95 %", "all picks", "top-3", "NLL", "ECE"]
    rows = []
    for file in sorted(files, key=lambda f: (not f["known_set"], -f["drafts"], f["set"])):
        cells = [
            file["set"],
            file["event_type"],
            "known" if file["known_set"] else "unseen",
            str(file["drafts"]),
            str(file["unforced_picks"]),
            *(f"{file['baselines'][name]:.3f}" for name in BASELINES),
            f"**{file['top1_unforced']:.3f}**",
            _span(file["top1_unforced_ci95"]),
            *(f"{file[name]:.3f}" for name in ("top1_all", "top3_unforced", "nll_unforced")),
            f"{file['ece_unforced']:.3f}",
        ]
        if ceilings:
            cells.append(_share_of_ceiling(file))
        rows.append(cells)
    return table([*header, "of the ceiling"] if ceilings else header, rows)


def picks_table(groups: Sequence[Group]) -> str:
    """Top-1 by pick number over all packs, forced picks left out, with the random baseline."""
    numbers = range(1, 15)
    rows = []
    for group in groups:
        for name, label in (("top1", group.title), ("random", "*random*")):
            by_number = {number: by_pick(group.files, name, pick=number) for number in numbers}
            cells = ["" if by_number[n] is None else f"{by_number[n]:.2f}" for n in numbers]
            rows.append([label, *cells])
    return table(["pick", *map(str, numbers)], rows)


def by_pick(
    files: Sequence[Figures], name: str, pick: int, pack: int | None = None
) -> float | None:
    """Mean of a figure of `by_pack_and_pick` over files, which count alike.

    Pick numbers at which a file's packs held one card are left out. None when less than half of the
    files have the pick number: the mean over a few would not go with its neighbours. `pack` None:
    over all packs.
    """
    means = []
    for file in files:
        entries = [
            entry
            for entry in file["by_pack_and_pick"]
            if entry["pick"] == pick and entry["pack"] == (pack or entry["pack"])
            if entry["pack_size"] > 1
        ]
        picks = sum(entry["picks"] for entry in entries)
        if picks:
            means.append(sum(entry[name] * entry["picks"] for entry in entries) / picks)
    return sum(means) / len(means) if 2 * len(means) >= max(2, len(files)) else None


def _span(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.3f}–{high:.3f}"


def _share_of_ceiling(file: Figures) -> str:
    if "ceiling" not in file:
        return ""
    return f"{file['top1_unforced'] / file['ceiling']['top1_unforced']:.3f}"
