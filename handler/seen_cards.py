"""Requests read without decoding the cards that were seen before.

Clients write the same cards again and again: a card comes in packs, stays in the pool for the rest
of the draft, and comes in everybody else's drafts of its set. So a card's JSON text, exactly as it
was written, is remembered together with the card it stands for. A request of such cards is a frame
around known texts: the frame is decoded, the texts are looked up, and no card is built. That takes
a sixth of the time of decoding and validating the whole body (9 against 57 us for 28 cards). A card
that was not seen before takes 9 us, a tenth of what it then takes to encode it, so a flood of new
cards, or of errors behind new cards, costs no more than a tenth above what it did.

The short way gives no errors. Whatever it cannot vouch for, it leaves to the long way, `decode` and
`validate`, which finds the error or finds that there is none:

* a text is remembered only after the long way's own functions decoded and validated it;
* the frame's fields have the types of `PickRequest`, and other fields are refused;
* a key given twice hides in a frame, since decoders keep one of the two. But it also makes a body
  longer than its fields can account for, and so does a key written with escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Raw, UnsetType

from model.card_table import IndexedCard
from model.cards import PackNumber, PackSize, PickNumber, PoolSize, ReviewSize, SetCode
from model.recommender import Pick

MEMORY = 16 << 20
"""Bytes that remembered cards may take in a worker, about 20 000 cards. Measured: see tests."""

LONGEST_TEXT = 4096
"""Longer texts are decoded every time; the longest real card with all attributes has 1.6 kB."""

_OVERHEAD = 500
"""Bytes that a remembered card takes besides its text, once in JSON and once decoded."""

_SPACE = b" \t\n\r"


class Frame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A pick request whose cards are not decoded."""

    pack: Annotated[list[Raw], PackSize]
    pool: Annotated[list[Raw], PoolSize] | UnsetType = UNSET
    set: Raw | UnsetType = UNSET
    pack_number: PackNumber | UnsetType | None = UNSET
    pick_number: PickNumber | UnsetType | None = UNSET
    explain: bool | UnsetType = UNSET


class ReviewFrame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A review whose picks are not decoded."""

    requests: Annotated[list[Raw], ReviewSize]


class SeenCards:
    """Cards by their JSON text, as much as fits in `memory` bytes.

    The texts are kept in two generations: when the young one has half of the memory, it becomes the
    old one, whose texts are forgotten unless they were seen in the meantime. So what is in use
    stays, without bookkeeping for cards that are found.

    Args:
        read_card: decodes and validates a text; its exceptions mean that it is no card.
        memory: an upper bound in bytes.
    """

    def __init__(self, read_card: Callable[[bytes], IndexedCard], memory: int = MEMORY) -> None:
        self._read_card = read_card
        self._young: dict[bytes, IndexedCard] = {}
        self._old: dict[bytes, IndexedCard] = {}
        self._room = self._memory = memory // 2

    def find(self, texts: Sequence[bytes]) -> list[IndexedCard]:
        """The cards of these texts; raises what `read_card` raises."""
        try:
            return list(map(self._young.__getitem__, texts))
        except KeyError:
            return list(map(self._meet, texts))

    def _meet(self, text: bytes) -> IndexedCard:
        card = self._young.get(text) or self._old.get(text) or self._read_card(text)
        cost = 2 * len(text) + _OVERHEAD
        if len(text) <= LONGEST_TEXT and text not in self._young:
            if cost > self._room:
                self._old, self._young, self._room = self._young, {}, self._memory
            self._young[text] = card
            self._room -= cost
        return card


class ShortWay:
    """Reads requests by the cards seen before, or not at all."""

    def __init__(self, cards: SeenCards) -> None:
        self._cards = cards
        self._decode_frame = msgspec.json.Decoder(Frame).decode
        self._decode_review = msgspec.json.Decoder(ReviewFrame).decode
        self._decode_set = msgspec.json.Decoder(SetCode | None).decode

    def pick(self, content: bytes | bytearray) -> Pick | None:
        """The pick of a body, or None if the long way has to be taken."""
        try:
            frame = self._decode_frame(content)
            texts = list(map(bytes, frame.pack + frame.pool if frame.pool else frame.pack))
            context = () if frame.set is UNSET else (bytes(frame.set),)
            if not _is_all(content, _least_bytes(frame), (*texts, *context)):
                return None
            cards = self._cards.find(texts)
            picked = len(frame.pack)
            return Pick(
                cards[:picked],
                cards[picked:],
                self._decode_set(context[0]) if context else None,
                frame.pack_number or None,
                frame.pick_number or None,
                frame.explain is True,
            )
        except Exception:
            return None

    def review(self, content: bytes | bytearray) -> list[Pick] | None:
        """The picks of a review, or None if the long way has to be taken."""
        try:
            requests = [bytes(request) for request in self._decode_review(content).requests]
        except Exception:
            return None
        if not _is_all(content, len(b'{"requests":[]}') + len(requests) - 1, requests):
            return None
        picks = []
        for request in requests:
            pick = self.pick(request)
            if pick is None:
                return None
            picks.append(pick)
        return picks


_PACK = len(b'{"pack":[]}')
_POOL = len(b',"pool":[]')
_SET = len(b',"set":')
_PACK_NUMBER = len(b',"pack_number":')
_PICK_NUMBER = len(b',"pick_number":')
_EXPLAIN = len(b',"explain":')


def _least_bytes(frame: Frame) -> int:
    """How short a body of these fields can be, without their texts."""
    least = _PACK + len(frame.pack) - 1
    if frame.pool is not UNSET:
        least += _POOL + max(0, len(frame.pool) - 1)
    if frame.set is not UNSET:
        least += _SET
    if frame.pack_number is not UNSET:
        least += _PACK_NUMBER + _digits(frame.pack_number)
    if frame.pick_number is not UNSET:
        least += _PICK_NUMBER + _digits(frame.pick_number)
    if frame.explain is not UNSET:
        least += _EXPLAIN + (len(b"true") if frame.explain else len(b"false"))
    return least


def _digits(number: int | None) -> int:
    return len(b"null") if number is None else len(str(number))


def _is_all(content: bytes | bytearray, least: int, inside: Sequence[bytes]) -> bool:
    """Whether a body holds nothing but these texts, `least` bytes around them, and white space."""
    around = len(content) - sum(map(len, inside))
    if around == least:
        return True
    return around - _spaces(content) + _spaces(b"".join(inside)) == least


def _spaces(text: bytes | bytearray) -> int:
    return len(text) - len(text.translate(None, _SPACE))
