"""What the tests of the images measure, as JSON and as the README's table."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from infrastructure.operations.release_name import project_version

ROOT = Path(__file__).resolve().parents[2]
# `make test-images RECORD=1` renews what is committed.
FOLDER = ROOT / ("infrastructure/results" if os.environ.get("RECORD") else "build/images")

LARGEST_BYTES = 1_000_000_000
LONGEST_START_S = 8.0


@dataclass
class Figures:
    """None: not measured.

    Attributes:
        torchserve_bytes, gateway_bytes: of all layers, uncompressed.
        first_answer_s: from podman's start of torchserve to the first pick through the gateway.
        first_answer_cpu_s: what both containers computed until then.
        load_average: programs that wanted a core meanwhile.
        torchserve_rss_bytes, gateway_rss_bytes: with two workers, after picks.
        stop_s: from SIGTERM to the end of torchserve.
    """

    torchserve_bytes: int | None = None
    gateway_bytes: int | None = None
    first_answer_s: float | None = None
    first_answer_cpu_s: float | None = None
    load_average: float | None = None
    cores: int | None = os.cpu_count()
    torchserve_rss_bytes: int | None = None
    gateway_rss_bytes: int | None = None
    stop_s: float | None = None

    def write(self) -> None:
        """Write images.json and images.md, unless a figure is missing."""
        values = asdict(self)
        if None in values.values():
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        rounded = {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in values.items()
        }
        rounded |= {"version": project_version(ROOT), "date": datetime.now(UTC).date().isoformat()}
        (FOLDER / "images.json").write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        (FOLDER / "images.md").write_text(table(rounded), encoding="utf-8")


def table(figures: dict[str, object]) -> str:
    """The README's part on the images, from the content of images.json."""

    def number(name: str) -> float:
        value = figures[name]
        assert isinstance(value, int | float)
        return value

    def verdict(reached: bool) -> str:
        return "reached" if reached else "**missed**"

    torchserve, start = number("torchserve_bytes"), number("first_answer_s")
    rows = [
        ("figure", "target", "measured", ""),
        ("---", "---", "---", "---"),
        (
            "TorchServe's image",
            "≤ 1.0 GB",
            f"{torchserve / 1e9:.2f} GB",
            verdict(torchserve <= LARGEST_BYTES),
        ),
        ("the gateway's image", "", f"{number('gateway_bytes') / 1e9:.2f} GB", ""),
        (
            "start to first pick through the gateway",
            "≤ 8 s",
            f"{start:.1f} s",
            verdict(start <= LONGEST_START_S),
        ),
        ("CPU time until then", "", f"{number('first_answer_cpu_s'):.1f} s", ""),
        (
            "memory of TorchServe's container, 2 workers",
            "",
            f"{number('torchserve_rss_bytes') / 1e6:.0f} MB",
            "",
        ),
        (
            "memory of the gateway's container",
            "",
            f"{number('gateway_rss_bytes') / 1e6:.0f} MB",
            "",
        ),
        ("SIGTERM to the end of TorchServe's container", "", f"{number('stop_s'):.1f} s", ""),
    ]
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in rows]
    note = (
        f"Version {figures['version']}, {figures['date']}, {figures['cores']} cores, where "
        f"{number('load_average'):.0f} programs wanted one. Sizes are uncompressed; memory is "
        "resident, with pages that processes share counted for each."
    )
    return "\n".join([*lines, "", note, ""])
