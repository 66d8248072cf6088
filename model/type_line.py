"""Type lines: supertypes, card types and subtypes of each face."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SUPERTYPES = ("basic", "legendary", "snow", "world", "token", "elite", "host", "ongoing")
CARD_TYPES = _words(
    """
    creature instant sorcery artifact enchantment land planeswalker battle kindred conspiracy
    dungeon phenomenon plane scheme vanguard stickers
    """
)
SUBTYPES = _words(
    """
    human warrior aura wizard soldier elf spirit cleric elemental equipment zombie rogue beast
    goblin knight shaman bird phyrexian vampire dragon druid cat merfolk horror scout hero insect
    artificer angel giant construct mutant noble dinosaur saga ally demon villain warlock eldrazi
    advisor vehicle lizard snake pirate shapeshifter dwarf faerie avatar wall berserker assassin
    golem dog spider robot monk ogre archer sliver wurm orc treefolk ninja minotaur rat citizen
    drake illusion wolf rebel plant arcane mercenary turtle god elephant nightmare kithkin kor
    detective sphinx frog skeleton werewolf centaur lesson vedalken bard samurai djinn drone fungus
    hydra ranger troll bear scientist rhino boar devil halfling ooze elder kavu fish horse sorcerer
    spellshaper serpent peasant dryad fox griffin pilot scarecrow bat performer alien octopus book
    barbarian crab imp forest mountain ape minion myr island plains swamp elk squirrel curse desert
    rabbit crocodile phoenix siege gargoyle cyclops satyr shade class unicorn gnome background mount
    ox spy incarnation nomad specter leviathan room efreet gorgon kraken homunculus moonfolk
    spacecraft thrull otter town food mouse raccoon gate archon thopter trap shrine adventure omen
    cave case clue survivor kirin egg glimmer treasure cartouche rune lair
    """
)
"""The most common subtypes; the others share hashed buckets."""

_OTHER_NAMES = {"tribal": "kindred", "summon": "creature", "eaturecray": "creature"}
_DASH = re.compile("[—–]|--| - ")
_IGNORED = str.maketrans("", "", "'’")


@dataclass(frozen=True, slots=True)
class FaceTypes:
    """One face's types in lower case. A word before the dash that is no known type is dropped."""

    supertypes: frozenset[str] = frozenset()
    card_types: frozenset[str] = frozenset()
    subtypes: frozenset[str] = frozenset()


def _face(text: str) -> FaceTypes:
    left, *right = _DASH.split(text, maxsplit=1)
    words = {_OTHER_NAMES.get(word, word) for word in left.split()}
    subtypes = right[0].split() if right else []
    return FaceTypes(
        supertypes=frozenset(words.intersection(SUPERTYPES)),
        card_types=frozenset(words.intersection(CARD_TYPES)),
        subtypes=frozenset(word for word in subtypes if word[0].isalpha()),
    )


@lru_cache(maxsize=8192)
def parse_type_line(text: str) -> tuple[FaceTypes, ...]:
    """The types of every face, front face first; never empty. Never fails: words are free."""
    return tuple(_face(face) for face in text.lower().translate(_IGNORED).split("//"))
