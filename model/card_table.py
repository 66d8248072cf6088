"""Cards known by name: a table of encoded cards, and a cache for the cards it lacks.

Shape legend: N cards of the table, S slots of the cache, D card width.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from operator import attrgetter
from weakref import WeakValueDictionary

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.cards import Card, as_card
from model.features import has_attributes

_FOLDED_MAX = 16_384
"""Names as clients write them whose row is remembered; names are at most 200 characters."""

NO_ROW = -1
_row = attrgetter("row")

_FACE_SEPARATOR = re.compile(r"\s*/+\s*")
# Letters that Unicode does not decompose into a base letter and an accent.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ð": "d", "þ": "th", "ł": "l", "’": "'", "‘": "'", "`": "'"}
)


def fold_name(name: str) -> str:
    """The key under which a card is known: front face, no accents, no case, single spaces.

    >>> fold_name("Lim-Dûl's Vault"), fold_name("FIRE // Ice"), fold_name("Æther Vial")
    ("lim-dul's vault", 'fire', 'aether vial')
    """
    front = _FACE_SEPARATOR.split(name.strip(), maxsplit=1)[0] or name
    decomposed = unicodedata.normalize("NFKD", front.casefold().translate(_LETTERS))
    letters = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(letters.split())


class CardTable:
    """Encoded cards by name.

    Args:
        names: N names as printed; two names that fold to one key keep the first.
        vectors: (N, D) float32.
        trained: (N,) bool, cards that the model was trained on under their own name; by default
            none.

    Raises ValueError when they differ in length or a name is empty.
    """

    def __init__(
        self, names: Sequence[str], vectors: Tensor, trained: Tensor | None = None
    ) -> None:
        if vectors.ndim != 2 or len(names) != vectors.shape[0]:
            raise ValueError(
                f"the card table has {len(names)} names for vectors of shape {tuple(vectors.shape)}"
            )
        trained = torch.zeros(len(names), dtype=torch.bool) if trained is None else trained
        if trained.shape != (len(names),):
            raise ValueError(
                f"the card table has {len(names)} names for {tuple(trained.shape)} trained flags"
            )
        self.names = tuple(names)
        self.vectors = vectors
        self.trained = trained.bool()
        self._rows: dict[str, int] = {}
        for row, name in enumerate(self.names):
            key = fold_name(name)
            if not key:
                raise ValueError(f"card table row {row} has the empty name {name!r}")
            self._rows.setdefault(key, row)
        self._folded: dict[str, int | None] = {}
        # Printed names first: most clients send them, and folding costs more than all the rest.
        self._printed = {name: self._rows[fold_name(name)] for name in self.names}

    def __len__(self) -> int:
        return len(self.names)

    def row(self, name: str) -> int | None:
        """The row of the card of that name, or None."""
        row = self._printed.get(name)
        if row is not None:
            return row
        # Folding costs 2 us, and a draft asks for the same names again and again.
        try:
            return self._folded[name]
        except KeyError:
            if len(self._folded) >= _FOLDED_MAX:
                self._folded.clear()
            row = self._folded[name] = self._rows.get(fold_name(name))
            return row

    def quantized(self) -> tuple[Tensor, Tensor]:
        """The vectors as int8 (N, D) and one float32 scale a row (N,): a quarter of the size."""
        scale_N = (self.vectors.abs().amax(dim=1) / 127).clamp(min=1e-12)
        return (self.vectors / scale_N.unsqueeze(1)).round().to(torch.int8), scale_N

    @classmethod
    def from_quantized(
        cls, names: Sequence[str], codes: Tensor, scale: Tensor, trained: Tensor | None = None
    ) -> CardTable:
        """The inverse of `quantized`, exact to half a step of each row's scale."""
        vectors = codes.to(torch.float32) * scale.to(torch.float32).unsqueeze(1)
        return cls(names, vectors, trained)


class IndexedCard(msgspec.Struct, eq=False, weakref=True):
    """A card as a client wrote it, looked up; made by `CardIndex.look_up`.

    `name` is the client's spelling. `row` is the card's row in the index, or `NO_ROW` for a card
    that the table does not know while it is not in the cache; such a card keeps its attributes in
    `card`, to be encoded again.
    """

    name: str
    row: int
    card: Card | None = None


class CardIndex:
    """Every card of a request as a row of two matrices, so that a batch is one gather from each.

    Rows 0..N-1 are the card table, the rest are an LRU cache of cards the table does not know,
    encoded from their attributes.

    Args:
        table: the known cards.
        encode: cards -> (n, D) vectors; called once a batch with the distinct new cards.
        cache_size: S, an upper bound on the distinct unknown cards of one `rows` call.

    Attributes:
        vectors: (N + S, D).
        trained: (N + S,) float32, 1 for the cards that the model was trained on, else 0.
    """

    def __init__(
        self,
        table: CardTable,
        encode: Callable[[Sequence[Card]], Tensor],
        cache_size: int = 4096,
    ) -> None:
        if cache_size < 1:
            raise ValueError(f"cache_size must be at least 1, not {cache_size}")
        self.table = table
        self.cache_size = cache_size
        room = table.vectors.new_zeros(cache_size, table.vectors.shape[1])
        self.vectors = torch.cat([table.vectors, room])
        self.trained = np.zeros(len(table) + cache_size, np.float32)
        self.trained[: len(table)] = table.trained.numpy()
        self._encode = encode
        self._first_slot = len(table)
        # One object for all who hold an unknown card: evicting it from its row tells them all.
        self._unknown: WeakValueDictionary[Card, IndexedCard] = WeakValueDictionary()
        self._owners: list[IndexedCard | None] = [None] * cache_size
        # By row, the call that used it last. The last element is for NO_ROW, which is -1.
        self._last_used = np.zeros(len(table) + cache_size + 1, np.int64)
        self._attributeless = np.zeros(len(table) + cache_size, np.bool_)
        self._calls = 0
        self._unknown_count = 0

    def look_up(self, card: Card | str) -> IndexedCard:
        """Find a card by its name, else by all its attributes; nothing is encoded yet."""
        name = card if isinstance(card, str) else card.name
        row = self.table.row(name)
        if row is not None:
            return IndexedCard(name, row)
        card = as_card(card)
        found = self._unknown.get(card)
        if found is None:
            found = self._unknown[card] = IndexedCard(name, NO_ROW, card)
        return found

    def rows(self, cards: Sequence[IndexedCard]) -> NDArray[np.int64]:
        """The cards' rows, in order. Cards without a row are encoded, each distinct one once.

        The rows are the cards' own until the next call, which may give them to others.

        Raises ValueError when these are more distinct unknown cards than the cache holds.
        """
        self._calls += 1
        rows = np.fromiter(map(_row, cards), np.int64, len(cards))
        # Without a sign NO_ROW, which is -1, is above all slots.
        unknown = rows[rows.view(np.uint64) >= self._first_slot]
        if not len(unknown):
            return rows
        self._last_used[unknown] = self._calls
        if NO_ROW in unknown:
            self._insert(list(dict.fromkeys(card for card in cards if card.row == NO_ROW)))
            rows = np.fromiter(map(_row, cards), np.int64, len(cards))
        self._unknown_count += len(unknown)
        return rows

    def lacks_attributes(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are cards that came with nothing but a name the table lacks."""
        return self._attributeless[rows]

    def take_unknown_count(self) -> int:
        """Cards in `rows` calls since this was last asked that the table does not know."""
        count, self._unknown_count = self._unknown_count, 0
        return count

    def _insert(self, new: Sequence[IndexedCard]) -> None:
        """Encode cards into the slots that were not used for longest."""
        last_used = self._last_used[self._first_slot : -1]
        if len(new) > np.count_nonzero(last_used < self._calls):
            raise ValueError(f"more than {self.cache_size} distinct unknown cards at once")
        cards = [entry.card for entry in new if entry.card is not None]
        # Encoding may fail, and then no slot may have changed hands.
        vectors = self._encode(cards)
        slots = np.argpartition(last_used, len(new) - 1)[: len(new)]
        last_used[slots] = self._calls
        rows = slots + self._first_slot
        self.vectors[torch.from_numpy(rows)] = vectors
        self._attributeless[rows] = [not has_attributes(card) for card in cards]
        for slot, row, entry in zip(slots.tolist(), rows.tolist(), new, strict=True):
            evicted = self._owners[slot]
            if evicted is not None:
                evicted.row = NO_ROW
            self._owners[slot] = entry
            entry.row = row
