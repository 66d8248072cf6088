"""Scryfall's bulk JSON -> `model.cards.Card`, streamed.

The file is one array, gzipped or not (https://scryfall.com/docs/api/bulk-data, "Default Cards"). It
is read object by object: 500 MB of JSON never stand in memory.

A card is printed many times. Printings of one name differ in set and rarity, and rarity is
something drafters and model go by, so `CardCatalog` keeps every printing and finds the right one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from model.card_table import fold_name
from model.cards import KEYWORDS_MAX, TEXT_MAX, TYPE_MAX, Card
from training.json_array import read_objects
from training.textfile import DataError, open_bytes

COST_SEPARATOR = " // "
TEXT_SEPARATOR = "\n//\n"

NOT_DRAFTED = frozenset(
    {"token", "double_faced_token", "emblem", "art_series", "vanguard", "planar", "scheme"}
)
"""Layouts that are no cards of a deck; their names would shadow real cards."""


class Face(msgspec.Struct):
    """One face of a two-faced, split or adventure card."""

    name: str = ""
    mana_cost: str = ""
    type_line: str = ""
    oracle_text: str = ""
    power: str | None = None
    toughness: str | None = None
    loyalty: str | None = None


class Printing(msgspec.Struct):
    """The fields of a Scryfall card object that are used here; all others are skipped."""

    object: str
    name: str
    set: str
    type_line: str = ""
    layout: str = "normal"
    mana_cost: str = ""
    oracle_text: str = ""
    keywords: list[str] = []
    power: str | None = None
    toughness: str | None = None
    loyalty: str | None = None
    rarity: str | None = None
    released_at: str = ""
    card_faces: list[Face] = []


def read_printings(path: Path) -> Iterator[Printing]:
    """Every card printing of the file, in its order.

    Raises DataError when the file is not Scryfall's, or is cut off.
    """
    decoder = msgspec.json.Decoder(Printing)
    with open_bytes(path) as stream:
        for printing in read_objects(stream, decoder, path):
            if printing.object != "card":
                raise DataError(f"{path}: object {printing.object!r}, expected 'card'")
            yield printing


def as_card(printing: Printing) -> Card:
    """The printing in the form the model reads.

    Faces are joined as `Card` says. A value outside the schema's limits (a stat such as `1d4`, a
    cost with a joke symbol, a ninth line of rules text) is dropped or cut: what is left still
    describes the card.
    """
    faces = printing.card_faces
    cost = printing.mana_cost or COST_SEPARATOR.join(f.mana_cost for f in faces if f.mana_cost)
    text = printing.oracle_text or TEXT_SEPARATOR.join(
        f.oracle_text for f in faces if f.oracle_text
    )
    type_line = printing.type_line or COST_SEPARATOR.join(f.type_line for f in faces if f.type_line)
    front = faces[0] if faces else Face()
    return Card(
        name=printing.name,
        mana_cost=_accepted("mana_cost", cost) or "",
        type=type_line[:TYPE_MAX],
        power=_accepted("power", _first(printing.power, front.power)),
        toughness=_accepted("toughness", _first(printing.toughness, front.toughness)),
        loyalty=_accepted("loyalty", _first(printing.loyalty, front.loyalty)),
        keywords=tuple(keyword for keyword in printing.keywords if keyword)[:KEYWORDS_MAX],
        rarity=_accepted("rarity", printing.rarity),
        oracle_text=text[:TEXT_MAX],
        set=_accepted("set", printing.set),
    )


def _first(own: str | None, face: str | None) -> str | None:
    return own if own is not None else face


def _accepted(field: str, value: str | None) -> Any:
    """`value` if `Card` accepts it as `field`, else None."""
    try:
        card = msgspec.convert({"name": "?", field: value}, Card)
    except msgspec.ValidationError:
        return None
    return getattr(card, field)


def _is_bare(card: Card) -> bool:
    """Whether nothing is known of the card but type and rarity."""
    return not card.mana_cost and not card.oracle_text


class CardCatalog:
    """All cards of a Scryfall file, found by name (case, accents and back faces do not matter).

    Raises DataError when there is no card among the printings.
    """

    def __init__(self, printings: Iterable[Printing]) -> None:
        self._printings: dict[str, dict[str, Card]] = defaultdict(dict)
        self._preferred: dict[str, tuple[tuple[bool, bool, str], Card]] = {}
        self._released: dict[str, str] = {}
        for printing in printings:
            if printing.layout in NOT_DRAFTED:
                continue
            card = as_card(printing)
            key = fold_name(card.name)
            released = max(printing.released_at, self._released.get(printing.set, ""))
            self._released[printing.set] = released
            # A bare entry (type and rarity alone) must not hide a printing that says more.
            said = not _is_bare(card)
            in_print = card.rarity in ("common", "uncommon", "rare", "mythic")
            rank = (said, in_print, printing.released_at)
            if key not in self._preferred or rank > self._preferred[key][0]:
                self._preferred[key] = (rank, card)
            held = self._printings[key].get(printing.set)
            if held is None or (said and _is_bare(held)):
                self._printings[key][printing.set] = card
        if not self._preferred:
            raise DataError("the Scryfall file holds no card")

    @classmethod
    def read(cls, path: Path) -> CardCatalog:
        """The catalogue of the bulk file at `path`, gzipped or plain."""
        return cls(read_printings(path))

    def __len__(self) -> int:
        """Distinct names."""
        return len(self._preferred)

    def find(self, name: str, set_codes: Iterable[str] = ()) -> Card | None:
        """The card called `name`: its printing in the first of `set_codes` that has one, else the
        newest printing that has rules text or a cost; None when no card has that name.

        A printing without either takes them from another printing and keeps its own rarity.
        """
        key = fold_name(name)
        printings = self._printings.get(key)
        if printings is None:
            return None
        _, preferred = self._preferred[key]
        for code in set_codes:
            own = printings.get(code)
            if own is not None and _is_bare(own):
                return msgspec.structs.replace(preferred, set=own.set, rarity=own.rarity)
            if own is not None:
                return own
        return preferred

    def preferred(self, set_codes: Iterable[str] = ()) -> list[Card]:
        """One card a name, in the order of first appearance, chosen as by `find`."""
        codes = tuple(set_codes)
        found = (self.find(card.name, codes) for _, card in self._preferred.values())
        return [card for card in found if card is not None]

    def newest_first(self, set_codes: Iterable[str]) -> tuple[str, ...]:
        """The codes by the sets' dates of release; those without a card come last."""
        return tuple(sorted(set_codes, key=lambda code: self._released.get(code, ""), reverse=True))

    def names_in(self, set_code: str) -> list[str]:
        """Names of the cards that were printed in the set."""
        return [held[set_code].name for held in self._printings.values() if set_code in held]
