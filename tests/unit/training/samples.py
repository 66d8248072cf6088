"""Small data files in 17Lands' and Scryfall's formats, made by the tests themselves."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SET = "TST"
CARDS = (*(f"Creature {letter}" for letter in "ABCDEFGHIJ"), "Spell, Quoted", "Élan Vital")


@dataclass
class Row:
    """One pick, as a person would write it."""

    pack: Sequence[str]
    pick: str
    pool: Sequence[str] = ()
    draft_id: str = "d1"
    pack_number: str = "0"
    pick_number: str = "0"
    wins: str = "7"
    losses: str = "0"
    cells: dict[str, str] = field(default_factory=dict)
    """Cells written as they stand, whatever the pack and pool say."""


def draft_csv(
    rows: Sequence[Row],
    cards: Sequence[str] = CARDS,
    shuffle: int | None = None,
    without: Sequence[str] = (),
) -> bytes:
    """The CSV of these rows; `shuffle` puts the columns in another order."""
    columns = ["expansion", "event_type", "draft_id", "draft_time", "rank", "event_match_wins"]
    columns += ["event_match_losses", "pack_number", "pick_number", "pick", "pick_maindeck_rate"]
    columns += [f"pack_card_{card}" for card in cards] + [f"pool_{card}" for card in cards]
    columns += ["user_n_games_bucket", "user_game_win_rate_bucket"]
    if shuffle is not None:
        columns = [str(c) for c in np.random.default_rng(shuffle).permutation(columns)]
    columns = [column for column in columns if column not in without]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        pack, pool = Counter(row.pack), Counter(row.pool)
        cells = {f"pack_card_{card}": str(pack[card]) for card in cards}
        cells |= {f"pool_{card}": str(pool[card]) for card in cards}
        cells |= {"expansion": SET, "event_type": "PremierDraft", "draft_id": row.draft_id}
        cells |= {"pack_number": row.pack_number, "pick_number": row.pick_number}
        cells |= {"pick": row.pick, "event_match_wins": row.wins}
        cells |= {"event_match_losses": row.losses}
        writer.writerow(cells | row.cells)
    return out.getvalue().encode()


def scryfall_record(name: str, **fields: object) -> dict[str, object]:
    record = {
        "object": "card",
        "name": name,
        "lang": "en",
        "layout": "normal",
        "mana_cost": "{1}{G}",
        "cmc": 2.0,
        "type_line": "Creature — Bear",
        "oracle_text": "Trample",
        "keywords": ["Trample"],
        "power": "2",
        "toughness": "2",
        "set": SET.lower(),
        "released_at": "2026-01-01",
        "rarity": "common",
    }
    return record | fields


def scryfall_json(records: Sequence[dict[str, object]]) -> bytes:
    """A bulk file as Scryfall writes it: an array, one object a line."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return f"[\n{lines}\n]\n".encode()


STRENGTH = {card: index for index, card in enumerate(CARDS)}


def simulated_drafts(drafts: int, seed: int = 0, cards: Sequence[str] = CARDS) -> list[Row]:
    """Drafts of two packs of six by a drafter who always takes the card last in `CARDS`."""
    generator = np.random.default_rng(seed)
    rows = []
    for draft in range(drafts):
        pool: list[str] = []
        for pack_number in range(2):
            for pick_number in range(6):
                pack = [str(c) for c in generator.choice(cards, 6 - pick_number, replace=False)]
                pick = max(pack, key=STRENGTH.__getitem__)
                numbers = {"pack_number": str(pack_number), "pick_number": str(pick_number)}
                rows.append(Row(pack, pick, tuple(pool), draft_id=f"draft-{draft}", **numbers))
                pool.append(pick)
    return rows


def simulated_cards() -> list[dict[str, object]]:
    """Cards of `CARDS` whose power tells their strength."""
    return [
        scryfall_record(card, power=str(1 + index // 3), toughness="1", oracle_text=f"word{index}")
        for card, index in STRENGTH.items()
    ]
