"""What rules text does, as flags: draws cards, destroys a creature, makes tokens, adds mana.

The flags are hints for the model, found with regular expressions in the text's normal form
(`text.normal_form`), where one space separates tokens, the card's own name is `~`, "." ends
sentences and "|" ends lines. They need not be exact; the bag of words stands beside them.
"""

from __future__ import annotations

import re

_GAP = "[^.|]{0,90}"
"""What `…` stands for in a pattern: words within a sentence. Bounded, because text comes from
clients and an unbounded gap would let hostile text take cubic time."""

_NUMBER = r"(?:an?|another|x|\d+|that many|any number of)"
_ADJECTIVES = r"(?:[^.,:|—\s]+ ){0,3}?"
_TARGET_CREATURE = rf"(?:up to \S+ )?(?:other )?target {_ADJECTIVES}(?:creature|permanent)"

_PATTERNS: dict[str, str] = {
    "adds mana": r" add (?:\{|an? |\S+ mana|x )",
    "any colour of mana": r" mana of any (?:1 )?(?:color|type)| mana in any combination",
    "searches for a land": rf" search your library for {_ADJECTIVES}(?:land|plains|forest|basic)",
    "land into play": r" put (?:it|that card|them|a \S*\s?land card \S+ \S+ \S+) onto the battle",
    "enters tapped": r" ~ enters tapped",
    "draws one": r" draws? a card",
    "draws more": r" draws? (?:\d+|x|that many|cards) ",
    "looter": r" draw \S+ cards? (?:, )?then discard| discard \S+ cards? \. if you do , draw",
    "looks at the top": r" (?:look at|reveal) the top ",
    "impulse": r" exile the top …\. [^|]{0,90}(?:play|cast) ",
    "scry or surveil": r" (?:scry|surveil) ",
    "makes tokens": rf" creates? {_NUMBER} …tokens? | put {_NUMBER} …tokens? ",
    "makes creature tokens": r" [\dx*]+/[\dx*]+ …creature tokens? ",
    "makes several tokens": r" creates? (?:\d+|x|that many) …tokens ",
    "destroys a creature": rf" destroys? {_TARGET_CREATURE}",
    "exiles a creature": rf" exiles? {_TARGET_CREATURE}",
    "destroys all": r" (?:destroy|exile)s? (?:all|each) | all creatures get -",
    "destroys artifact or enchantment": r" (?:destroy|exile) target …(?:artifact|enchantment)",
    "damage to creature": r" damage to (?:any target|(?:up to \S+ )?target …(?:creature|pl))",
    "damage to any target": r" damage to any target",
    "damage to players": r" damage to (?:target|each|that) (?:player|opponent)| damage to each ",
    "damage to all": r" damage to each (?:\S+ ){0,2}creature",
    "shrinks": r" gets? -(?:\d+|x)/-",
    "fights": r" fights? | deals damage equal to its power to ",
    "bounces": r" return (?:up to \S+ )?target … to its owners hand",
    "pacifies": r" cant attack(?: or block)?| doesnt untap during| cant block",
    "taps a creature": rf" tap (?:up to \S+ )?target {_ADJECTIVES}creature",
    "steals": r" gains? control of ",
    "counters a spell": r" counter (?:up to \S+ )?(?:target|that) …(?:spell|ability)",
    "discards": r" (?:opponent|player)s? …discards? ",
    "edict": r" (?:opponent|player)s? …sacrifices? ",
    "mills": r" mills? ",
    "drains": r" loses? (?:\d+|x|that much) life",
    "gains life": r" gains? (?:\d+|x|that much|life) ",
    "pays life": r" pay \S+ life| you lose \S+ life",
    "reanimates": r" return …from …graveyard[s]? to the battlefield",
    "regrows": r" return …from …graveyard[s]? to (?:your|their|its owners) hand",
    "graveyard": r" graveyard",
    "pumps target": r" target …creatures? …gets? \+",
    "pumps equipped": r" (?:equipped|enchanted) creature (?:gets \+|has )",
    "pumps team": r" creatures you control …(?:get \+|have |gain )",
    "pumps itself": r" ~ (?:gets \+|gains )",
    "+1/+1 counters": r" \+1/\+1 counter",
    "-1/-1 counters": r" -1/-1 counter",
    "other counters": r" (?!loyalty )[a-z]+ counters? (?:on|from) ",
    "anthem for types": r" other \S+ you control (?:get|have)",
    "grants flying": r" (?:gains?|has|have|with) …flying",
    "unblockable": r" cant be blocked",
    "protects": r" gains? …(?:hexproof|indestructible|protection)",
    "prevents damage": r" prevent ",
    "double strikes": r" double strike",
    "when it enters": r" when ~ enters",
    "when another enters": r" (?:when|whenever) (?!~)[^.|,]{0,90}enters?[ ,]",
    "when it dies": r" when ~ (?:or another \S+ )?dies| ~ is put into a graveyard",
    "when another dies": r" whenever (?!~)[^.|,]{0,90} dies?[ ,]",
    "when it attacks": r" whenever ~ attacks",
    "when it hits": r" whenever ~ deals combat damage",
    "when you cast": r" whenever you cast ",
    "each turn": r" at the beginning of ",
    "activated ability": r"[}\w] (?:, …)?: ",
    "tap ability": r" \{t\} (?:, …)?: ",
    "sacrifice cost": r" sacrifice [^.|:]{0,90}: ",
    "mana sink": r"\{[3-9]\}…: ",
    "modal": r" choose (?:1|one|2|up to|x|any number)",
    "instant speed": r" flash \||any time you could cast an instant",
    "additional cost": r" as an additional cost ",
    "cheaper": r" costs? (?:up to )?\{[^}]+\} less",
    "dearer": r" costs? \{[^}]+\} more",
    "drawback": r" sacrifice ~ (?:unless|at)| you sacrifice| attacks each (?:turn|combat) if able",
    "opponents": r" each opponent",
    "variable size": r" (?:power|toughness) (?:and toughness are each|is|are) equal to",
    "artifacts matter": r" artifacts? you control| artifact card| artifact spell",
    "enchantments matter": r" enchantments? you control| enchantment card| enchantment spell",
    "instants matter": r" instant (?:and|or) sorcery|noncreature spell",
    "lands matter": r" a land you control enters|landfall| lands you control",
    "cycles": r" \S*cycling ",
    "equips": r" equip ",
    "extra turn or combat": r" extra turn| additional combat",
    "copies": r" cop(?:y|ies) ",
    "wins": r" (?:win|lose)s? the game",
}

EFFECTS: tuple[str, ...] = tuple(_PATTERNS)
_COMPILED = tuple(re.compile(pattern.replace("…", _GAP)) for pattern in _PATTERNS.values())

_MANA_ADDED = re.compile(r" add ([^.|]*)")
_ANY_COLOUR = re.compile(r"any (?:1 )?color|any combination of colors")


def effects_of(normal: str) -> list[int]:
    """Indices into EFFECTS of what a text in normal form does."""
    return [index for index, pattern in enumerate(_COMPILED) if pattern.search(normal)]


def mana_produced(normal: str) -> frozenset[str]:
    """Colours (letters of WUBRG) and C that the text can add, as in "{T}: Add {G} or {W}"."""
    if " add " not in normal:
        return frozenset()
    colours: set[str] = set()
    for clause in _MANA_ADDED.findall(normal):
        if _ANY_COLOUR.search(clause):
            colours.update("WUBRG")
        for symbol in re.findall(r"\{([^}]*)\}", clause):
            colours.update(letter for letter in symbol.upper() if letter in "WUBRGC")
    return frozenset(colours)
