"""Scryfall's bulk JSON: reading, cleaning, and finding a card by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from model.cards import Card
from tests.unit.training.samples import scryfall_json, scryfall_record
from training import json_array
from training.scryfall import CardCatalog, as_card, read_printings
from training.textfile import DataError

Write = Callable[..., Path]
CARD_X = b'[{"object": "card", "name": "X", "set": "x"}'


def card_of(write: Write, **fields: object) -> Card:
    path = write("cards.json", scryfall_json([scryfall_record("Card", **fields)]))
    (printing,) = read_printings(path)
    card = as_card(printing)
    # What training reads must be what a client may send.
    assert msgspec.convert(msgspec.to_builtins(card), Card) == card
    return card


def test_a_record_becomes_a_card(write: Write) -> None:
    assert card_of(write) == Card(
        name="Card",
        mana_cost="{1}{G}",
        type="Creature — Bear",
        power="2",
        toughness="2",
        keywords=("Trample",),
        rarity="common",
        oracle_text="Trample",
        set="tst",
    )


def test_faces_are_joined(write: Write) -> None:
    faces = [
        {"name": "Fire", "mana_cost": "{1}{R}", "type_line": "Instant", "oracle_text": "Burn."},
        {"name": "Ice", "mana_cost": "{1}{U}", "type_line": "Instant", "oracle_text": "Tap."},
    ]
    blank = {"mana_cost": None, "oracle_text": None, "type_line": None}
    record = {k: v for k, v in scryfall_record("Fire // Ice").items() if k not in blank}
    record |= {"card_faces": faces}
    (printing,) = read_printings(write("cards.json", scryfall_json([record])))
    card = as_card(printing)
    assert card.mana_cost == "{1}{R} // {1}{U}"
    assert card.oracle_text == "Burn.\n//\nTap."
    assert card.type == "Instant // Instant"


def test_the_front_face_has_the_stats(write: Write) -> None:
    faces = [
        {"name": "Human", "mana_cost": "{G}", "power": "1", "toughness": "1"},
        {"name": "Wolf", "mana_cost": "", "power": "3", "toughness": "3"},
    ]
    card = card_of(write, power=None, toughness=None, mana_cost="", card_faces=faces)
    assert (card.power, card.toughness, card.mana_cost) == ("1", "1", "{G}")


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("power", "*", "*"),
        ("power", "1+*", "1+*"),
        ("power", "-1", "-1"),
        ("power", "a lot of it", None),
        ("toughness", "", None),
        ("rarity", "legendary", None),
        ("mana_cost", "{W}{not a symbol}", ""),
    ],
)
def test_values_a_card_cannot_have_are_dropped(
    write: Write, field: str, value: str, kept: str | None
) -> None:
    assert getattr(card_of(write, **{field: value}), field) == kept


def test_long_texts_and_lists_are_cut(write: Write) -> None:
    card = card_of(write, oracle_text="word " * 1000, keywords=[f"K{n}" for n in range(50)])
    assert len(card.oracle_text) == 4000
    assert len(card.keywords) == 32


def test_the_printing_of_the_set_is_found(write: Write) -> None:
    records = [
        scryfall_record("Bolt", set="old", rarity="common", released_at="1994-01-01"),
        scryfall_record("Bolt", set="new", rarity="rare", released_at="2025-01-01"),
        scryfall_record("Bolt", set="mid", rarity="uncommon", released_at="2010-01-01"),
    ]
    catalog = CardCatalog.read(write("cards.json.gz", scryfall_json(records)))
    assert len(catalog) == 1
    assert catalog.find("Bolt", ("mid",)).rarity == "uncommon"  # type: ignore[union-attr]
    assert catalog.find("Bolt", ("nowhere", "old")).rarity == "common"  # type: ignore[union-attr]
    assert catalog.find("Bolt").rarity == "rare"  # type: ignore[union-attr]
    assert [card.set for card in catalog.preferred(("old",))] == ["old"]


def test_a_bare_entry_hides_no_printing_with_text(write: Write) -> None:
    bare = {"mana_cost": "", "oracle_text": "", "power": None, "toughness": None}
    records = [
        scryfall_record("Bear", set="full", released_at="1993-01-01"),
        scryfall_record("Bear", set="bare", rarity="rare", released_at="2026-01-01", **bare),
    ]
    catalog = CardCatalog.read(write("cards.json", scryfall_json(records)))
    assert catalog.find("Bear").set == "full"  # type: ignore[union-attr]
    completed = catalog.find("Bear", ("bare",))
    assert completed is not None
    assert (completed.set, completed.rarity, completed.oracle_text) == ("bare", "rare", "Trample")


@pytest.mark.parametrize(
    "name", ["Lim-Dûl the Necromancer", "lim-dul THE necromancer", "Lim-Dûl the Necromancer // X"]
)
def test_names_match_without_case_accents_and_back_faces(write: Write, name: str) -> None:
    path = write("cards.json", scryfall_json([scryfall_record("Lim-Dûl the Necromancer")]))
    assert CardCatalog.read(path).find(name) is not None


def test_tokens_are_no_cards(write: Write) -> None:
    records = [scryfall_record("Bear", layout="token"), scryfall_record("Elf")]
    catalog = CardCatalog.read(write("cards.json", scryfall_json(records)))
    assert catalog.find("Bear") is None
    assert len(catalog) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"does not start with '\['"),
        (b'{"object": "card"}\n', r"does not start with '\['"),
        (b"draft_id,pick\n", r"does not start with '\['"),
        (b'[\n{"object": "card", "name": "X"}\n]\n', "object 1: .*missing required field `set`"),
        (b'[\n{"object": "set", "name": "X", "set": "x"}\n]\n', "expected 'card'"),
        (b'[\n{"object": "card",\n', "object 1: the file is cut off in it"),
        (b'[{"object": "card", "name": "X', "object 1: the file is cut off in it"),
        (b'[\n{"object": "card", "name": X, "set": "x"}\n]', "object 1: JSON is malformed"),
        (b'["object"]', "object 1: it starts with b'\"', not '{'"),
        (CARD_X + CARD_X[1:], "object 1: b'{' follows it"),
        (scryfall_json([scryfall_record("X")])[:-2], "cut off"),
        (scryfall_json([scryfall_record("X")]) + b"more", "after the closing"),
        (b"[\n]\n", "no card"),
    ],
)
def test_other_files_are_refused(write: Write, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CardCatalog.read(write("cards.json", content))


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_any_layout_of_the_array(
    write: Write, monkeypatch: pytest.MonkeyPatch, indent: int | None, chunk: int
) -> None:
    """Indented or on one line, and texts full of what divides objects, cut anywhere."""
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    texts = ['}, {"', "\\", '"', "{{}", "a\n}\n,{", "]", "é"]
    records = [scryfall_record(f"Card {text}", oracle_text=text) for text in texts]
    path = write("cards.json", json.dumps(records, indent=indent).encode())
    assert [printing.oracle_text for printing in read_printings(path)] == texts


def test_two_objects_in_a_line(write: Write) -> None:
    cards = [json.dumps(scryfall_record(name)) for name in "ABC"]
    path = write("cards.json", f"[{cards[0]},{cards[1]},\n{cards[2]}]".encode())
    assert [printing.name for printing in read_printings(path)] == ["A", "B", "C"]


def test_an_object_without_end_is_not_held(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "OBJECT_MAX", 1000)
    monkeypatch.setattr(json_array, "CHUNK", 100)
    path = write("cards.json", b'[{"object": "card", "name": "' + b"x" * 5000)
    with pytest.raises(DataError, match="object 1: it is larger than"):
        list(read_printings(path))


def test_a_truncated_gzip_is_told(write: Write) -> None:
    packed = gzip.compress(scryfall_json([scryfall_record(f"Card {n}") for n in range(500)]))
    with pytest.raises(DataError, match="gzip ends early"):
        list(read_printings(write("cards.json", packed[: len(packed) // 2])))
