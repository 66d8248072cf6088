"""Cards known by name: a table of encoded cards, and a cache for the cards it lacks.

Shape legend: N cards of the table, S slots of the cache, D card width.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from model.cards import Card, as_card
from model.features import has_attributes

_FOLDED_MAX = 16_384
"""Names as clients write them whose row is remembered; names are at most 200 characters."""

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

    Raises ValueError when the two differ in length or a name is empty.
    """

    def __init__(self, names: Sequence[str], vectors: Tensor) -> None:
        if vectors.ndim != 2 or len(names) != vectors.shape[0]:
            raise ValueError(
                f"the card table has {len(names)} names for vectors of shape {tuple(vectors.shape)}"
            )
        self.names = tuple(names)
        self.vectors = vectors
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
    def from_quantized(cls, names: Sequence[str], codes: Tensor, scale: Tensor) -> CardTable:
        """The inverse of `quantized`, exact to half a step of each row's scale."""
        return cls(names, codes.to(torch.float32) * scale.to(torch.float32).unsqueeze(1))


class CardIndex:
    """Every card of a request as a row of one matrix, so that a batch is one gather.

    Rows 0..N-1 are the card table, row N is the padding (zeros), the rest are an LRU cache of
    cards the table does not know, encoded from their attributes.

    Args:
        table: the known cards.
        encode: cards -> (n, D) vectors; called once a batch with the distinct new cards.
        cache_size: S, an upper bound on the distinct unknown cards of one `rows` call.
    """

    def __init__(
        self, table: CardTable, encode: Callable[[Sequence[Card]], Tensor], cache_size: int = 4096
    ) -> None:
        if cache_size < 1:
            raise ValueError(f"cache_size must be at least 1, not {cache_size}")
        width = table.vectors.shape[1]
        self.table = table
        self.padding_row = len(table)
        self.cache_size = cache_size
        self.matrix = torch.cat([table.vectors, torch.zeros(1 + cache_size, width)])
        self._encode = encode
        self._slots: OrderedDict[Card, int] = OrderedDict()
        self._attributeless: set[int] = set()
        self._unknown = 0

    def rows(self, hands: Iterable[Sequence[Card | str]]) -> list[list[int]]:
        """Matrix rows of each hand's cards, in order.

        Raises ValueError when the hands hold more distinct unknown cards than the cache.
        """
        printed = self.table._printed
        new: dict[Card, int] = {}
        in_use: set[int] = set()
        result = []
        try:
            for hand in hands:
                rows = []
                for card in hand:
                    row = printed.get(card if isinstance(card, str) else card.name)
                    rows.append(self._row(card, new, in_use) if row is None else row)
                result.append(rows)
            if new:
                self.matrix[list(new.values())] = self._encode(list(new))
        except BaseException:
            # A slot must not be found without its vector, so the cache starts over.
            self._slots.clear()
            raise
        return result

    def lacks_attributes(self, row: int) -> bool:
        """Whether the row is a card that came with nothing but a name the table lacks."""
        return row in self._attributeless

    def take_unknown_count(self) -> int:
        """Cards looked up since the last call that the table does not know."""
        count, self._unknown = self._unknown, 0
        return count

    def _row(self, card: Card | str, new: dict[Card, int], in_use: set[int]) -> int:
        known = self.table.row(card if isinstance(card, str) else card.name)
        if known is not None:
            return known
        self._unknown += 1
        card = as_card(card)
        slot = self._slots.get(card)
        if slot is None:
            slot = new[card] = self._claim_slot(in_use)
            self._slots[card] = slot
            self._attributeless.discard(slot)
            if not has_attributes(card):
                self._attributeless.add(slot)
        else:
            self._slots.move_to_end(card)
        in_use.add(slot)
        return slot

    def _claim_slot(self, in_use: set[int]) -> int:
        """A free slot, or that of the card unused for longest."""
        if len(self._slots) < self.cache_size:
            return self.padding_row + 1 + len(self._slots)
        _, slot = self._slots.popitem(last=False)
        if slot in in_use:
            raise ValueError(f"more than {self.cache_size} distinct unknown cards at once")
        return slot
