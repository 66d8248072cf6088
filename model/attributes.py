"""The structural half of a card's features: cost, colours, types, size, rarity, keywords, effects.

`NAMES` lists the features in order; `write_attributes` fills a row of zeros. Every value lies in
[-LIMIT, LIMIT] and is finite, whatever the card.
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.effects import EFFECTS, effects_of, mana_produced
from model.keywords import HASH_BUCKETS, KEYWORDS, listed_keywords, text_keywords
from model.mana import COLOURS, ManaCost, parse_mana_costs
from model.text import stable_bucket
from model.type_line import CARD_TYPES, SUBTYPES, SUPERTYPES, parse_type_line

if TYPE_CHECKING:
    from model.cards import Card

LIMIT = 5.0
SUBTYPE_BUCKETS = 16
RARITIES = ("common", "uncommon", "rare", "mythic", "special", "bonus", "basic")
_FLAGS_OF_FACE_TWO = ("creature", "instant", "sorcery", "land", "artifact", "enchantment")
_PAIRS = tuple(a + b for a, b in combinations(COLOURS, 2))
_BUCKETS_OF_VALUE = 8  # 0 … 7 and more


def _layout() -> tuple[tuple[str, ...], dict[str, int]]:
    """All names in order, and where each group starts."""
    groups: dict[str, list[str]] = {
        "mana value": ["scaled", *map(str, range(_BUCKETS_OF_VALUE))],
        "cost": ["generic", "x", "colourless", "snow", "none", "symbols"],
        "pips": list(COLOURS),
        "hybrid": list(COLOURS),
        "twobrid": list(COLOURS),
        "phyrexian": list(COLOURS),
        "colour": list(COLOURS),
        "colours": ["number", "none", "one", "two", "three or more", "heaviest pip"],
        "colour pair": list(_PAIRS),
        "mana produced": [*COLOURS, "C", "number"],
        "second face": ["any", "cost", "mana value", *COLOURS, *_FLAGS_OF_FACE_TWO],
        "supertype": list(SUPERTYPES),
        "card type": [*CARD_TYPES, "none known", "permanent"],
        "subtype": [*SUBTYPES, "number", *(f"bucket {i}" for i in range(SUBTYPE_BUCKETS))],
        "power": ["scaled", "missing", "variable", *map(str, range(_BUCKETS_OF_VALUE))],
        "toughness": ["scaled", "missing", "variable", *map(str, range(_BUCKETS_OF_VALUE))],
        "loyalty": ["scaled", "missing", "variable"],
        "size": ["power per mana", "toughness per mana", "sum less cost", "power less toughness"],
        "rarity": [*RARITIES, "unknown", "rank"],
        "keyword": [*KEYWORDS, *(f"bucket {i}" for i in range(HASH_BUCKETS))],
        "keywords": ["number"],
        "effect": list(EFFECTS),
        "text": ["length", "lines", "symbols"],
        "missing": ["cost", "type", "text", "keywords", "all"],
    }
    names: list[str] = []
    starts: dict[str, int] = {}
    for group, members in groups.items():
        starts[group] = len(names)
        names += [f"{group}={member}" for member in members]
    return tuple(names), starts


NAMES, _START = _layout()
_INDEX = {name: index for index, name in enumerate(NAMES)}
_COLOUR_INDEX = {colour: index for index, colour in enumerate(COLOURS)}
_PAIR_INDEX = {pair: _START["colour pair"] + index for index, pair in enumerate(_PAIRS)}
_SUBTYPE_INDEX = {word: _START["subtype"] + index for index, word in enumerate(SUBTYPES)}
_KEYWORD_START = _START["keyword"]
_EFFECT_START = _START["effect"]
_RARITY_RANK = {"basic": 0.0, "common": 0.0, "uncommon": 1 / 3, "rare": 2 / 3, "mythic": 1.0}

_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_VARIABLE = re.compile(r"[*xyz?∞²]", re.IGNORECASE)

Row = NDArray[np.float32]


def _bounded(value: float) -> float:
    return min(LIMIT, max(-LIMIT, value))


def parse_stat(value: int | float | str | None) -> tuple[float | None, bool]:
    """(number, variable) of a power, toughness or loyalty; the number is None if there is none.

    `1+*` is (1, True), `*` is (0, True), `2½` is (2.5, False), `∞` and NaN are (0, True).
    """
    if value is None:
        return None, False
    if not isinstance(value, str):
        return (float(value), False) if math.isfinite(value) else (0.0, True)
    number = sum(min(float(part), 1e6) for part in _NUMBER.findall(value))
    return number + 0.5 * value.count("½"), _VARIABLE.search(value) is not None


def _write_cost(row: Row, cost: ManaCost) -> float:
    """Writes cost and colours of the front face; returns its mana value, at most 20."""
    value = min(cost.mana_value, 20.0)
    start = _START["mana value"]
    row[start] = _bounded(value / 4)
    if cost.symbols:
        row[start + 1 + min(int(value), _BUCKETS_OF_VALUE - 1)] = 1
    start = _START["cost"]
    row[start : start + 6] = (
        _bounded(cost.generic / 3),
        _bounded(cost.x),
        _bounded(cost.colourless / 2),
        _bounded(cost.snow / 2),
        cost.symbols == 0,
        _bounded(cost.symbols / 4),
    )
    if not cost.colours:
        row[_INDEX["colours=none"]] = 1
        return value
    for group, counts in (
        ("pips", cost.pips),
        ("hybrid", cost.hybrid),
        ("twobrid", cost.twobrid),
        ("phyrexian", cost.phyrexian),
    ):
        if any(counts):
            start = _START[group]
            row[start : start + 5] = [_bounded(count / 2) for count in counts]
    for colour in cost.colours:
        row[_START["colour"] + _COLOUR_INDEX[colour]] = 1
    number = len(cost.colours)
    start = _START["colours"]
    row[start] = number / 2
    row[start + 1 + min(number, 3)] = 1
    row[start + 5] = _bounded(max(cost.pips) / 2)
    for first, second in combinations(cost.colours, 2):
        row[_PAIR_INDEX[first + second]] = 1
    return value


def _write_second_face(row: Row, card: Card, costs: tuple[ManaCost, ...]) -> None:
    types = parse_type_line(card.type)
    if len(costs) == 1 and len(types) == 1 and " // " not in card.name:
        if "\n//\n" in card.oracle_text:
            row[_START["second face"]] = 1
        return
    start = _START["second face"]
    row[start] = 1
    if len(costs) > 1:
        row[start + 1] = costs[1].symbols > 0
        row[start + 2] = _bounded(costs[1].mana_value / 4)
        for colour in costs[1].colours:
            row[start + 3 + _COLOUR_INDEX[colour]] = 1
    if len(types) > 1:
        for index, word in enumerate(_FLAGS_OF_FACE_TWO):
            row[start + 8 + index] = word in types[1].card_types


_PERMANENTS = frozenset(("creature", "artifact", "enchantment", "land", "planeswalker", "battle"))


def _write_types(row: Row, type_line: str) -> None:
    front = parse_type_line(type_line)[0]
    for word in front.supertypes:
        row[_INDEX["supertype=" + word]] = 1
    for word in front.card_types:
        row[_INDEX["card type=" + word]] = 1
    row[_INDEX["card type=none known"]] = not front.card_types
    row[_INDEX["card type=permanent"]] = not _PERMANENTS.isdisjoint(front.card_types)
    hashed = _INDEX["subtype=bucket 0"]
    for word in front.subtypes:
        known = _SUBTYPE_INDEX.get(word)
        row[hashed + stable_bucket(word, SUBTYPE_BUCKETS) if known is None else known] = 1
    row[_INDEX["subtype=number"]] = _bounded(len(front.subtypes) / 2)


def _write_stats(row: Row, card: Card, mana_value: float, variable_in_text: bool) -> None:
    numbers: list[float] = []
    for group, value in (("power", card.power), ("toughness", card.toughness)):
        start = _START[group]
        number, variable = parse_stat(value)
        if number is None:
            row[start + 1] = 1
            continue
        numbers.append(number)
        row[start] = _bounded(number / 4)
        # Some sources write 0 for *; then the text alone tells.
        row[start + 2] = variable or (variable_in_text and number == 0)
        row[start + 3 + int(min(max(number, 0), _BUCKETS_OF_VALUE - 1))] = 1
    if len(numbers) == 2:
        power, toughness = numbers
        start = _START["size"]
        row[start : start + 4] = (
            _bounded(power / (mana_value + 1)),
            _bounded(toughness / (mana_value + 1)),
            _bounded((power + toughness - 2 * mana_value) / 4),
            _bounded((power - toughness) / 4),
        )
    start = _START["loyalty"]
    number, variable = parse_stat(card.loyalty)
    row[start : start + 3] = (_bounded((number or 0.0) / 4), number is None, variable)


def _write_keywords(row: Row, card: Card, normal: str) -> bool:
    """Writes listed and shown keywords; returns whether there is any."""
    slots, buckets = listed_keywords(card.keywords)
    shown = slots | text_keywords(normal) if normal else slots
    for slot in shown:
        row[_KEYWORD_START + slot] = 1
    for bucket in buckets:
        row[_KEYWORD_START + len(KEYWORDS) + bucket] = 1
    row[_INDEX["keywords=number"]] = _bounded((len(shown) + len(buckets)) / 3)
    return bool(shown or buckets)


def _write_text(row: Row, normal: str) -> bool:
    """Writes effects and statistics; returns whether the text gives the card a variable size."""
    effects = effects_of(normal) if normal else []
    for effect in effects:
        row[_EFFECT_START + effect] = 1
    produced = mana_produced(normal)
    start = _START["mana produced"]
    for colour in produced:
        row[start + (5 if colour == "C" else _COLOUR_INDEX[colour])] = 1
    row[start + 6] = len(produced) / 3
    start = _START["text"]
    row[start : start + 3] = (
        min(LIMIT, math.log1p(normal.count(" ")) / 2),
        min(LIMIT, math.log1p(normal.count("|"))),
        min(LIMIT, math.log1p(normal.count("{"))),
    )
    return _VARIABLE_SIZE in effects


_VARIABLE_SIZE = EFFECTS.index("variable size")


def has_attributes(card: Card) -> bool:
    """False if the card carries nothing but a name (a set and a rarity tell nothing of a card)."""
    return bool(
        card.mana_cost.strip()
        or card.type.strip()
        or card.oracle_text.strip()
        or card.keywords
        or card.power is not None
        or card.toughness is not None
        or card.loyalty is not None
    )


def write_attributes(card: Card, normal: str, row: Row) -> None:
    """Fill `row` (len(NAMES),), zeros before; `normal` is the rules text's normal form.

    Raises ValueError for a malformed mana cost, which a validated Card cannot have.
    """
    costs = parse_mana_costs(card.mana_cost)
    mana_value = _write_cost(row, costs[0])
    _write_second_face(row, card, costs)
    _write_types(row, card.type)
    variable_in_text = _write_text(row, normal)
    _write_stats(row, card, mana_value, variable_in_text)
    has_keywords = _write_keywords(row, card, normal)
    rarity = _START["rarity"]
    if card.rarity in RARITIES:
        row[rarity + RARITIES.index(card.rarity)] = 1
        row[rarity + len(RARITIES) + 1] = _RARITY_RANK.get(card.rarity, 2 / 3)
    else:
        row[rarity + len(RARITIES)] = 1
    start = _START["missing"]
    row[start : start + 5] = (
        not card.mana_cost.strip(),
        not card.type.strip(),
        not normal,
        not has_keywords,
        not has_attributes(card),
    )
