"""Card features: right for known cards, bounded for any card, the same in every process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attributes import LIMIT, NAMES, RARITIES, parse_stat
from model.cards import STAT_PATTERN, TEXT_MAX, Card, Rarity
from model.effects import EFFECTS
from model.features import (
    FEATURE_SCHEMA_VERSION,
    STRUCTURAL_DIM,
    CardEncoderConfig,
    CardFeatureExtractor,
    has_attributes,
    schema_hash,
)
from model.mana import MANA_COST_PATTERN
from model.text import TEXT_PARAMETERS
from model.type_line import CARD_TYPES, SUBTYPES, SUPERTYPES, parse_type_line

ROOT = Path(__file__).parents[3]
SMALL = CardFeatureExtractor(CardEncoderConfig(text_bins=64))


def features(**fields: object) -> dict[str, float]:
    """The features of a card that are not 0, by name."""
    row = SMALL.extract({"name": "Test card", **fields})
    return {SMALL.feature_names[i]: float(row[i]) for i in np.flatnonzero(row)}


def group(found: dict[str, float], name: str) -> dict[str, float]:
    return {key.split("=", 1)[1]: v for key, v in found.items() if key.split("=", 1)[0] == name}


# --- costs and colours ---------------------------------------------------------------------


def test_a_cost_becomes_value_pips_colours_and_pair() -> None:
    found = features(mana_cost="{2}{W}{U}{U}")
    assert group(found, "mana value") == {"scaled": 1.25, "5": 1.0}
    assert group(found, "pips") == {"W": 0.5, "U": 1.0}
    assert group(found, "colour") == {"W": 1.0, "U": 1.0}
    assert group(found, "colour pair") == {"WU": 1.0}
    assert group(found, "colours")["two"] == 1.0
    assert "missing=cost" not in found


@pytest.mark.parametrize(
    ("cost", "name"),
    [
        ("{W/U}", "hybrid=W"),
        ("{2/R}", "twobrid=R"),
        ("{G/P}", "phyrexian=G"),
        ("{X}{R}", "cost=x"),
        ("{C}", "cost=colourless"),
        ("{S}", "cost=snow"),
        ("{3}", "cost=generic"),
        ("{1}{R} // {2}{U}", "second face=cost"),
        ("{1}{R} // {2}{U}", "second face=U"),
        ("{0}", "mana value=0"),
        ("{9}", "mana value=7"),
        ("{W}{U}{B}", "colours=three or more"),
        ("{3}", "colours=none"),
    ],
)
def test_every_kind_of_symbol_reaches_the_features(cost: str, name: str) -> None:
    assert name in features(mana_cost=cost)
    assert name not in features(mana_cost="{B}{B}{B}{B}")


def test_a_card_without_cost_is_not_a_card_that_costs_nothing() -> None:
    assert "mana value=0" in features(mana_cost="{0}")
    assert "mana value=0" not in features(mana_cost="")


def test_a_land_has_no_colour_but_produces_mana() -> None:
    found = features(type="Land", oracle_text="{T}: Add {G} or {W}.")
    assert group(found, "colour") == {}
    assert set(group(found, "mana produced")) == {"G", "W", "number"}
    anything = features(type="Land", oracle_text="{T}: Add one mana of any color.")
    assert set(group(anything, "mana produced")) == {*"WUBRG", "number"}
    assert set(group(features(oracle_text="{T}: Add {C}{C}."), "mana produced")) == {"C", "number"}


# --- types ---------------------------------------------------------------------------------


def test_a_type_line_becomes_supertypes_types_and_subtypes() -> None:
    found = features(type="Legendary Artifact Creature — Human Wizard Zorb")
    assert set(group(found, "supertype")) == {"legendary"}
    assert set(group(found, "card type")) == {"artifact", "creature", "permanent"}
    subtypes = group(found, "subtype")
    assert {"human", "wizard", "number"} < set(subtypes)
    assert [key for key in subtypes if key.startswith("bucket")] != []


@pytest.mark.parametrize("dash", [" — ", " – ", " - ", " -- ", "—"])
def test_any_dash_parts_types_from_subtypes(dash: str) -> None:
    (face,) = parse_type_line(f"Creature{dash}Elf")
    assert (face.card_types, face.subtypes) == ({"creature"}, {"elf"})


@pytest.mark.parametrize("word", [*SUPERTYPES, *CARD_TYPES, *SUBTYPES])
def test_each_known_type_word_sets_its_own_feature(word: str) -> None:
    kind = "supertype" if word in SUPERTYPES else "card type" if word in CARD_TYPES else "subtype"
    line = f"Creature — {word.title()}" if kind == "subtype" else word.title()
    others = {"permanent", "number", "none known"}
    assert set(group(features(type=line), kind)) - others == {word}


def test_the_back_face_has_flags_of_its_own() -> None:
    found = features(type="Sorcery // Land", mana_cost="{2}{G} // ", name="A // B")
    assert set(group(found, "card type")) == {"sorcery"}
    assert set(group(found, "second face")) == {"any", "land"}
    assert "second face=any" in features(oracle_text="Draw a card.\n//\nScry 1.")
    assert group(features(type="Sorcery"), "second face") == {}


# --- size and rarity -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number", "variable"),
    [
        (None, None, False),
        (3, 3, False),
        (1.5, 1.5, False),
        (-1, -1, False),
        ("3", 3, False),
        ("-1", -1, False),
        ("*", 0, True),
        ("1+*", 1, True),
        ("7-*", 7, True),
        ("*²", 0, True),
        ("X", 0, True),
        ("?", 0, True),
        ("∞", 0, True),
        ("½", 0.5, False),
        ("2½", 2.5, False),
        ("1.5", 1.5, False),
        (float("nan"), 0, True),
        (float("inf"), 0, True),
    ],
)
def test_power_toughness_and_loyalty_are_read_as_printed(
    value: float | str | None, number: float | None, variable: bool
) -> None:
    assert parse_stat(value) == (number, variable)


def test_size_is_scaled_and_compared_with_the_cost() -> None:
    found = features(mana_cost="{1}{G}", power=3, toughness="2")
    assert group(found, "power") == {"scaled": 0.75, "3": 1.0}
    assert group(found, "toughness") == {"scaled": 0.5, "2": 1.0}
    assert group(found, "size") == {
        "power per mana": 1.0,
        "toughness per mana": pytest.approx(2 / 3),
        "sum less cost": 0.25,
        "power less toughness": 0.25,
    }


def test_missing_and_variable_sizes_are_told_apart() -> None:
    assert group(features(), "power") == {"missing": 1.0}
    assert group(features(power="*", toughness="*"), "power") == {"variable": 1.0, "0": 1.0}
    text = "Test card's power and toughness are each equal to the number of lands you control."
    zero = features(power=0, toughness=0, oracle_text=text)  # sources that write * as 0
    assert group(zero, "power") == {"variable": 1.0, "0": 1.0}
    assert group(features(power=0, toughness=1), "power") == {"0": 1.0}


@pytest.mark.parametrize("rarity", [*RARITIES, None])
def test_each_rarity_has_a_feature(rarity: str | None) -> None:
    assert set(group(features(rarity=rarity), "rarity")) - {"rank"} == {rarity or "unknown"}


def test_every_rarity_of_the_schema_is_known() -> None:
    assert set(get_args(Rarity)) == set(RARITIES)


# --- keywords, text, missing attributes ----------------------------------------------------


def test_keywords_come_from_the_list_and_from_the_text() -> None:
    found = features(keywords=["Double strike", "Ward {2}"], oracle_text="Flying\nDraw a card.")
    assert set(group(found, "keyword")) == {"double strike", "ward", "flying"}


def test_an_unknown_keyword_is_not_lost() -> None:
    (bucket,) = group(features(keywords=["Zorbify"]), "keyword")
    assert bucket.startswith("bucket")


def test_a_card_named_like_a_keyword_keeps_its_text() -> None:
    text = "Enchanted creature has vigilance."
    named = SMALL.extract(Card(name="Vigilance", oracle_text=text))
    other = SMALL.extract(Card(name="Pacifism", oracle_text=text))
    np.testing.assert_array_equal(named, other)


def test_a_cards_own_name_does_not_matter() -> None:
    one = Card(name="Llanowar Seer", oracle_text="When Llanowar Seer enters, draw a card.")
    other = Card(name="Elvish Sage", oracle_text="When this creature enters, draw a card.")
    np.testing.assert_array_equal(SMALL.extract(one), SMALL.extract(other))


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("Destroy target creature.", "destroys a creature"),
        ("Destroy target tapped creature.", "destroys a creature"),
        ("Exile target nonland permanent.", "exiles a creature"),
        ("Destroy all creatures.", "destroys all"),
        ("Bolt deals 3 damage to any target.", "damage to creature"),
        ("It deals 2 damage to each opponent.", "damage to players"),
        ("Target creature gets -3/-3 until end of turn.", "shrinks"),
        ("Draw a card.", "draws one"),
        ("Draw three cards.", "draws more"),
        ("Create two 1/1 white Soldier creature tokens.", "makes several tokens"),
        ("Create a 2/2 black Zombie creature token.", "makes creature tokens"),
        ("Put a +1/+1 counter on target creature.", "+1/+1 counters"),
        ("When this creature enters, scry 1.", "when it enters"),
        ("When Test card enters the battlefield, you gain 3 life.", "when it enters"),
        ("Whenever another creature enters, you gain 1 life.", "when another enters"),
        ("When this creature dies, draw a card.", "when it dies"),
        ("Whenever this creature attacks, it gets +1/+0.", "when it attacks"),
        ("Counter target spell.", "counters a spell"),
        ("Return target creature to its owner's hand.", "bounces"),
        ("Return target creature card from your graveyard to the battlefield.", "reanimates"),
        ("Return target creature card from your graveyard to your hand.", "regrows"),
        ("Gain control of target creature.", "steals"),
        ("{T}: Add {G}.", "adds mana"),
        ("{T}: Add one mana of any color.", "any colour of mana"),
        ("Search your library for a basic land card.", "searches for a land"),
        ("You gain 3 life.", "gains life"),
        ("Each opponent loses 1 life.", "drains"),
        ("Target opponent discards a card.", "discards"),
        ("Enchanted creature gets +2/+2.", "pumps equipped"),
        ("Creatures you control get +1/+1.", "pumps team"),
        ("Test card can't be blocked.", "unblockable"),
        ("Test card enters tapped.", "enters tapped"),
        ("Choose one —", "modal"),
        ("This creature fights target creature.", "fights"),
    ],
)
def test_what_the_text_does_is_flagged(text: str, effect: str) -> None:
    assert effect in EFFECTS
    assert effect in group(features(oracle_text=text), "effect")
    assert effect not in group(features(oracle_text="Vanilla words of flavour."), "effect")


def test_a_bare_name_is_all_missing() -> None:
    assert set(group(features(), "missing")) == {"cost", "type", "text", "keywords", "all"}
    assert not any(name.startswith(("word=", "pair=")) for name in features())


@pytest.mark.parametrize(
    "fields",
    [
        {"mana_cost": "{W}"},
        {"type": "Land"},
        {"power": 0},
        {"toughness": "*"},
        {"loyalty": 3},
        {"keywords": ("Flying",)},
        {"oracle_text": "Draw a card."},
    ],
)
def test_any_attribute_counts_as_one(fields: dict[str, object]) -> None:
    assert has_attributes(msgspec.convert({"name": "A", **fields}, Card))


def test_a_name_with_set_and_rarity_has_no_attributes() -> None:
    assert not has_attributes(Card(name="A", set="sos", rarity="rare", type=" ", oracle_text="\n"))


# --- any card ------------------------------------------------------------------------------

_text = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [
                *("Flying", "first strike", "Ward {2}", "{T}: Add {G}", "destroy target creature"),
                *("+1/+1 counter", "create a token", "~", "//", ", ", ".", "\n", "(", ")", "—"),
            ]
        ),
        max_size=30,
    ).map(" ".join),
)
_stat = st.one_of(
    st.none(),
    st.integers(-99, 999),
    st.floats(-99, 999),
    st.from_regex(STAT_PATTERN, fullmatch=True).filter(lambda text: len(text) <= 8),
)
_cards = st.builds(
    Card,
    name=st.text(min_size=1, max_size=40),
    mana_cost=st.from_regex(MANA_COST_PATTERN, fullmatch=True).filter(lambda s: len(s) <= 100),
    type=_text.map(lambda text: text[:200]),
    power=_stat,
    toughness=_stat,
    loyalty=_stat,
    keywords=st.lists(_text.filter(bool).map(lambda text: text[:100]), max_size=4).map(tuple),
    rarity=st.sampled_from([*get_args(Rarity), None]),
    oracle_text=_text,
)


@given(_cards)
@settings(deadline=None)
def test_features_of_any_card_are_finite_and_bounded(card: Card) -> None:
    row = SMALL.extract(card)
    assert row.dtype == np.float32
    assert row.shape == (SMALL.config.input_dim,)
    assert np.isfinite(row).all()
    assert np.abs(row).max() <= LIMIT


@given(st.lists(_cards, max_size=3))
@settings(deadline=None, max_examples=30)
def test_many_cards_are_each_card_in_order(cards: list[Card]) -> None:
    rows = SMALL.extract_many(cards)
    assert rows.shape == (len(cards), SMALL.config.input_dim)
    for card, row in zip(cards, rows, strict=True):
        np.testing.assert_array_equal(SMALL.extract(card), row)


@pytest.mark.parametrize(
    "unit",
    [
        *(" return from", " create a", " target a creature", " whenever it", "x*", "(", "a(", "{a"),
        *("{t} , ", "x , a", " Flying,", " Kicker {1},", "1/1 ", "search your library for a a "),
        *("damage to target", "sacrifice ", "{3}", " discard a card", "—", "\n", "add {"),
    ],
)
def test_hostile_text_costs_no_more_than_milliseconds(unit: str) -> None:
    card = Card(name="x", oracle_text=(unit * TEXT_MAX)[:TEXT_MAX], type=(unit * 200)[:200])
    began = time.process_time()
    SMALL.extract(card)
    assert time.process_time() - began < 0.5  # an unbounded pattern takes seconds


def test_mappings_are_validated_like_requests() -> None:
    card = Card(name="A", power=1, keywords=("Flying",))
    np.testing.assert_array_equal(
        SMALL.extract({"name": "A", "power": 1, "keywords": ["Flying"]}), SMALL.extract(card)
    )
    with pytest.raises(msgspec.ValidationError, match=r"\$\.mana_cost"):
        SMALL.extract({"name": "A", "mana_cost": "{Q}"})
    with pytest.raises(msgspec.ValidationError, match="colour"):
        SMALL.extract({"name": "A", "colour": "W"})


# --- schema --------------------------------------------------------------------------------


def test_names_are_unique_and_as_many_as_the_features() -> None:
    for bins in (2, 3, 64, 2048):
        extractor = CardFeatureExtractor(CardEncoderConfig(text_bins=bins))
        names = extractor.feature_names
        assert len(names) == len(set(names)) == extractor.config.input_dim == STRUCTURAL_DIM + bins
        assert names[:STRUCTURAL_DIM] == NAMES


def test_the_schema_hash_depends_on_version_names_order_and_text_parameters() -> None:
    hashes = {
        schema_hash(version, names, text)
        for version in (1, 2)
        for names in (["a", "b"], ["b", "a"], ["a", "c"], ["a", "b", "c"], ["ab"])
        for text in ("one", "two")
    }
    assert len(hashes) == 2 * 5 * 2


def test_the_extractors_hash_is_that_of_its_schema() -> None:
    expected = schema_hash(FEATURE_SCHEMA_VERSION, SMALL.feature_names, TEXT_PARAMETERS)
    assert SMALL.schema_hash == expected
    assert CardFeatureExtractor().schema_hash != expected  # other text bins
    assert CardFeatureExtractor(CardEncoderConfig(64, 8, 8, 0.0)).schema_hash == expected


def test_features_and_hash_are_the_same_in_every_process() -> None:
    code = (
        "import zlib\n"
        "from model.cards import Card\n"
        "from model.features import CardFeatureExtractor\n"
        "extractor = CardFeatureExtractor()\n"
        "card = Card('A', '{1}{W}', 'Creature — Zorb', 1, 2, keywords=('Zorbify', 'Flying'),"
        " oracle_text='Vigilance, reach. Draw two cards.')\n"
        "print(extractor.schema_hash, zlib.crc32(extractor.extract(card).tobytes()))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().split()[0] == CardFeatureExtractor().schema_hash


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_bins": 1}, "text_bins must be a whole number from 2"),
        ({"text_bins": 64.0}, "text_bins"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"card_dim": True}, "card_dim"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"dropout": float("nan")}, "dropout"),
        ({"dropout": "0.1"}, "dropout"),
    ],
)
def test_a_bad_configuration_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CardEncoderConfig(**fields)  # type: ignore[arg-type]
