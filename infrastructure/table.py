"""A ranked pack as a table for a terminal: rank, card, probability bar, per cent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LONGEST_BAR = 40
_SHORTEST_BAR = 10


@dataclass(frozen=True, slots=True)
class Style:
    """What the output can show.

    Attributes:
        width: columns.
        colour: whether escape sequences are understood and wanted.
        unicode: whether block characters can be written.
    """

    width: int = 80
    colour: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """Return the style that suits `stream`; what it cannot encode it will write as `?`."""
        encoding = stream.encoding or "ascii"
        try:
            _EIGHTHS.encode(encoding)
            unicode = True
        except UnicodeEncodeError:
            unicode = False
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        wanted = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        return cls(
            width=shutil.get_terminal_size().columns,
            colour=wanted and stream.isatty(),
            unicode=unicode,
        )

    def bold(self, text: str) -> str:
        return self._paint(text, "1")

    def best(self, text: str) -> str:
        return self._paint(text, "1;32")

    def warn(self, text: str) -> str:
        return self._paint(text, "33")

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def bar(self, share: float, cells: int) -> str:
        """Return a bar of `share` (0-1) of `cells` columns, without padding."""
        share = min(max(share, 0.0), 1.0)
        if not self.unicode:
            return "#" * round(share * cells)
        full, eighth = divmod(round(share * cells * 8), 8)
        return "█" * full + _EIGHTHS[eighth].strip()


def render_pick(answer: Mapping[str, Any], style: Style) -> str:
    """Return the table of one answer, best card first, with its warnings below.

    Bars are drawn relative to the best card, so that a close pick looks close; the figure beside
    them is the probability itself.
    """
    ranking = answer["ranking"]
    names = max(len(card["name"]) for card in ranking)
    # Beside the bar: two margins, rank, three gaps and the figure take 18 columns.
    cells = min(_LONGEST_BAR, max(_SHORTEST_BAR, style.width - names - 18))
    best = max(card["probability"] for card in ranking) or 1.0
    lines = []
    for card in ranking:
        bar = style.bar(card["probability"] / best, cells)
        line = (
            f"  {card['rank']:>2}  {card['name']:<{names}}  {bar:<{cells}}  "
            f"{100 * card['probability']:5.1f} %"
        )
        lines.append(style.best(line) if card["index"] == answer["recommended_pick"] else line)
    lines += [
        style.warn(f"  ! {warning['path']}: {warning['message']}") for warning in answer["warnings"]
    ]
    return "\n".join(lines)


def render_problem(problem: Mapping[str, Any]) -> str:
    """Return a problem body in one line: where, what, and its stable code."""
    path, code = problem.get("path", "$"), problem.get("code", "unknown")
    return f"{path}: {problem.get('detail', problem.get('title', ''))} ({code})"
