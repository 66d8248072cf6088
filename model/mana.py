"""Mana costs: what `{2}{W/U}{G/P}` asks for, and the one pattern that says what is a cost.

The notation is the Comprehensive Rules' (107.4) as Scryfall and XMage write it. Letters may be
of either case, the halves of a hybrid symbol in either order; white space between symbols is
ignored. Faces of a split or two-faced card are separated by `//`; a face may cost nothing, as the
land behind a spell does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

COLOURS = "WUBRG"
FACES_MAX = 5
"""Faces of one card: `Who // What // When // Where // Why` has five."""

_WHITESPACE = " \t\r\n"


def _either_case(letters: str) -> str:
    return f"[{letters}{letters.lower()}]"


def _symbol_pattern() -> str:
    """The alternatives between two braces; no two of them start a match in the same way for long,
    so matching takes linear time."""
    phyrexian = f"/{_either_case('P')}"
    coloured = []
    for colour in COLOURS:
        others = COLOURS.replace(colour, "")
        hybrid = f"/{_either_case(others)}(?:{phyrexian})?"
        colourless_or_phyrexian = f"/{_either_case('CP')}"
        coloured.append(f"{_either_case(colour)}(?:{hybrid}|{colourless_or_phyrexian})?")
    return "|".join(
        [
            f"[0-9]{{1,7}}(?:/{_either_case(COLOURS)})?",
            *coloured,
            f"{_either_case('C')}(?:/{_either_case(COLOURS + 'P')})?",
            _either_case("SXYZ"),
            f"{_either_case('H')}{_either_case(COLOURS)}",
            "½|∞",
        ]
    )


_SPACE = r"[ \t\r\n]*"
_FACE = rf"(?:\{{(?:{_symbol_pattern()})\}}{_SPACE})*"

MANA_COST_PATTERN = rf"^{_SPACE}{_FACE}(?://{_SPACE}{_FACE}){{0,{FACES_MAX - 1}}}$"
"""Matches exactly the costs `parse_mana_costs` takes, in Python's and in ECMA-262's dialect.

White space between symbols means nothing. It is allowed because Python's `$` lets a final line
break pass and ECMA-262's does not: so both agree.
"""


@dataclass(frozen=True, slots=True)
class ManaCost:
    """One face's mana cost. Tuples of five count symbols per colour, in the order W U B R G.

    A hybrid symbol counts for each of its colours. `phyrexian` counts every coloured Phyrexian
    symbol, hybrid ones under both colours and not again under `hybrid`.
    """

    generic: float = 0.0
    """Generic mana; {½} is the reason why it is no integer."""
    pips: tuple[float, ...] = (0.0,) * 5
    """Plain coloured symbols; a half symbol such as {HW} is 0.5."""
    hybrid: tuple[int, ...] = (0,) * 5
    """Hybrids of two colours, and of a colour and colourless ({C/W})."""
    twobrid: tuple[int, ...] = (0,) * 5
    """Hybrids of a colour and generic mana ({2/W})."""
    phyrexian: tuple[int, ...] = (0,) * 5
    x: int = 0
    """{X}, {Y} and {Z} together."""
    colourless: int = 0
    """{C}, and hybrids with it."""
    snow: int = 0
    mana_value: float = 0.0
    """X counts 0, a hybrid its larger half; infinite for {∞}."""
    colours: str = ""
    """The colours of the symbols, in the order WUBRG."""
    symbols: int = 0
    """How many symbols the cost has: 0 tells no cost from {0}."""


class _Tally:
    """Counts while the symbols of one face are read."""

    def __init__(self) -> None:
        self.generic = 0.0
        self.pips = [0.0] * 5
        self.hybrid = [0] * 5
        self.twobrid = [0] * 5
        self.phyrexian = [0] * 5
        self.x = self.colourless = self.snow = self.symbols = 0
        self.mana_value = 0.0

    def add(self, symbol: str) -> None:
        """Count one symbol that matched the pattern; upper case, without braces."""
        self.symbols += 1
        parts = symbol.split("/")
        colours = [COLOURS.index(part) for part in parts if part in COLOURS]
        if parts[0].isdigit():
            self.mana_value += int(parts[0])
            if colours:
                self.twobrid[colours[0]] += 1
            else:
                self.generic += int(parts[0])
        elif symbol in "XYZ":
            self.x += 1
        elif symbol == "½":
            self.generic += 0.5
            self.mana_value += 0.5
        elif symbol == "∞":
            self.mana_value = math.inf
        elif symbol[0] == "H":
            self.pips[COLOURS.index(symbol[1])] += 0.5
            self.mana_value += 0.5
        else:
            self.mana_value += 1
            self.snow += symbol == "S"
            self.colourless += "C" in parts
            counts = self.phyrexian if "P" in parts else self.hybrid
            for colour in colours:
                if len(parts) == 1:
                    self.pips[colour] += 1
                else:
                    counts[colour] += 1

    def cost(self) -> ManaCost:
        per_colour = zip(self.pips, self.hybrid, self.twobrid, self.phyrexian, strict=True)
        present = [any(counts) for counts in per_colour]
        return ManaCost(
            generic=self.generic,
            pips=tuple(self.pips),
            hybrid=tuple(self.hybrid),
            twobrid=tuple(self.twobrid),
            phyrexian=tuple(self.phyrexian),
            x=self.x,
            colourless=self.colourless,
            snow=self.snow,
            mana_value=self.mana_value,
            colours="".join(c for c, is_there in zip(COLOURS, present, strict=True) if is_there),
            symbols=self.symbols,
        )


_SYMBOL = re.compile(_symbol_pattern())


def _parse_face(face: str, text: str) -> ManaCost:
    tally = _Tally()
    position = 0
    while position < len(face):
        if face[position] in _WHITESPACE:
            position += 1
            continue
        if face[position] != "{":
            raise ValueError(
                f"mana cost {text!r}: {face[position]!r} stands outside braces; "
                "write each symbol in its own, as in '{2}{W}'"
            )
        end = face.find("}", position)
        if end < 0:
            raise ValueError(f"mana cost {text!r}: a '{{' is never closed")
        symbol = face[position + 1 : end]
        if not _SYMBOL.fullmatch(symbol):
            raise ValueError(f"mana cost {text!r}: unknown mana symbol '{{{symbol}}}'")
        tally.add(symbol.upper())
        position = end + 1
    return tally.cost()


@lru_cache(maxsize=8192)
def parse_mana_costs(text: str) -> tuple[ManaCost, ...]:
    """The cost of every face of a card, front face first; never empty.

    Raises ValueError, which names the offending symbol or character.
    """
    faces = text.split("//")
    if len(faces) > FACES_MAX:
        raise ValueError(f"mana cost {text!r}: {len(faces)} faces; a card has {FACES_MAX} at most")
    return tuple(_parse_face(face, text) for face in faces)
