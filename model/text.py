"""Rules text as numbers: a normal form shared by all text features, and a hashed bag of words.

The normal form hides differences of print that mean nothing in a game: a card's own name, "this
creature" and `{this}` become one token `~`; reminder text goes; "enters the battlefield" and the
newer "enters" agree, as do "two" and "2", `{tap}` and `{T}`. Cards printed decades apart, and
sources that write rules text differently, so share features.

The hash is CRC-32: the same in every process, unlike Python's `hash`.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SELF, COMMA, DASH, SENTENCE_END, LINE_END = "~", ",", "—", ".", "|"
_BREAKS = frozenset({COMMA, SENTENCE_END, LINE_END})

TEXT_SCALE = 3.0
"""Length of each half of the text vector, so that single words weigh about as much as flags."""
TEXT_PARAMETERS = f"crc32,words+pairs,log1p,l2*{TEXT_SCALE:g},normal-form=1"
"""Goes into the schema hash: change it with anything below that changes a text feature."""

_REMINDER = re.compile(r"\([^()]*\)")
_TOKEN = re.compile(
    r"\{[^{}\s]{1,12}\}"  # a symbol
    r"|[-+]?[\dx*]{1,4}/[-+]?[\dx*]{1,4}(?![\w/])"  # +1/+1, 2/2, -x/-x
    r"|[-+]?\d+"  # loyalty costs and plain numbers
    r"|[^\W\d_]+"  # a word
    r"|~s(?!\w)|\n//\n|\n|[.,;:—–~•]|--| - |//"
)
_TOKEN_FORMS = {
    "\n": LINE_END,
    "\n//\n": LINE_END,
    "//": LINE_END,
    ";": COMMA,
    "–": DASH,
    "--": DASH,
    " - ": DASH,
    "{tap}": "{t}",
    "{untap}": "{q}",
    "{snow}": "{s}",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_SELF_NOUNS = (
    *("creature", "permanent", "artifact", "enchantment", "land", "vehicle", "equipment"),
    *("aura", "spell", "card", "saga", "planeswalker", "battle"),
)
_SELF_PHRASES = tuple(
    (f" this {noun}{s} ", f" {SELF}{s} ") for noun in _SELF_NOUNS for s in ("", "s")
)
_PHRASES = (
    (" enters the battlefield ", " enters "),
    (" enter the battlefield ", " enter "),
    (" converted mana cost ", " mana value "),
)


def tokens_of(text: str) -> list[str]:
    """Split text into lower-case words, numbers, symbols and breaks; apostrophes vanish."""
    lowered = text.lower().replace("'", "").replace("’", "").replace("−", "-")
    lowered = lowered.replace("{this}", SELF)
    forms = _TOKEN_FORMS
    found = [forms.get(token, token) for token in _TOKEN.findall(lowered)]
    # Hybrid symbols are written {W/B}, {WB} or {(W/B)} by different sources.
    return [
        "{" + token.strip("{}()").replace("/", "") + "}" if token[0] == "{" else token
        for token in found
    ]


def normal_form(text: str, name: str = "") -> str:
    """The text as tokens joined by single spaces, with a space at both ends; "" for no text.

    `name` is the card's own: it, each of its faces' and the part before a comma become `~`.
    """
    if not text:
        return ""
    text = text.replace("<i>", "").replace("</i>", "")
    # Twice, for the rare parenthesis within reminder text.
    text = _REMINDER.sub(" ", _REMINDER.sub(" ", text)) if "(" in text else text
    joined = f" {' '.join(tokens_of(text))} "
    if joined == "  ":
        return ""
    if name:
        for face in name.split("//"):
            for own_name in (face, face.partition(",")[0]):
                words = " ".join(tokens_of(own_name.strip()))
                if words:
                    joined = joined.replace(f" {words} ", f" {SELF} ")
                    joined = joined.replace(f" {words}s ", f" {SELF}s ")
    for phrase, form in _SELF_PHRASES if " this " in joined else ():
        joined = joined.replace(phrase, form)
    for phrase, form in _PHRASES:
        joined = joined.replace(phrase, form)
    return joined


@lru_cache(maxsize=1 << 16)
def _token_hash(token: str) -> int:
    return zlib.crc32(token.encode("utf-8", "surrogatepass"))


def stable_bucket(text: str, buckets: int) -> int:
    """A bucket in `range(buckets)` that is the same in every process and on every machine."""
    return _token_hash(text) % buckets


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of MurmurHash3's 64-bit variant: CRC is linear, so its low bits alone are poor."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    return values ^ (values >> np.uint64(33))


def _counts(hashes: NDArray[np.uint64], bins: int) -> NDArray[np.float64]:
    indices = (hashes % np.uint64(bins)).astype(np.intp)
    return np.bincount(indices, minlength=bins).astype(np.float64)


def _unit(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    damped = np.log1p(counts)
    length = float(np.sqrt(damped @ damped))
    return damped * (TEXT_SCALE / length) if length > 0.0 else damped


def text_vector(normal: str, bins: int) -> NDArray[np.float64]:
    """A normal form as a vector (bins,) of values in [0, TEXT_SCALE].

    The first half counts words, the second pairs of neighbouring words within a sentence; each
    half is damped by log(1 + count) and has length TEXT_SCALE, or 0 without text. Words and pairs
    do not share bins, as the many rare pairs would drown the words.
    """
    word_bins = bins - bins // 2
    pair_bins = bins // 2
    vector = np.zeros(bins)
    tokens = normal.split()
    if not tokens:
        return vector
    hashes = np.fromiter(map(_token_hash, tokens), dtype=np.uint64, count=len(tokens))
    is_break = np.fromiter((t in _BREAKS for t in tokens), dtype=bool, count=len(tokens))
    words = _mixed(hashes[~is_break])
    vector[:word_bins] = _unit(_counts(words, word_bins))
    joined = ~(is_break[:-1] | is_break[1:])
    if pair_bins and joined.any():
        first, second = hashes[:-1][joined], hashes[1:][joined]
        pairs = _mixed((first << np.uint64(32)) | second)
        vector[word_bins:] = _unit(_counts(pairs, pair_bins))
    return vector
