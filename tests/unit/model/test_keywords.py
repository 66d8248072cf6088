"""Keywords: each sets its own slot and no other, however it is written."""

from __future__ import annotations

import pytest

from model.keywords import (
    ABILITY_WORDS,
    ACTIONS,
    HASH_BUCKETS,
    KEYWORDS,
    PARAMETRISED_ABILITIES,
    PLAIN_ABILITIES,
    keyword_slot,
    listed_keywords,
    text_keywords,
)
from model.text import normal_form


def names(slots: set[int] | frozenset[int]) -> set[str]:
    return {KEYWORDS[slot] for slot in slots}


def in_text(text: str) -> set[str]:
    return names(text_keywords(normal_form(text)))


def test_no_keyword_is_listed_twice() -> None:
    assert len(set(KEYWORDS)) == len(KEYWORDS)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_listed_keyword_sets_its_own_slot_and_no_other(keyword: str) -> None:
    for written in (keyword, keyword.upper(), keyword.title(), keyword.replace("-", " ")):
        assert listed_keywords([written]) == ({KEYWORDS.index(keyword)}, frozenset()), written


@pytest.mark.parametrize("keyword", [*PLAIN_ABILITIES, *PARAMETRISED_ABILITIES])
def test_an_ability_on_its_own_line_sets_its_own_slot_and_no_other(keyword: str) -> None:
    line = keyword.capitalize()
    assert in_text(line) == {keyword}
    assert in_text(f"At the beginning of your upkeep, you lose 1 life.\n{line}") == {keyword}


@pytest.mark.parametrize("keyword", PARAMETRISED_ABILITIES)
def test_an_ability_with_a_parameter_is_the_same_ability(keyword: str) -> None:
    for parameter in (" {2}", " 3", "—Pay 3 life."):
        assert names(listed_keywords([keyword + parameter])[0]) == {keyword}
        assert in_text(keyword.capitalize() + parameter) == {keyword}


@pytest.mark.parametrize("keyword", ABILITY_WORDS)
def test_an_ability_word_counts_before_a_dash(keyword: str) -> None:
    for dash in (" — ", "—", " – ", " -- ", " - "):
        line = f"{keyword.capitalize()}{dash}Whenever a player draws a card, you lose 1 life."
        assert in_text(line) == {keyword}, line


@pytest.mark.parametrize("keyword", ACTIONS)
def test_an_action_counts_within_a_sentence(keyword: str) -> None:
    assert in_text(f"At the beginning of your end step, {keyword}.") == {keyword}


@pytest.mark.parametrize(
    ("keyword", "known"),
    [
        ("Double strike", "double strike"),
        ("First strike", "first strike"),
        ("Ward {2}", "ward"),
        ("Ward—Discard a card.", "ward"),
        ("Cycling {1}", "cycling"),
        ("Basic landcycling {1}{G}", "basic landcycling"),
        ("Mountaincycling {2}", "mountaincycling"),
        ("Artifact landcycling {2}", "artifact landcycling"),
        ("Sharkcycling {2}", "typecycling"),
        ("Snow landcycling {2}", "landcycling"),
        ("Protection from red", "protection"),
        ("Protection from everything", "protection from everything"),
        ("Toxic 1", "toxic"),
        ("Equip {2}", "equip"),
        ("Equip legendary creature {3}", "equip"),
        ("Partner", "partner"),
        ("Partner—Survivors", "partner"),
        ("Partner with Pir, Imaginative Rascal", "partner with"),
        ("Choose a Background", "choose a background"),
        ("Doctor's companion", "doctor's companion"),
        ("Doctors companion", "doctor's companion"),
        ("Jump start", "jump-start"),
        ("Start your engines!", "start your engines!"),
        ("Totem armor", "umbra armor"),
        ("Affinity for artifacts", "affinity"),
        ("Snow swampwalk", "landwalk"),
        ("Gravewalk", "landwalk"),
        ("Snake offering", "offering"),
        ("Hexproof", "hexproof"),
        ("Hexproof from black", "hexproof from"),
        ("Commander ninjutsu {U}{B}", "commander ninjutsu"),
        ("Scry 2", "scry"),
        ("Manifest dread", "manifest dread"),
        ("Level up {1}", "level up"),
        ("Living weapon", "living weapon"),
        ("Splice onto Arcane {1}{R}", "splice"),
        ("Suspend 4—{U}", "suspend"),
    ],
)
def test_real_spellings(keyword: str, known: str) -> None:
    assert names(listed_keywords([keyword])[0]) == {known}


@pytest.mark.parametrize(
    "keyword", ["Flying carpet", "First", "Strike", "Double", "Living", "Ward off evil", "Walk"]
)
def test_a_keyword_is_never_matched_by_its_first_word_alone(keyword: str) -> None:
    slots = names(listed_keywords([keyword])[0])
    assert slots <= {"double"}  # the one that is a keyword itself
    assert slots == ({"double"} if keyword == "Double" else set())


def test_unknown_keywords_go_to_a_bucket_that_spelling_does_not_change() -> None:
    slots, buckets = listed_keywords(["Zorbify-dance 3"])
    assert not slots
    assert len(buckets) == 1
    assert buckets <= set(range(HASH_BUCKETS))
    assert listed_keywords(["zorbify dance 3"]) == (slots, buckets)
    assert listed_keywords(["Flying", "Zorbify-dance 3"]) == ({KEYWORDS.index("flying")}, buckets)


def test_names_of_parser_classes_are_no_keywords() -> None:
    assert listed_keywords(["Simple static", "Attacks triggered", "!!!"]) == (set(), set())


def test_several_keywords_in_one_string_are_split() -> None:
    assert names(listed_keywords(["Flying, first strike"])[0]) == {"flying", "first strike"}


def test_keyword_slot_of_an_unknown_word_is_none() -> None:
    assert keyword_slot("Zorbify") is None
    assert keyword_slot("") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Flying, first strike, vigilance", {"flying", "first strike", "vigilance"}),
        ("First strike; banding", {"first strike", "banding"}),
        ("Flying\nvigilance", {"flying", "vigilance"}),
        ("Flying, protection from red and from blue", {"flying", "protection"}),
        ("Flying (It can't be blocked except by flyers.)", {"flying"}),
        ("Indestructible.", {"indestructible"}),
        ("Kicker {2}{B} and/or {1}{R}", {"kicker"}),
        ("Ward—Sacrifice a permanent.", {"ward", "sacrifice"}),
        ("Enchant creature you control", {"enchant"}),
        ("Landfall — Whenever a land enters, scry 1.", {"landfall", "scry"}),
        ("Target player mills three cards.", {"mill"}),
        ("Create a Food token.", {"food"}),
        ("Create two tapped Treasure tokens.", {"treasure"}),
    ],
)
def test_keywords_of_real_lines(text: str, expected: set[str]) -> None:
    assert in_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Target creature gains double strike until end of turn.",
        "Creatures you control have flying and first strike.",
        "Creatures with flying can't block.",
        "Equip abilities you activate cost {1} less to activate.",
        "Enchanted creature can't attack.",
        "Put a +1/+1 counter on it.",
        "Blood loss",
        "",
    ],
)
def test_what_a_card_grants_or_mentions_is_not_its_own_keyword(text: str) -> None:
    assert in_text(text) == set()
