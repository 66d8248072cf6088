"""Magic's keywords: which a card has, read from its keyword list and from its rules text.

Keywords are matched as whole phrases, the longest first, so "Double strike" is never a kind of
"First strike" and "Partner with X" is not "Partner". Spelling follows the Comprehensive Rules
(702 abilities, 701 actions, 207.2c ability words) up to the sets of early 2026; letter case,
hyphens, apostrophes and exclamation marks do not matter ("Jump-start", "jump start").

Keywords of the *list* that are not known here, as a new set's are, go to a few hashed buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from model.text import COMMA, DASH, LINE_END, SENTENCE_END, stable_bucket, tokens_of


def _phrases(text: str) -> tuple[str, ...]:
    """The phrases between commas; a line break is a space."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


PLAIN_ABILITIES = _phrases(
    """
    aftermath, ascend, assist, banding, bargain, basic landwalk, battle cry, cascade, changeling,
    choose a background, cipher, commander storm, compleated, conspire, convoke, daybound,
    deathtouch, decayed, defender, delve, demonstrate, desertwalk, dethrone, devoid, doctor's
    companion, double agenda, double strike, double team, enlist, epic, evolve, exalted, exploit,
    extort, fear, first strike, flanking, flash, flying, for mirrodin!, forestwalk, friends
    forever, fuse, gravestorm, haste, haunt, hexproof, hidden agenda, horsemanship, improvise,
    increment, indestructible, infect, ingest, intimidate, islandwalk, job select, jump-start,
    landwalk, legendary landwalk, lifelink, living metal, living weapon, mayhem land, melee,
    menace, mentor, mountainwalk, myriad, nightbound, nonbasic landwalk, paradigm, partner,
    persist, phasing, plainswalk, protection from everything, provoke, prowess, ravenous, reach,
    read ahead, rebound, retrace, riot, shadow, shroud, skulk, snow landwalk, soulbond, space
    sculptor, split second, spree, start your engines!, storm, sunburst, swampwalk, tiered,
    training, trample, trample over planeswalkers, umbra armor, undaunted, undying, unleash,
    vigilance, wither
    """
)
"""Abilities that stand alone."""

PARAMETRISED_ABILITIES = _phrases(
    """
    absorb, affinity, afflict, afterlife, amplify, annihilator, artifact landcycling, augment, aura
    swap, awaken, backup, bands with other, basic landcycling, bestow, blitz, bloodthirst, boast,
    bushido, buyback, casualty, champion, cleave, commander ninjutsu, companion, craft, crew,
    cumulative upkeep, cycling, dash, devour, disguise, disturb, dredge, echo, embalm, emerge,
    enchant, encore, entwine, equip, escalate, escape, eternalize, evoke, exhaust, fabricate,
    fading, firebending, flashback, forecast, forestcycling, foretell, fortify, freerunning,
    frenzy, gift, graft, harmonize, hexproof from, hideaway, impending, infinity, islandcycling,
    kicker, landcycling, level up, madness, max speed, mayhem, megamorph, miracle, mobilize,
    modular, more than meets the eye, morph, mountaincycling, multikicker, mutate, ninjutsu,
    offering, offspring, outlast, overload, partner with, plainscycling, plot, poisonous, power-up,
    protection, prototype, prowl, rampage, reconfigure, recover, reinforce, renown, replicate,
    ripple, saddle, scavenge, slivercycling, sneak, solved, soulshift, specialize, spectacle,
    splice, squad, station, surge, suspend, swampcycling, teamwork, toxic, transfigure, transmute,
    tribute, typecycling, unearth, vanishing, visit, ward, warp, web-slinging, wizardcycling
    """
)
"""Abilities that take a cost, a number, a quality or a name: Ward {2}, Toxic 1, Affinity for…"""

ABILITY_WORDS = _phrases(
    """
    adamant, addendum, alliance, battalion, bloodrush, celebration, channel, chroma, cohort,
    constellation, converge, corrupted, council's dilemma, coven, delirium, descend 4, descend 8,
    disappear, domain, eerie, eminence, enrage, fateful hour, fathomless descent, ferocious,
    flurry, formidable, grandeur, hellbent, heroic, imprint, infusion, inspired, join forces,
    kinship, landfall, lieutenant, magecraft, metalcraft, morbid, opus, pack tactics, paradox,
    parley, radiance, raid, rally, renew, repartee, revolt, secret council, spell mastery, strive,
    survival, sweep, tempting offer, threshold, to solve, undergrowth, valiant, vivid, void, will
    of the council, will of the planeswalkers
    """
)
"""Words in italics before a dash, such as "Landfall —"."""

ACTIONS = _phrases(
    """
    abandon, adapt, airbend, amass, assemble, attach, become the monarch, behold, blight, bolster,
    boon, clash, cloak, collect evidence, conjure, connive, convert, destroy, detain, discard,
    discover, double, earthbend, endure, exchange, exert, exile, expend, explore, face a villainous
    choice, fateseal, fight, forage, goad, harness, heist, incubate, intensify, investigate, learn,
    manifest, manifest dread, meld, mill, monstrosity, open an attraction, perpetually, planeswalk,
    populate, proliferate, regenerate, reveal, roll to visit your attractions, sacrifice, scry,
    search, seek, set in motion, shuffle, spellbook, support, surveil, suspect, take the
    initiative, tap, the ring tempts you, time travel, transform, triple, untap, venture into the
    dungeon, vote, waterbend
    """
)
"""Actions are found anywhere in rules text, as whole words and in the third person too."""

LISTED_ACTIONS = _phrases("activate, cast, counter, create, play")
"""Actions read from keyword lists only: in text these words mean many things."""

TOKEN_KINDS = _phrases(
    "blood, clue, food, gold, junk, lander, map, mutagen, powerstone, role, treasure"
)
"""Predefined tokens, which Scryfall lists as keywords; in text only as "Food token"."""

KEYWORDS: tuple[str, ...] = (
    *PLAIN_ABILITIES,
    *PARAMETRISED_ABILITIES,
    *ABILITY_WORDS,
    *ACTIONS,
    *LISTED_ACTIONS,
    *TOKEN_KINDS,
)
"""All known keywords; the index is the keyword's slot."""

HASH_BUCKETS = 16

_OTHER_NAMES = {
    "role token": "role",
    "totem armor": "umbra armor",
    "the monarch": "become the monarch",
    "the initiative": "take the initiative",
    "umbra armour": "umbra armor",
}

_NOT_KEYWORDS = frozenset(
    " ".join(tokens_of(name))
    for name in _phrases(
        """
        activate as sorcery activated, as enters battlefield, attacks triggered,
        becomes target any triggered, beginning of combat triggered, beginning of upkeep triggered,
        can attack only alone, cant attack or block alone, cant be blocked source, class level,
        class reminder, combat damage dealt to you triggered, cycle triggered, daunt,
        deals combat damage to aplayer triggered, deals damage to aplayer attached triggered,
        dies attached triggered, dies creature triggered, enters battlefield triggered, leyline,
        kicker with any number modes, loyalty, simple activated, simple static, station level
        """
    )
)
"""Names of XMage's ability classes, which its keyword lists contain but no other source knows."""

Phrase = tuple[str, ...]


def _key(text: str) -> Phrase:
    return tuple(token for token in tokens_of(text) if token != SENTENCE_END)


def _third_person(phrase: Phrase) -> Phrase:
    verb = phrase[0]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "es" if verb.endswith(("s", "sh", "ch", "x")) else "s"
    return (verb, *phrase[1:])


def _by_first_word(phrases: Mapping[Phrase, int]) -> dict[str, list[tuple[Phrase, int]]]:
    table: dict[str, list[tuple[Phrase, int]]] = {}
    for phrase, slot in sorted(phrases.items(), key=lambda item: -len(item[0])):
        table.setdefault(phrase[0], []).append((phrase, slot))
    return table


_SLOT: dict[Phrase, int] = {_key(keyword): slot for slot, keyword in enumerate(KEYWORDS)}
_SLOT |= {_key(other): _SLOT[_key(keyword)] for other, keyword in _OTHER_NAMES.items()}

_ABILITY_SLOTS = {
    _key(keyword): _SLOT[_key(keyword)] for keyword in (*PLAIN_ABILITIES, *PARAMETRISED_ABILITIES)
}
_ABILITY_WORD_SLOTS = {_key(keyword): _SLOT[_key(keyword)] for keyword in ABILITY_WORDS}
_ACTION_SLOTS = {_key(keyword): _SLOT[_key(keyword)] for keyword in ACTIONS}
_ACTION_SLOTS |= {_third_person(phrase): slot for phrase, slot in _ACTION_SLOTS.items()}
_ACTION_SLOTS |= {
    (*_key(kind), noun): _SLOT[_key(kind)] for kind in TOKEN_KINDS for noun in ("token", "tokens")
}

_NO_SLOT = -1
_IN_TEXT = _by_first_word(
    # Abilities are consumed, not reported: "gains double strike" gives no one the action "double".
    {phrase: _NO_SLOT for phrase in (*_ABILITY_SLOTS, *_ABILITY_WORD_SLOTS)} | _ACTION_SLOTS
)
_BY_FIRST_WORD = _by_first_word(_SLOT)
_TAKES_PARAMETER = frozenset(
    [*(_SLOT[_key(keyword)] for keyword in PARAMETRISED_ABILITIES), *_ACTION_SLOTS.values()]
)
_TAKES_ANY_WORDS = frozenset(
    _SLOT[_key(keyword)]
    for keyword in ("champion", "enchant", "equip", "gift", "hexproof from", "partner with")
)
_PARAMETER_WORDS = frozenset(f"x {DASH} a an for from into n of onto over with".split())

_LANDCYCLING = _SLOT[("landcycling",)]
_OFFERING = _SLOT[("offering",)]
_LANDWALK = _SLOT[("landwalk",)]
_TYPECYCLING = _SLOT[("typecycling",)]
_PARTNER = _SLOT[("partner",)]


def _is_parameter(slot: int, rest: Phrase) -> bool:
    """Whether `rest` may follow the keyword: a cost, number, quality; not the rest of a name."""
    first = rest[0]
    if slot == _PARTNER:  # "Partner—Survivors"; a name follows only "Partner with"
        return first == DASH
    if slot not in _TAKES_PARAMETER:
        return False
    return (
        slot in _TAKES_ANY_WORDS
        or first in _PARAMETER_WORDS
        or first[0] in "{+-*"
        or first[0].isdigit()
    )


def _ability_slot(phrase: Phrase) -> int | None:
    """The slot of one keyword with or without its parameter."""
    exact = _SLOT.get(phrase)
    if exact is not None:
        return exact
    for known, slot in _BY_FIRST_WORD.get(phrase[0], ()):
        size = len(known)
        if phrase[:size] == known and len(phrase) > size and _is_parameter(slot, phrase[size:]):
            return slot
    # Any type can be cycled for or walked on: "Sharkcycling {1}", "Snow forestwalk".
    for size in (1, 2):
        word = phrase[size - 1] if len(phrase) >= size else ""
        bare = len(phrase) == size
        if size == 2 and word == "landcycling":
            return _LANDCYCLING
        if size == 2 and word == "offering" and bare:
            return _OFFERING
        if word.endswith("cycling") and len(word) > 7 and (bare or phrase[size][0] in "{—"):
            return _TYPECYCLING
        if word.endswith("walk") and len(word) > 4 and bare and word != "planeswalk":
            return _LANDWALK
    return None


@lru_cache(maxsize=4096)
def keyword_slot(keyword: str) -> int | None:
    """The slot in KEYWORDS of a keyword as a list has it ("Ward {2}"); None if it is unknown."""
    phrase = _key(keyword)
    return _ability_slot(phrase) if phrase else None


@lru_cache(maxsize=4096)
def _listed(keyword: str) -> tuple[frozenset[int], frozenset[int]]:
    slot = keyword_slot(keyword)
    if slot is not None:
        return frozenset({slot}), frozenset()
    phrase = " ".join(_key(keyword))
    if not phrase or phrase in _NOT_KEYWORDS:
        return frozenset(), frozenset()
    if "," in keyword:  # several keywords in one string
        parts = [_listed(part) for part in keyword.split(",")]
        return (
            frozenset().union(*(slots for slots, _ in parts)),
            frozenset().union(*(buckets for _, buckets in parts)),
        )
    return frozenset(), frozenset({stable_bucket(phrase, HASH_BUCKETS)})


def listed_keywords(keywords: Iterable[str]) -> tuple[frozenset[int], frozenset[int]]:
    """Slots of the known keywords of a card's keyword list, hash buckets of the unknown ones."""
    slots: frozenset[int] = frozenset()
    buckets: frozenset[int] = frozenset()
    for keyword in keywords:
        more_slots, more_buckets = _listed(keyword)
        slots |= more_slots
        buckets |= more_buckets
    return slots, buckets


def _line_slots(tokens: list[str]) -> set[int]:
    """Abilities of one line, if it is a line of keywords or starts with one and a dash."""
    if not tokens:
        return set()
    if DASH in tokens[1:8]:
        head = tuple(tokens[: tokens.index(DASH, 1)])
        word = _ABILITY_WORD_SLOTS.get(head)
        if word is not None:
            return {word}
        slot = _ability_slot((*head, DASH))
        return {slot} if slot is not None else set()
    ability_slot: Callable[[Phrase], int | None] = _ability_slot
    if tokens[-1] == SENTENCE_END:
        # Some sources end lines of keywords with a full stop; then each must stand alone, as
        # "Equip abilities you activate cost {1} less." is no keyword.
        tokens = tokens[:-1]
        ability_slot = _ABILITY_SLOTS.get
    if SENTENCE_END in tokens:
        return set()
    slots: set[int] = set()
    piece: list[str] = []
    for token in (*tokens, COMMA):
        if token != COMMA:
            piece.append(token)
            continue
        slot = ability_slot(tuple(piece)) if piece else None
        if slot is None and not slots:
            return set()  # not a line of keywords
        if slot is not None:
            slots.add(slot)
        piece = []
    return slots


def text_keywords(normal: str) -> set[int]:
    """Slots of the keywords that rules text in normal form (`text.normal_form`) shows.

    Abilities and ability words count where the card has them: on lines of keywords or before a
    dash. Actions count anywhere.
    """
    slots: set[int] = set()
    tokens = normal.split()
    start = 0
    for position, token in enumerate((*tokens, LINE_END)):
        if token == LINE_END:
            slots |= _line_slots(tokens[start:position])
            start = position + 1
    table = _IN_TEXT
    position = 0
    while position < len(tokens):
        step = 1
        for phrase, slot in table.get(tokens[position], ()):
            size = len(phrase)
            if size == 1 or tuple(tokens[position : position + size]) == phrase:
                if slot != _NO_SLOT:
                    slots.add(slot)
                step = size
                break
        position += step
    return slots
